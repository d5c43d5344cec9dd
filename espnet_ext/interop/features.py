"""Number of features that an original model takes, from its parameters."""

from espnet_ext.errors import FormatError
from espnet_ext.interop.returnn import Arrays

# what meets the features or the output of convolutions, the last of these (None: the
# features), and by how much they and their pooling make a frame narrower
FIRST_LAYERS = (
    ("encoder/source_linear/W", "encoder/c2/bias", 2),
    ("encoder/lstm0_fw/rec/W", None, 1),
    ("lstm0_fw/rec/W", "conv1/bias", 4),
    ("encoder/layers/0/fw/param_W", "encoder/pre_conv_net/conv1/bias", 4),
    *(
        (f"{front}/layers/0/fw/param_W", channels, factor)
        for front in ("frontend", "encoder/input_layer")
        for channels, factor in ((f"{front}/pre_conv_net/conv1/bias", 4), (None, 1))
    ),
    ("encoder/input_projection/weight", "encoder/input_layer/conv_layers/1/bias", 6),
    ("encoder/input_projection/weight", "encoder/input_layer/conv3/bias", 2),
)


def features_of(parameters: Arrays) -> int:
    """Number of features; such a file holds none."""
    for layer, convolution, factor in FIRST_LAYERS:
        if layer in parameters and (convolution is None or convolution in parameters):
            channels = 1 if convolution is None else len(parameters[convolution])
            return factor * parameters[layer].shape[0] // channels
    raise FormatError(
        "the file holds no parameters of a first layer",
        expected="parameters of one of the original's experiments",
    )
