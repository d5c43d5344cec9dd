"""Full-sum loss of a joint network on the GPU, without the logits of the lattice.

The joint (readout, dropout, label softmax, emission), the recursion and all gradients,
as ``FusedJointLoss`` has them on the CPU: packed nodes, cut to the band; logits are
computed tile by tile and once more in the backward pass, for those nodes alone whose
posterior matters. The recursion is ``recursion.py``, the rest of the lattice is shared.
"""

# Dimensions: B batch, T frames, L labels, S = L + 1 positions, K labels without blank,
#             N packed nodes, R readout before the activation, J after it
from typing import Optional, Tuple, Union

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from espnet_ext.asr.loss.lattice import ArcScores, band_mask, occupancies
from espnet_ext.asr.loss.node_gradient import GradientOptions, NodeGradient
from espnet_ext.asr.loss.topology import Topology, get_topology
from espnet_ext.asr.loss.triton.blocks import default_blocks, sum_dtype
from espnet_ext.asr.loss.triton.joint import Dropout, Joint, Nodes, padded_weight
from espnet_ext.asr.loss.triton.label_gradient import LogitCoefficients
from espnet_ext.asr.loss.triton.label_scores import LabelScores
from espnet_ext.asr.loss.triton.passes import Tiles, backward_pass, forward_pass
from espnet_ext.asr.loss.triton.recursion import recursion
