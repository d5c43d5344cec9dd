"""Training mode without chance, as the original's arrays of training mode are."""

import torch

from espnet_ext.asr.joint.window_attention import WindowAttention
from espnet_ext.layers.dropout import FeatureDropout


def disable_dropout(model: torch.nn.Module) -> torch.nn.Module:
    """The same model, the rates of all its dropouts zero; the mode stays as it is."""
    for module in model.modules():
        if isinstance(module, FeatureDropout):
            module.rate = 0.0
        elif isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(module, WindowAttention):
            module.weight_dropout = 0.0
    return model
