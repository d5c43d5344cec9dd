"""Full-sum loss of a joint network whose scores are never stored.

Nothing with both T S and V extents ever exists: readout, output layers, softmax,
dynamic program and all gradients are computed for a few hundred nodes of the lattice at
a time.
Only nodes on a complete alignment are visited at all, and the backward pass, which
computes the logits once more, leaves out those that contribute less than float32 can
hold.
"""

# Dimensions: B batch, T frames, S = L + 1 label positions, L labels, V vocabulary,
#             K units of the softmax (V - 1, or V if blank is one of them),
#             R readout before the activation, J after (R / 2 for maxout)
import copy
from typing import Callable, Optional, Union

import torch

from espnet_ext.asr.loss.chain import ArcScores
from espnet_ext.asr.loss.dense import check_shapes
from espnet_ext.asr.loss.fused_dropout import draw_seed, shared_mask
from espnet_ext.asr.loss.fused_function import (
    FusedFullSum,
    Plan,
    lattice_arcs,
    node_scorer,
)
from espnet_ext.asr.loss.fused_readout import get_activation
from espnet_ext.asr.loss.fused_scores import NodeScores
from espnet_ext.asr.loss.node_gradient import EMISSIONS, GradientOptions
from espnet_ext.asr.loss.topology import Topology, get_topology
from espnet_ext.asr.loss.triton.probe import use_kernels
from espnet_ext.errors import OptionError

DROPOUT_MASKS = ("shared", "elementwise", "whole")
SKIP_THRESHOLD = 1e-7
# nodes of a tile: at least so many, and more where the vocabulary is small
TILE_NODES, TILE_LOGITS = 256, 2**18


class FusedJointLoss:
    """A joint network as the scores of ``full_sum_loss``.

        h_tu           = activation(am_t + lm_u)
        e_tu           = emission_weight h_tu + emission_bias
        z_tu           = label_weight dropout(h_tu) + label_bias
        log p(blank)   = log sigmoid(-e)
        log p(label k) = log sigmoid(e) + label_scale log_softmax(z)_k

    or, with ``emission="softmax"``, one softmax over all V symbols of z.

    Args:
        am_BTR: Projected encoder frames, any float type. Sums are in float32 at least.
        lm_BSR: Projected states of the prediction network, before label u + 1. The bias
            of the readout belongs to one of the two.
        label_weight_KJ: Weights of the softmax, unit k - 1 for label k > blank.
        label_bias_K: Its bias.
        emission_weight_1J: Weights of the emission logit; None without one.
        emission_bias_1: Its bias.
        activation: ``maxout`` (over adjacent pairs), ``tanh``, ``relu``, ``none``.
        emission: ``sigmoid`` or ``softmax``.
        label_dropout: Rate of dropout on the readout before the softmax; the emission
            logit sees the readout without it. Give 0 when not training.
        dropout_mask: ``shared``, one mask [J] for all nodes; ``elementwise``; or
            ``whole``, one number for everything.
        generator: Stream of the masks; torch's default if not given.
        options: Label smoothing, FastEmit, label scale.
        skip_threshold: Nodes with less posterior than this are left out of the
            gradient; 0 leaves out none but those of posterior 0.
        tile_nodes: Nodes computed at once; None for 256, or more where the vocabulary
            is small. Memory grows with it; results do not depend on it, but for
            rounding.

    Raises:
        OptionError: An unknown option, or a rate outside of [0, 1).
        ValueError: Shapes do not fit.

    Source: reference/losses.md 5 and 6; Variani et al. 2020 (HAT), equation 5.
    """

    def __init__(
        self,
        am_BTR: torch.Tensor,
        lm_BSR: torch.Tensor,
        label_weight_KJ: torch.Tensor,
        label_bias_K: torch.Tensor,
        emission_weight_1J: Optional[torch.Tensor] = None,
        emission_bias_1: Optional[torch.Tensor] = None,
        *,
        activation: str = "maxout",
        emission: str = "sigmoid",
        label_dropout: float = 0.0,
        dropout_mask: str = "shared",
        generator: Optional[torch.Generator] = None,
        options: GradientOptions = GradientOptions(),
        skip_threshold: float = SKIP_THRESHOLD,
        tile_nodes: Optional[int] = None,
    ):
        for name, value, known in (
            ("emission", emission, EMISSIONS),
            ("dropout_mask", dropout_mask, DROPOUT_MASKS),
        ):
            if value not in known:
                raise OptionError(f"{name} {value!r}", expected=" or ".join(known))
        if not 0.0 <= label_dropout < 1.0:
            raise OptionError(
                f"label_dropout {label_dropout}", expected="0 <= rate < 1"
            )
        if tile_nodes is None:
            tile_nodes = max(TILE_NODES, TILE_LOGITS // max(label_bias_K.numel(), 1))
        if tile_nodes < 1 or not 0.0 <= skip_threshold < 1.0:
            raise OptionError(
                f"tile_nodes {tile_nodes}, skip_threshold {skip_threshold}",
                expected="at least one node, and a threshold in [0, 1)",
            )
        self.activation = get_activation(activation)
        self.inputs = (am_BTR, lm_BSR, label_weight_KJ, label_bias_K)
        self.emission = emission
        self.emission_inputs = (emission_weight_1J, emission_bias_1)
        self.label_dropout = label_dropout
        self.dropout_mask = dropout_mask
        self.generator = generator
        self.options = options
        self.skip_threshold = skip_threshold
        self.tile_nodes = tile_nodes
        self._check_layers()

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.inputs[0].device

    @property
    def vocabulary(self) -> int:
        """V, blank included."""
        return self.inputs[2].size(0) + (self.emission == "sigmoid")

    def _check_layers(self) -> None:
        am_BTR, lm_BSR, weight_KJ, bias_K = self.inputs
        if am_BTR.dim() != 3 or lm_BSR.dim() != 3:
            raise ValueError(
                f"projections {tuple(am_BTR.shape)} and {tuple(lm_BSR.shape)}: "
                "expected [B, T, R] and [B, S, R]"
            )
        size = am_BTR.size(2)
        pairs = self.activation.pairs
        readout = size // 2 if pairs else size
        shapes = {
            "positions": (lm_BSR, (am_BTR.size(0), lm_BSR.size(1), size)),
            "label weights": (weight_KJ, (weight_KJ.size(0), readout)),
            "label bias": (bias_K, (weight_KJ.size(0),)),
        }
        given = [x is not None for x in self.emission_inputs]
        if given != [self.emission == "sigmoid"] * 2:
            raise ValueError(
                f"emission {self.emission} with{'' if any(given) else 'out'} emission "
                "weights: the sigmoid needs weight and bias, the softmax has neither"
            )
        if all(given):
            shapes["emission weights"] = (self.emission_inputs[0], (1, readout))
            shapes["emission bias"] = (self.emission_inputs[1], (1,))
        for name, (tensor, expected) in shapes.items():
            if tuple(tensor.shape) != expected:
                raise ValueError(
                    f"{name} of shape {tuple(tensor.shape)}: expected {expected} for "
                    f"frames {tuple(am_BTR.shape)}"
                )
        if pairs and size % 2:
            raise ValueError(f"readout of size {size}: maxout needs an even one")

    def _check_batch(self, labels_BL, frame_lens_B, label_lens_B, blank: int) -> None:
        am_BTR, lm_BSR = self.inputs[:2]
        batch, frames, positions = *am_BTR.shape[:2], lm_BSR.size(1)
        lattice = (batch, frames, positions)
        check_shapes(lattice, labels_BL, frame_lens_B, label_lens_B)
        if not 0 <= blank < self.vocabulary:
            raise OptionError(
                f"blank {blank}", expected=f"an index below {self.vocabulary}"
            )
        places_L = torch.arange(positions - 1, device=labels_BL.device)
        ids = labels_BL[places_L < label_lens_B.unsqueeze(1)]
        wrong = ids[(ids < 0) | (ids >= self.vocabulary) | (ids == blank)]
        if len(wrong):
            raise OptionError(
                f"label {int(wrong[0])}",
                expected=f"0 to {self.vocabulary - 1} without blank, {blank}",
            )

    def full_sum(
        self,
        labels_BL: torch.Tensor,
        frame_lens_B: torch.Tensor,
        label_lens_B: torch.Tensor,
        topology: Union[str, Topology] = "rna",
        blank: int = 0,
        infeasible: str = "inf",
    ) -> torch.Tensor:
        """nll_B in nats; arguments as ``full_sum_loss``. Draws the dropout masks."""
        topology = get_topology(topology)
        batch = self._on_device(labels_BL, frame_lens_B, label_lens_B, blank)
        labels_BL, frame_lens_B, label_lens_B = batch
        mask_J, rate, seed = None, 0.0, 0
        if self.label_dropout and self.dropout_mask != "elementwise":
            weight_KJ = self.inputs[2]
            size = 1 if self.dropout_mask == "whole" else weight_KJ.size(1)
            mask_J = shared_mask(weight_KJ, size, self.label_dropout, self.generator)
        elif self.label_dropout:
            rate, seed = self.label_dropout, draw_seed(self.generator)
        plan = self._plan(batch, topology, blank, mask_J, rate, seed)
        full_sum = FusedFullSum.apply
        if use_kernels(self.device):
            # imported only here: Triton is not everywhere
            from espnet_ext.asr.loss.triton.loss import fused_joint_triton as full_sum
        nll_B = full_sum(*self.inputs, *self.emission_inputs, plan)
        if infeasible == "zero":
            feasible_B = topology.feasible(frame_lens_B, label_lens_B, labels_BL)
            nll_B = nll_B.masked_fill(~feasible_B, 0.0)
        return nll_B

    @torch.no_grad()
    def arc_scores(
        self,
        labels_BL: torch.Tensor,
        frame_lens_B: torch.Tensor,
        label_lens_B: torch.Tensor,
        topology: Union[str, Topology] = "rna",
        blank: int = 0,
    ) -> ArcScores:
        """Scores of the arcs [B, T, S], float64: what alignments are made of.

        Arguments as ``full_sum_loss``. Nodes on no complete alignment hold 0. There is
        no dropout, whatever ``label_dropout`` says.
        """
        batch = self._on_device(labels_BL, frame_lens_B, label_lens_B, blank)
        plan = self._plan(batch, get_topology(topology), blank)
        with torch.autocast(self.device.type, enabled=False):
            weights = (*self.inputs[2:], *self.emission_inputs)
            return lattice_arcs(*self.inputs[:2], weights, plan)

    def select(self, rows_B: torch.Tensor) -> "FusedJointLoss":
        """The same of some sequences."""
        selected = copy.copy(self)
        am_BTR, lm_BSR, *weights = self.inputs
        selected.inputs = (am_BTR[rows_B], lm_BSR[rows_B], *weights)
        return selected

    @torch.no_grad()
    def node_scorer(
        self,
        labels_BL: torch.Tensor,
        frame_lens_B: torch.Tensor,
        label_lens_B: torch.Tensor,
        topology: Union[str, Topology] = "rna",
        blank: int = 0,
    ) -> Callable[[torch.Tensor, torch.Tensor], NodeScores]:
        """``arc_scores`` of chosen nodes, see ``fused_function.node_scorer``."""
        batch = self._on_device(labels_BL, frame_lens_B, label_lens_B, blank)
        plan = self._plan(batch, get_topology(topology), blank)
        weights = (*self.inputs[2:], *self.emission_inputs)
        scorer = node_scorer(*self.inputs[:2], weights, plan)

        def scores(frame_N: torch.Tensor, position_N: torch.Tensor) -> NodeScores:
            with torch.autocast(self.device.type, enabled=False):
                return scorer(frame_N, position_N)

        return scores

    def _on_device(self, labels_BL, frame_lens_B, label_lens_B, blank: int):
        batch = (labels_BL, frame_lens_B, label_lens_B)
        batch = tuple(x.to(self.device) for x in batch)
        self._check_batch(*batch, blank)
        return batch

    def _plan(self, batch, topology, blank, mask_J=None, rate=0.0, seed=0) -> Plan:
        labels_BL, frame_lens_B, label_lens_B = batch
        return Plan(
            labels_BL=labels_BL,
            frame_lens_B=frame_lens_B,
            label_lens_B=label_lens_B,
            topology=topology,
            blank=blank,
            blank_unit=blank if self.emission == "softmax" else None,
            activation=self.activation,
            options=self.options,
            mask_J=mask_J,
            dropout_rate=rate,
            dropout_seed=seed,
            threshold=self.skip_threshold,
            tile=self.tile_nodes,
        )
