"""Values that are not finite: no update is made of them, and many of them end a run."""

import logging
import math
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import torch

from espnet_ext.errors import NonFiniteError
from espnet_ext.files import PathLike
from espnet_ext.train.checkpoint import write_verified

FILE = "nonfinite_batch.pth"
MIN_UPDATES = 100  # a share of fewer says nothing


def largest_norm(model: torch.nn.Module) -> float:
    """Gradient norms above become infinite when an optimizer squares them."""
    kinds = {p.dtype for p in model.parameters() if p.requires_grad}
    return math.sqrt(min(torch.finfo(kind).max for kind in kinds))


class BufferGuard:
    """Buffers as they were before a group of batches.

    The forward pass of a batch with NaN leaves NaN in the running statistics of batch
    normalisation, where no gradient is looked at.

    Args:
        model: Whose floating-point buffers are guarded.
    """

    def __init__(self, model: torch.nn.Module):
        self._buffers = [b for b in model.buffers() if torch.is_floating_point(b)]
        self._kept: List[torch.Tensor] = []

    @torch.no_grad()
    def remember(self) -> None:
        """Keep the values of now."""
        # all of them: batch normalisation does not advance the version of a tensor
        if not self._kept:
            self._kept = [torch.empty_like(buffer) for buffer in self._buffers]
        for kept, buffer in zip(self._kept, self._buffers):
            kept.copy_(buffer)

    @torch.no_grad()
    def restore(self, only_nonfinite: bool = False) -> None:
        """Put the kept values back, of all buffers or of those that became non-finite.

        A counter of batches, for example, must not go back with a skipped update.
        """
        for kept, buffer in zip(self._kept, self._buffers):
            if not (only_nonfinite and bool(buffer.isfinite().all())):
                buffer.copy_(kept)


class NonFiniteGuard:
    """Counts skipped updates of a sub-epoch and decides when to give up.

    Args:
        in_row: So many skipped updates one after the other are too many.
        share: So large a share of a sub-epoch is too large.
        folder: Where the last batch is stored in that case.
    """

    def __init__(self, in_row: int, share: float, folder: PathLike):
        self.in_row = in_row
        self.share = share
        self.path = Path(folder) / FILE
        self.row = 0
        self.skipped = 0
        self.updates = 0

    def begin_sub_epoch(self) -> None:
        """Count anew, but for the row."""
        self.skipped = self.updates = 0

    def good(self) -> None:
        """An update was made."""
        self.row = 0
        self.updates += 1

    def bad(
        self,
        norm: float,
        groups: Sequence[Tuple[Sequence[str], Mapping[str, Any], float]],
        losses: Sequence[Tuple[Sequence[str], float]],
        expected_updates: int,
    ) -> None:
        """An update was skipped.

        Args:
            norm: Norm of the gradient.
            groups: Utterance ids, batch and loss of each batch of the update.
            losses: Utterance ids and loss of these batches in all processes.
            expected_updates: Of the whole sub-epoch, 0 if unknown.

        Raises:
            NonFiniteError: Too many; the batches are stored.
        """
        self.row += 1
        self.skipped += 1
        self.updates += 1
        wrong = [ids for ids, loss in losses if not math.isfinite(loss)]
        named = [name for ids in wrong or [ids for ids, _ in losses] for name in ids]
        what = "loss" if wrong else f"gradient (norm {norm})"
        logging.warning(
            f"update skipped: the {what} is not finite. Utterances: {' '.join(named)}"
        )
        allowed = self.share * max(self.updates, expected_updates, MIN_UPDATES)
        if self.row < self.in_row and self.skipped <= allowed:
            return
        reason = f"{self.row} updates in a row"
        if self.row < self.in_row:
            reason = f"{self.skipped} of {self.updates} updates of this sub-epoch"
        content: Dict[str, Any] = {
            "batches": [
                {"ids": list(ids), "loss": float(loss), "tensors": dict(batch)}
                for ids, batch, loss in groups
            ],
            "gradient_norm": float(norm),
        }
        for entry in content["batches"]:
            entry["tensors"].pop("utt_id", None)
        write_verified(self.path, content)
        raise NonFiniteError(
            f"{reason} were skipped because of values that are not finite; the last "
            f"utterances: {' '.join(named)}",
            where=self.path,
            expected=f"at most {self.in_row - 1} in a row, and {100 * self.share:g} % "
            "of a sub-epoch",
            next_step="look at these utterances (torch.load of that file), lower the "
            "learning rate or grad_clip; the same command continues from the last "
            "checkpoint",
        )

    def state_dict(self) -> Dict[str, int]:
        """The counts."""
        return {"row": self.row, "skipped": self.skipped, "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue from a ``state_dict``."""
        self.row, self.skipped = state["row"], state["skipped"]
        self.updates = state["updates"]
