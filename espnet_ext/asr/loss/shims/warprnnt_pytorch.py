"""Stand-in for the package of this name; found only after ``warprnnt_shim.install``."""

from espnet_ext.asr.loss.warprnnt_shim import RNNTLoss, rnnt_loss

__all__ = ["RNNTLoss", "rnnt_loss"]
