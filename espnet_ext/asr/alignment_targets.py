"""The symbol that each encoder frame is trained on, from the alignment of a batch.

An alignment has one symbol for each frame of some rate: that of the encoder, where a
transducer or CTC model made it, or that of the features, where it came from a hybrid
system (one symbol every 10 ms). In the second case the middle one of the ``stride``
symbols of an encoder frame counts.
"""

# Dimensions: B batch, A symbols of an alignment, T encoder frames
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

import torch

from espnet_ext.errors import FormatError

NO_SYMBOL = -1


class AlignmentOptions(NamedTuple):
    """How alignments and encoder frames go together.

    Attributes:
        stride: Symbols of an alignment for each encoder frame.
        tolerance: Encoder frames by which the lengths may differ; frames without a
            symbol are not trained, symbols without a frame are left out. Tools count
            the frames at the end of a recording differently.
    """

    stride: int = 1
    tolerance: int = 0

    @classmethod
    def of(cls, options: Optional[Dict]) -> "AlignmentOptions":
        """From a configuration; ValueError where an option is unknown or impossible."""
        try:
            made = cls(**(options or {}))
        except TypeError as error:
            raise ValueError(f"alignment: {error}") from None
        if made.stride < 1 or made.tolerance < 0:
            raise ValueError(
                f"alignment stride {made.stride} and tolerance {made.tolerance}: "
                "expected at least 1 and at least 0"
            )
        return made


def frame_targets(
    alignment_BA: torch.Tensor,
    alignment_lens_B: torch.Tensor,
    frames: int,
    frame_lens_B: torch.Tensor,
    options: AlignmentOptions = AlignmentOptions(),
    utterance_ids: Optional[Sequence[str]] = None,
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Symbols [B, T] of the encoder frames, -1 in the padding, and their number [B].

    Args:
        alignment_BA: Symbols, padded with anything.
        alignment_lens_B: How many are valid.
        frames: T.
        frame_lens_B: Valid encoder frames.
        options: See AlignmentOptions.
        utterance_ids: Used in messages.

    Raises:
        FormatError: An alignment and its utterance differ in length.
    """
    device = frame_lens_B.device
    alignment_BA = alignment_BA.to(device)
    alignment_lens_B = alignment_lens_B.to(device)
    stride = options.stride
    own_lens_B = torch.div(alignment_lens_B + stride - 1, stride, rounding_mode="floor")
    wrong_B = (own_lens_B - frame_lens_B).abs() > options.tolerance
    if bool(wrong_B.any()):
        row = int(wrong_B.nonzero()[0])
        name = utterance_ids[row] if utterance_ids else f"row {row} of the batch"
        raise FormatError(
            f"{int(alignment_lens_B[row])} symbols (of {stride} a frame) for "
            f"{int(frame_lens_B[row])} encoder frames",
            where=f"alignment of {name}",
            expected="as many frames, within the tolerance "
            f"{options.tolerance}: no augmentation that changes the length, and an "
            "alignment made with the same time reduction",
            next_step="set alignment: {stride: ..., tolerance: ...} in model_conf, or "
            "align with a model of the same frame rate",
        )
    lens_B = torch.minimum(own_lens_B, frame_lens_B)
    frames_T = torch.arange(frames, device=device)
    index_T = frames_T * stride + (stride - 1) // 2
    # the last frame of an alignment may have fewer symbols than the stride
    index_BT = torch.minimum(index_T, (alignment_lens_B - 1).clamp(min=0).unsqueeze(1))
    if alignment_BA.size(1) == 0:
        return index_BT.new_full(index_BT.shape, NO_SYMBOL), lens_B
    targets_BT = alignment_BA.long().gather(1, index_BT)
    return targets_BT.masked_fill(frames_T >= lens_B.unsqueeze(1), NO_SYMBOL), lens_B


def require_alignment(*parts: Optional[torch.Tensor]) -> None:
    """Raise ValueError, with what to do, if the batch has no alignments."""
    if any(part is None for part in parts):
        raise ValueError(
            "this model is trained on alignments and the batch has none: add "
            "--train_data_path_and_name_and_type FILE,alignment,kaldi_ark (or text_int)"
            " and the same for the validation set"
        )
