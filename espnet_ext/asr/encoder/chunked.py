"""What a Conformer trained on windows can do in evaluation: encode window by window."""

# Dimensions: B batch, T frames, F feature, D model, W window size
import torch
import torch.nn.functional as F

from espnet_ext.errors import OptionError


class ChunkedEvaluation:
    """Part of StagedConformerEncoder.

    Attributes:
        chunked_evaluation: Sequences are cut in evaluation as well.
    """

    chunked_evaluation = False

    def chunk_in_evaluation(self) -> None:
        """Cut all sequences into the windows of training also in evaluation.

        Raises:
            OptionError: The encoder was trained without windows.
        """
        if self.chunking is None:
            raise OptionError(
                "the encoder was trained without windows",
                where="encoder_conf",
                expected="chunk_size",
            )
        self.chunked_evaluation = True

    def encode_window(self, x_BWF: torch.Tensor) -> torch.Tensor:
        """Output [B, W, D] of the layers for one window of the frontend's frames."""
        y = self._conformer(x_BWF, None, ())[0][1]
        return F.pad(y, (0, self.model_size - y.size(2)))

    def _cuts(self, frames: int) -> bool:
        if self.chunking is None:
            return False
        if not self.training:
            return self.chunked_evaluation
        return not self.chunk_only_longer or frames > self.chunking.size

    def _whole_frames(self, x_BTF: torch.Tensor) -> torch.Tensor:
        """Features padded so that SAME padding begins its windows as in a stream."""
        if self.training or not self.chunked_evaluation:
            return x_BTF
        return F.pad(x_BTF, (0, 0, 0, -x_BTF.size(1) % self.frontend.reduction))
