"""ESPnet's E-Branchformer behind our frontends, with outputs of layers by number.

Ref: Kim et al. 2023, E-Branchformer. Everything but frontend and outputs is
``espnet2.asr.encoder.e_branchformer_encoder``.
"""

# Dimensions: B batch, T frames, F feature, D model
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

import torch
from espnet2.asr.encoder.e_branchformer_encoder import EBranchformerEncoder

from espnet_ext.asr.encoder.frontends import build_frontend
from espnet_ext.layers.init import init_linear_


class Depth(NamedTuple):
    """Number of layers in use: what models ask a growing encoder for."""

    layers: int


class FrontendEBranchformer(EBranchformerEncoder):
    """Frontend, projection, E-Branchformer layers.

    Args:
        input_size: F.
        output_size: D.
        num_blocks: Layers.
        frontend: ``type`` and its options, see ``frontends``.
        dropout_rate: Of the layers, and of the BLSTM frontends.
        conf: ESPnet's options but for ``input_layer`` and those of its intermediate
            CTC, whose place ``aux_layers`` takes.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int = 256,
        num_blocks: int = 12,
        frontend: Optional[Dict] = None,
        dropout_rate: float = 0.1,
        **conf,
    ):
        for name in ("input_layer", "interctc_layer_idx", "interctc_use_conditioning"):
            if name in conf:
                raise ValueError(f"e_branchformer behind a frontend has no {name}")
        super().__init__(
            output_size,
            output_size,
            num_blocks=num_blocks,
            dropout_rate=dropout_rate,
            input_layer=None,
            **conf,
        )
        self.frontend = build_frontend(
            input_size, frontend or {}, dropout_rate, "elementwise", True
        )
        size = self.frontend.output_size
        self.input_projection = init_linear_(torch.nn.Linear(size, output_size))
        self.stage = Depth(num_blocks)

    def forward(
        self,
        xs_pad: torch.Tensor,
        ilens: torch.Tensor,
        prev_states: Optional[torch.Tensor] = None,
        aux_layers: Sequence[int] = (),
    ) -> Tuple[Any, torch.Tensor, Optional[torch.Tensor]]:
        """As StagedConformerEncoder.forward.

        A layer that ``layer_drop_rate`` leaves out in training has no output.
        """
        x, lengths_B = self.frontend(xs_pad, ilens)
        frames_T = torch.arange(x.size(1), device=x.device)
        padded_BT = frames_T >= lengths_B.to(x.device).unsqueeze(1)
        self.interctc_layer_idx = list(aux_layers)
        result, _, _ = super().forward(
            self.input_projection(x), lengths_B, masks=padded_BT
        )
        self.interctc_layer_idx = []
        if not aux_layers:
            return result, lengths_B, None
        if not isinstance(result, tuple):
            result = result, []
        return result, lengths_B, None
