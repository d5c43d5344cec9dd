"""The original's copy of parameters into a larger network, as training.md 6 has it.

Axes that consist of parts are copied part by part, the leading entries of each; all
others as one block. ``orig`` is different, see its own array.
"""

import numpy as np

from tests.parity.original_names import EMBEDDING, HIDDEN

EQUAL_PARTS = {  # end of a name -> axis, number of parts
    "self_att/qkv/weight/param": (1, 3),
    "self_att/qkv/bias/param": (0, 3),
    "positionwise_conv1/weight/param": (1, 2),
    "positionwise_conv1/bias/param": (0, 2),
}
FIRST_PARTS = {  # attention models: what is in front of the attention's context
    "s/param_W/param": [EMBEDDING],
    "readout_in/weight/param": [HIDDEN, EMBEDDING],
}


def parts_of(name, axis, size, window):
    """Sizes of the parts of an axis."""
    plain = name.removeprefix("param:")
    for end, (wanted, count) in EQUAL_PARTS.items():
        if plain.endswith(end) and axis == wanted:
            return [size // count] * count
    if plain == "readout_in_am/weight/param" and axis == 0 and window:
        return [size // 2] * 2
    if plain in FIRST_PARTS and axis == 0:
        first = FIRST_PARTS[plain]
        return [*first, size - sum(first)]
    return [size]


def places(old_parts, new_parts):
    """Where the entries of the old axis go."""
    ends = np.cumsum([0, *new_parts])
    return np.concatenate([ends[i] + np.arange(n) for i, n in enumerate(old_parts)])


def grown(name, old_shape, new_shape, window):
    """The new parameter: 1, 2, .. of the old one, and -1, -2, .. of the fresh one."""
    new = -1.0 - np.arange(np.prod(new_shape)).reshape(new_shape)
    if old_shape is not None:
        index = [
            places(
                parts_of(name, axis, old_size, window),
                parts_of(name, axis, new_size, window),
            )
            for axis, (old_size, new_size) in enumerate(zip(old_shape, new_shape))
        ]
        new[np.ix_(*index)] = numbered(old_shape)
    return new


def numbered(shape):
    """1, 2, .. in the shape of a parameter."""
    return 1.0 + np.arange(np.prod(shape)).reshape(shape)


def growing_file(old_shapes, new_shapes, window):
    """Arrays of the form of grow_copy.npz."""
    arrays = {}
    for name, shape in old_shapes.items():
        arrays[name.replace("param:", "old:")] = numbered(shape)
    for name, shape in new_shapes.items():
        array = grown(name, old_shapes.get(name), shape, window)
        arrays[name.replace("param:", "new:")] = array
    return arrays
