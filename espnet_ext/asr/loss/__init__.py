"""Full-sum losses over all alignments of a label sequence."""

from espnet_ext.asr.loss.factorised import factorised_loss, softmax_loss
from espnet_ext.asr.loss.fused import FusedJointLoss
from espnet_ext.asr.loss.full_sum import arc_posteriors, batch_cost, full_sum_loss
from espnet_ext.asr.loss.node_gradient import GradientOptions, LabelSmoothing
from espnet_ext.asr.loss.topology import TOPOLOGIES, Topology, get_topology
from espnet_ext.asr.loss.viterbi import viterbi

__all__ = [
    "FusedJointLoss",
    "GradientOptions",
    "LabelSmoothing",
    "TOPOLOGIES",
    "Topology",
    "arc_posteriors",
    "batch_cost",
    "factorised_loss",
    "full_sum_loss",
    "get_topology",
    "softmax_loss",
    "viterbi",
]
