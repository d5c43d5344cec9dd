"""Convolutions over time and feature with max-pooling, in front of an encoder.

Source: reference/models.md (a), (b); i6_experiments exp_fs_base/start.py.
"""

# Dimensions: B batch, T frames, F feature, C channels
from typing import Optional, Sequence, Tuple

import torch

from espnet_ext.layers.evaluation import is_evaluated_on_cpu
from espnet_ext.layers.init import init_conv2d_
from espnet_ext.layers.same_padding import max_pool_2d, pooled_lengths

BLOCK = 1 << 20  # entries of a convolution's output that are computed at once
ACTIVATIONS = {
    None: torch.nn.Identity(),
    "relu": torch.nn.ReLU(),
    "swish": torch.nn.SiLU(),
}


class ConvFront(torch.nn.Module):
    """3x3 convolutions over (time, feature), each with max-pooling over the feature.

    In the original there is no activation: the only non-linearity is the pooling. The
    output is flattened feature-major, then channel.
    """

    def __init__(
        self,
        input_size: int,
        channels: Sequence[int],
        feature_pooling: Sequence[int],
        time_pooling: Sequence[int],
        activation: Optional[str] = None,
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"conv_activation {activation!r}: expected one of {list(ACTIVATIONS)}"
            )
        self.activation = ACTIVATIONS[activation]
        if not len(channels) == len(feature_pooling) == len(time_pooling):
            raise ValueError(
                f"conv_channels {list(channels)}, conv_feature_pooling "
                f"{list(feature_pooling)} and conv_time_pooling {list(time_pooling)} "
                "must have the same length"
            )
        self.feature_pooling = list(feature_pooling)
        self.time_pooling = list(time_pooling)
        self.convolutions = torch.nn.ModuleList()
        self.output_size = input_size
        previous = 1
        for count, size in zip(channels, feature_pooling):
            self.convolutions.append(
                init_conv2d_(torch.nn.Conv2d(previous, count, 3, padding=1))
            )
            previous = count
            self.output_size = -(-self.output_size // size)
        self.output_size *= previous

    def forward(
        self, x_BTF: torch.Tensor, lengths_B: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """[B, T, F] to [B, T', F' * C] and lengths; padded frames are not masked."""
        for time in self.time_pooling:
            lengths_B = pooled_lengths(lengths_B, time)
        if not is_evaluated_on_cpu(x_BTF):
            return self._convolved(x_BTF).flatten(2), lengths_B
        # a few sequences at a time stay in the cache
        most = max((layer.out_channels for layer in self.convolutions), default=1)
        rows = max(1, BLOCK // max(x_BTF[0].numel() * most, 1))
        convolved = self._by_onednn if self._onednn_can(x_BTF) else self._convolved
        frames_TBFC = None
        for first, block_BTF in zip(range(0, len(x_BTF), rows), x_BTF.split(rows)):
            block_TBFC = convolved(block_BTF).transpose(0, 1)
            if frames_TBFC is None:
                frames, _, *size = block_TBFC.shape
                frames_TBFC = block_TBFC.new_empty(frames, len(x_BTF), *size)
            frames_TBFC[:, first : first + rows] = block_TBFC
        # frames are the outer dimension in memory, as the BLSTM's kernels want them
        return frames_TBFC.flatten(2).transpose(0, 1), lengths_B

    def _onednn_can(self, x_BTF: torch.Tensor) -> bool:
        return (
            torch.backends.mkldnn.is_available()
            and torch.backends.mkldnn.enabled
            and x_BTF.dtype == torch.float32
            and isinstance(self.activation, (torch.nn.Identity, torch.nn.ReLU))
            and len(self.convolutions) > 0
            and bool(x_BTF.sum().isfinite())  # its maximum of nan and 1 is 1
        )

    def _by_onednn(self, x_BTF: torch.Tensor) -> torch.Tensor:
        """In oneDNN's own layout, in which its pooling is four times as fast."""
        with torch.autocast("cpu", enabled=False):
            x = self._layers(x_BTF.unsqueeze(1).to_mkldnn())
            return x.to_dense().permute(0, 2, 3, 1)

    def _convolved(self, x_BTF: torch.Tensor) -> torch.Tensor:
        """[B, T', F', C]."""
        x = x_BTF.unsqueeze(1)
        if x.device.type == "cpu":
            # channels innermost: pooling is then vectorised, twice as fast or more
            x = x.to(memory_format=torch.channels_last)
        return self._layers(x).permute(0, 2, 3, 1)

    def _layers(self, x_BCTF: torch.Tensor) -> torch.Tensor:
        for convolution, feature, time in zip(
            self.convolutions, self.feature_pooling, self.time_pooling
        ):
            x_BCTF = max_pool_2d(self.activation(convolution(x_BCTF)), time, feature)
        return x_BCTF
