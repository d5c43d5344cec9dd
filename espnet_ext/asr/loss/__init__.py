"""Full-sum losses over all alignments of a label sequence."""

from espnet_ext.asr.loss.factorised import factorised_rna_loss
from espnet_ext.asr.loss.full_sum import full_sum_loss

__all__ = ["factorised_rna_loss", "full_sum_loss"]
