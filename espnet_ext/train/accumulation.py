"""Which batches are summed for one update.

ESPnet divides each loss by ``accum_grad`` and counts batches from the beginning of the
(sub-)epoch; what is left at its end goes into the first update of the next one. The
original adds gradients up and counts batches from the beginning of the training, so
that groups reach over the ends of sub-epochs (reference/training.md 4).
"""

from dataclasses import dataclass

from espnet_ext.train.position import Position
from espnet_ext.train.regime import Regime


@dataclass(frozen=True)
class Accumulation:
    """Groups of batches in one sub-epoch.

    Attributes:
        num_batches: Batches of a group.
        sums: Add gradients up (original) or average them (ESPnet).
    """

    num_batches: int
    sums: bool

    @property
    def loss_scale(self) -> float:
        """Factor of each batch's loss."""
        return 1.0 if self.sums else 1.0 / self.num_batches

    def begins(self, position: Position) -> bool:
        """Whether the next batch overwrites the gradients that are there."""
        return self.sums and position.batches % self.num_batches == 0

    def ends(self, position: Position) -> bool:
        """Whether the weights are updated after the next batch."""
        done = position.batches if self.sums else position.batch
        return (done + 1) % self.num_batches == 0


def accumulation_of(regime: Regime, accum_grad: int, epoch: int) -> Accumulation:
    """The regime's accumulation in a 1-based sub-epoch, or ESPnet's option."""
    size = regime.batch_size(epoch)
    if size is None:
        return Accumulation(accum_grad, sums=False)
    return Accumulation(size.accum_grad, sums=True)
