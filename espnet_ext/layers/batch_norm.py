"""Batch normalisation over batch and time, as the original has it.

Padded frames are part of the statistics unless they are masked. Running statistics are
updated with momentum 0.1 in training; the variance with the N / (N - 1) estimate, or
with the biased one where padding is masked (another code path of the original).

Source: reference/models.md section 0; reference/corrections.md 6.
"""

# Dimensions: B batch, D model, T frames
from typing import Optional

import torch
import torch.nn.functional as F

from espnet_ext.layers.growing import Axis, GrowingModule

EPS = 1e-3
MOMENTUM = 0.1


class GrowingBatchNorm(GrowingModule):
    """Batch normalisation of [B, D, T].

    Args:
        axis: D.
        masked: Leave padded frames out of the statistics (``bnmask``).
        updates_in_evaluation: Evaluation updates the running statistics with each
            batch too, before it uses them; no gradient goes there
            (``old_nick_att_conformer``). What a sequence gives then depends on all
            batches before it.
    """

    def __init__(
        self, axis: Axis, masked: bool = False, updates_in_evaluation: bool = False
    ):
        super().__init__()
        self.masked = masked
        self.updates_in_evaluation = updates_in_evaluation
        self.weight = torch.nn.Parameter(torch.ones(axis.size))
        self.bias = torch.nn.Parameter(torch.zeros(axis.size))
        self.register_buffer("running_mean", torch.zeros(axis.size))
        self.register_buffer("running_var", torch.ones(axis.size))
        self.axes = {
            name: (axis,) for name in ("weight", "bias", "running_mean", "running_var")
        }

    def forward(
        self, x_BDT: torch.Tensor, lengths_B: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Normalised x; ``lengths_B`` counts valid frames, None: all are."""
        mean, var = self.used("running_mean"), self.used("running_var")
        training = self.training
        if self.updates_in_evaluation and not training:
            if lengths_B is None or not self.masked:
                lengths_B = x_BDT.new_full((x_BDT.size(0),), x_BDT.size(2))
            self._update_masked(x_BDT, lengths_B, mean, var)
        if training and self.masked and lengths_B is not None:
            self._update_masked(x_BDT, lengths_B, mean, var)
            return self._normalise_masked(x_BDT, lengths_B)
        return F.batch_norm(
            x_BDT,
            mean,
            var,
            self.used("weight"),
            self.used("bias"),
            training,
            MOMENTUM,
            EPS,
        )

    @staticmethod
    def _statistics(x_BDT, lengths_B):
        frames_T = torch.arange(x_BDT.size(2), device=x_BDT.device)
        valid_BT = frames_T < lengths_B.to(x_BDT.device).unsqueeze(1)
        valid_B1T = valid_BT.unsqueeze(1).to(x_BDT.dtype)
        count = valid_B1T.sum().clamp(min=1)
        mean_D = (x_BDT * valid_B1T).sum((0, 2)) / count
        centred = (x_BDT - mean_D[:, None]) * valid_B1T
        return mean_D, centred.square().sum((0, 2)) / count

    @torch.no_grad()
    def _update_masked(self, x_BDT, lengths_B, mean, var) -> None:
        batch_mean, batch_var = self._statistics(x_BDT.float(), lengths_B)
        mean.lerp_(batch_mean, MOMENTUM)
        var.lerp_(batch_var, MOMENTUM)

    def _normalise_masked(self, x_BDT, lengths_B) -> torch.Tensor:
        mean_D, var_D = self._statistics(x_BDT.float(), lengths_B)
        factor_D = self.used("weight") * (var_D + EPS).rsqrt()
        shift_D = self.used("bias") - mean_D * factor_D
        return (x_BDT * factor_D[:, None] + shift_D[:, None]).to(x_BDT.dtype)
