"""Conformer encoder of the experiments, with growing stages and chunked training.

Source: reference/models.md (c), (d); i6_experiments exp_fs_base/conformer*.py;
returnn_common nn/conformer.py.
"""

# Dimensions: B batch, T frames, F feature, D model, C windows, W window size
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from espnet2.asr.encoder.abs_encoder import AbsEncoder

from espnet_ext.asr.encoder.chunked import ChunkedEvaluation
from espnet_ext.asr.encoder.conformer_layer import ConformerLayer, LayerOptions
from espnet_ext.asr.encoder.frontends import build_frontend
from espnet_ext.asr.encoder.growth import GrowthOptions, Stage, stages_of
from espnet_ext.asr.encoder.self_attention import AttentionOptions
from espnet_ext.layers.chunking import chunking_of
from espnet_ext.layers.dropout import FeatureDropout
from espnet_ext.layers.growing import (
    Axis,
    GrowingLayerNorm,
    GrowingLinear,
    initialise,
    set_sizes,
    used_entries,
)
from espnet_ext.layers.relative_positions import sinusoid_table
from espnet_ext.layers.weight_noise import WeightNoise

POSITION_MASKS = ("same", "per_layer")
PADDINGS = ("visible", "zero")
LayerOutputs = List[Tuple[int, torch.Tensor]]


class StagedConformerEncoder(ChunkedEvaluation, AbsEncoder):
    """Frontend, projection to D, dropout, Conformer layers.

    Where the original has a defect, the first of the named values is its behaviour.

    Args:
        input_size: F.
        frontend: ``type`` and its options, see ``frontends``.
        input_norm: ``layer_norm`` after the projection, or None
            (``old_moh_hybrid_conformer``).
        input_dropout: After the projection; does not grow.
        num_layers: Layers when fully grown.
        model_size: D, a multiple of ``num_heads``.
        feed_forward_size: Inner dimension of the feed-forward modules.
        num_heads: Attention heads.
        conv_kernel_size: Of the depthwise convolution.
        conv_norm: ``batch_norm`` (padding in the statistics), ``masked_batch_norm``,
            ``layer_norm``.
        conv_norm_updates_in_evaluation: See GrowingBatchNorm.
        positions: ``relative`` (sinusoidal) or ``shaw`` (learned, clipped; projections
            without bias).
        position_clip: Largest offset of ``shaw``.
        position_rows: ``as_read`` (see ``short_table``) or ``all`` rows of its table.
        shaw_init: ``zero``, or drawn as the other weights (``glorot``).
        dropout: Of residual branches, feed-forward modules and the BLSTM frontend.
        attention_dropout: On the attention weights.
        position_dropout: On the sinusoidal encodings, elementwise.
        dropout_mask: ``shared`` (over batch and time; on attention weights over all but
            the keys) or ``elementwise``.
        position_dropout_mask: ``same`` mask in all layers, or ``per_layer``.
        feed_forward_dropout: ``whole_module``, ``shared`` or ``elementwise``.
        attention_residual_dropout: Dropout after the attention (``fix245``).
        residual: ``all`` or ``attention_only`` (``nores``).
        block: ``standard`` or ``double_convolution`` (``old_moh_hybrid_conformer``).
        init: Distribution of the initial weights of all linear layers, see
            ``uniform_limit``; convolutions and LSTMs are always Glorot uniform.
        qkv_init_scale: Factor on the variance of the initial q, k, v projection.
        attention_window_size: Keys around each query; None for all.
        attention_window: ``ineffective`` (``winN``: all keys are seen), in ``training``
            only, or ``always``.
        attention_gradient_decay: Gradients of scores are multiplied by
            exp(-decay |s - t|) (``attscaledist``).
        attention_gradient_dropout: Dropout over keys on these factors.
        attention_gradient_reset: Probability that a factor is 1 instead.
        chunk_size: Window in frames after the frontend, in training; None for none.
        chunk_stride: From window to window, ``chunk_size`` by default; less: they
            overlap, and the mean of their outputs is taken.
        chunk_only_longer: Only where the longest sequence of the batch is longer.
        chunk_tail: ``zero`` (frames in no window have zero output) or ``covered``.
        padding: ``visible`` (convolutions see frames after the end) or ``zero``.
        growth: See GrowthOptions; None for no growth.
        weight_noise_std: Of the noise on LSTM and Linear weights in training.
        weight_dropout: Dropout on these weights in training.
        weight_noise_each: Both are drawn anew in each ``batch`` or each ``update``.
        stochastic_depth: Probability that the last layer is skipped in training,
            proportionally less for the lower ones.
        squeeze_excitation: Reduction ratio in the convolution module; None for none.

    All parameters exist from the beginning; a growing stage uses the part of each that
    the original would have copied into the next stage. Outputs always have D features,
    the ones not in use are zero.
    """

    def __init__(
        self,
        input_size: int,
        frontend: Optional[Dict] = None,
        input_norm: Optional[str] = None,
        input_dropout: float = 0.1,
        num_layers: int = 12,
        model_size: int = 512,
        feed_forward_size: int = 2048,
        num_heads: int = 4,
        conv_kernel_size: int = 32,
        conv_norm: str = "batch_norm",
        conv_norm_updates_in_evaluation: bool = False,
        positions: str = "relative",
        position_clip: int = 16,
        position_rows: str = "as_read",
        shaw_init: str = "zero",
        dropout: float = 0.1,
        attention_dropout: float = 0.05,
        position_dropout: float = 0.0,
        dropout_mask: str = "shared",
        position_dropout_mask: str = "same",
        feed_forward_dropout: str = "whole_module",
        attention_residual_dropout: bool = False,
        residual: str = "all",
        block: str = "standard",
        init: str = "glorot",
        qkv_init_scale: float = 1.0,
        attention_window_size: Optional[int] = None,
        attention_window: str = "ineffective",
        attention_gradient_decay: float = 0.0,
        attention_gradient_dropout: float = 0.0,
        attention_gradient_reset: float = 0.0,
        chunk_size: Optional[int] = None,
        chunk_stride: Optional[int] = None,
        chunk_only_longer: bool = False,
        chunk_tail: str = "zero",
        padding: str = "visible",
        growth: Optional[Dict] = None,
        weight_noise_std: float = 0.0,
        weight_dropout: float = 0.0,
        weight_noise_each: str = "batch",
        stochastic_depth: float = 0.0,
        squeeze_excitation: Optional[int] = None,
    ):
        super().__init__()
        for name, value, allowed in (
            ("input_norm", input_norm, (None, "layer_norm")),
            ("position_dropout_mask", position_dropout_mask, POSITION_MASKS),
            ("padding", padding, PADDINGS),
        ):
            if value not in allowed:
                raise ValueError(f"{name} {value!r}: expected one of {allowed}")
        if not 0.0 <= stochastic_depth < 1.0:
            raise ValueError(
                f"stochastic_depth {stochastic_depth}: expected 0 <= p < 1"
            )
        self.growth = _growth_options(growth, num_layers)
        attention = AttentionOptions(
            positions=positions,
            position_clip=position_clip,
            position_rows=position_rows,
            shaw_init=shaw_init,
            init=init,
            bias=positions != "shaw",
            dropout=attention_dropout,
            dropout_mask=dropout_mask,
            qkv_init_scale=qkv_init_scale,
            growth_parts=self.growth.qkv if self.growth else "blocks",
            window_size=attention_window_size,
            window=attention_window,
            gradient_decay=attention_gradient_decay,
            gradient_dropout=attention_gradient_dropout,
            gradient_reset=attention_gradient_reset,
        )
        options = LayerOptions(
            size=model_size,
            feed_forward_size=feed_forward_size,
            heads=num_heads,
            kernel_size=conv_kernel_size,
            conv_norm=conv_norm,
            conv_norm_updates_in_evaluation=conv_norm_updates_in_evaluation,
            dropout=dropout,
            dropout_mask=dropout_mask,
            feed_forward_dropout=feed_forward_dropout,
            attention_residual_dropout=attention_residual_dropout,
            residual=residual,
            squeeze_excitation=squeeze_excitation,
            hide_padding=padding == "zero",
            block=block,
            init=init,
            attention=attention,
        )
        self.frontend = build_frontend(
            input_size,
            frontend or {},
            dropout,
            dropout_mask,
            padding == "zero",
            growing=self.growth is not None and self.growth.frontend,
        )
        model = Axis("model", model_size)
        self.input_projection = GrowingLinear(
            self.frontend.out_axis, model, bias=False, init=init
        )
        self.input_norm = GrowingLayerNorm(model) if input_norm else None
        self.layers = torch.nn.ModuleList(
            ConformerLayer(options) for _ in range(num_layers)
        )
        # dropouts whose rate grows, with their full rate; the input dropout does not
        self.position_dropout = FeatureDropout(position_dropout, "elementwise")
        self._growing_dropouts = [
            (module, module.rate)
            for module in self.modules()
            if isinstance(module, FeatureDropout)
        ]
        self.input_dropout = FeatureDropout(input_dropout, dropout_mask)
        self.position_dropout_mask = position_dropout_mask
        self.sinusoids = positions == "relative"
        self.chunking = chunking_of(chunk_size, chunk_stride, chunk_tail)
        self.chunk_only_longer = chunk_only_longer
        self.weight_noise = WeightNoise(
            weight_noise_std, weight_dropout, weight_noise_each
        )
        self.stochastic_depth = stochastic_depth
        self.model_size = model_size
        self.stages = stages_of(
            self.growth,
            num_layers,
            model_size,
            feed_forward_size,
            num_heads,
            conv_kernel_size,
            self.frontend.growing_size,
        )
        if self.growth is not None and self.growth.width:
            initialise(self, [stage.sizes() for stage in self.stages])
        # A float, because n-best averaging adds up integer buffers.
        self.register_buffer("active_layers", torch.tensor(float(num_layers)))
        self._set_stage(self.stages[-1])
        self.register_load_state_dict_post_hook(_follow_loaded_stage)

    def output_size(self) -> int:
        """D, in every growing stage."""
        return self.model_size

    def frame_axis(self, count: int = 1) -> Axis:
        """Axis of a weight that meets ``count`` concatenated frames."""
        return Axis("model", count * self.model_size, count)

    @property
    def stage(self) -> Stage:
        """The growing stage in use."""
        return self._stage

    def used_entries(self) -> Dict[str, torch.Tensor]:
        """What is in use of each parameter now, see ``layers.growing``.

        Parameters that are not named do not grow; those of layers above the active
        ones are not in use at all.
        """
        masks = used_entries(self, self._stage.sizes())
        for name in masks:
            part = name.split(".")
            if part[0] == "layers" and int(part[1]) >= self._stage.layers:
                masks[name].fill_(False)
        return masks

    def _set_stage(self, stage: Stage, regularise: bool = True) -> None:
        self._stage = stage
        set_sizes(self, stage.sizes() if stage is not self.stages[-1] else {})
        factor = stage.fraction if regularise else 0.0
        for module, rate in self._growing_dropouts:
            module.rate = rate * factor

    def set_epoch(self, epoch: int) -> None:
        """Enter the growing stage of this 1-based sub-epoch; called by the trainer."""
        stage, regularise = self.stages[-1], True
        if self.growth is not None:
            stage = self.stages[self.growth.stage_number(epoch)]
            regularise = epoch >= self.growth.regularise_from_epoch
        self.active_layers.fill_(float(stage.layers))
        self._set_stage(stage, regularise)

    def forward(
        self,
        xs_pad: torch.Tensor,
        ilens: torch.Tensor,
        prev_states: Optional[torch.Tensor] = None,
        aux_layers: Sequence[int] = (),
        perturb: bool = True,
    ) -> Tuple[Any, torch.Tensor, Optional[torch.Tensor]]:
        """Features [B, T, F] and lengths [B] to frames [B, T', D] and lengths [B].

        Args:
            xs_pad: Features.
            ilens: Valid frames of each.
            prev_states: Not used.
            aux_layers: 1-based numbers of layers whose outputs are wanted.
            perturb: Apply weight noise and weight dropout in training.

        Returns:
            Frames, or with ``aux_layers`` a pair of frames and [(number, output)] of
            those layers that exist at this stage; lengths ceil(T / 6); None.
        """
        if perturb and self.weight_noise.wanted:
            weights = self.weight_noise.weights(self)
            return torch.func.functional_call(
                self,
                weights,
                (xs_pad, ilens, prev_states, aux_layers, False),
            )
        x, lengths = self.frontend(self._whole_frames(xs_pad), ilens)
        frames = x.size(1)
        if self._cuts(frames):
            chunks = self.chunking.cut(x)
            shape = chunks.shape[:2]
            outputs = [
                (number, self.chunking.join(y.unflatten(0, shape), frames, lengths))
                for number, y in self._conformer(chunks.flatten(0, 1), None, aux_layers)
            ]
        else:
            outputs = self._conformer(x, lengths, aux_layers)
        missing = self.model_size - outputs[0][1].size(2)
        if missing:
            outputs = [(number, F.pad(y, (0, missing))) for number, y in outputs]
        y = outputs[0][1]
        return ((y, outputs[1:]) if aux_layers else y), lengths, None

    def _conformer(
        self,
        x_BTF: torch.Tensor,
        lengths_B: Optional[torch.Tensor],
        aux_layers: Sequence[int],
    ) -> LayerOutputs:
        """Output of the last layer first, then those of ``aux_layers``, ascending."""
        x = self.input_projection(x_BTF)
        if self.input_norm is not None:
            x = self.input_norm(x)
        x = self.input_dropout(x)
        table = None
        if self.sinusoids:
            table = sinusoid_table(x.size(1), x.size(2), x.device, x.dtype)
            if self.position_dropout_mask == "same":
                table = self.position_dropout(table)
        wanted = []
        active = self._stage.layers
        for number, layer in enumerate(self.layers[:active], start=1):
            skip = self.stochastic_depth * number / active
            factor = 1.0
            if self.training and skip > 0.0:
                factor = 1.0 / (1.0 - skip)
            positions = table
            if table is not None and self.position_dropout_mask == "per_layer":
                positions = self.position_dropout(table)
            if factor == 1.0 or float(torch.rand(())) >= skip:
                x = layer(x, lengths_B, positions, factor)
            if number in aux_layers:
                wanted.append((number, x))
        return [(active, x), *wanted]


def _growth_options(growth: Optional[Dict], num_layers: int) -> Optional[GrowthOptions]:
    if growth is None:
        return None
    unknown = sorted(set(growth) - set(GrowthOptions._fields))
    if unknown:
        raise ValueError(
            f"growth has no option {unknown[0]!r}: expected "
            f"{', '.join(GrowthOptions._fields)}"
        )
    options = GrowthOptions(**growth)
    options.check(num_layers)
    return options


def _follow_loaded_stage(encoder: StagedConformerEncoder, incompatible_keys) -> None:
    """After loading: use the stage of the checkpoint.

    Raises:
        ValueError: The checkpoint is an average over stages, or of other stages.
    """
    active = float(encoder.active_layers)
    for stage in encoder.stages:
        if stage.layers == active:
            encoder._set_stage(stage)
            return
    raise ValueError(
        f"this checkpoint has {active} active layers, the growing stages here have "
        f"{[stage.layers for stage in encoder.stages]}: average only epochs after the "
        "growth is complete, and use the growth options it was trained with"
    )
