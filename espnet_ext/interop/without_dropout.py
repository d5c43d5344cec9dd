"""Training mode without chance, as the original's arrays of training mode are."""

import torch

from espnet_ext.asr.encoder.self_attention import SelfAttention
from espnet_ext.layers.dropout import FeatureDropout
from espnet_ext.layers.zoneout_lstm import ZoneoutLstm

# probabilities and amounts that a module has in an attribute of its own
CHANCES = (
    *("recurrent_dropout", "weight_dropout", "weight_noise_std", "label_switchout"),
    *("stochastic_depth", "layer_drop_rate", "replace", "frames_per_stretch"),
)


def disable_dropout(model: torch.nn.Module) -> torch.nn.Module:
    """The same model, nothing in it left to chance; the mode stays as it is.

    Dropouts of features, weights, labels and layers have the rate zero, and noise the
    deviation zero. Zoneout is what it is in evaluation: the mean of its states.
    """
    for module in model.modules():
        if isinstance(module, FeatureDropout):
            module.rate = 0.0
        elif isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(module, ZoneoutLstm):
            module.eval()
        elif isinstance(module, SelfAttention):
            module.options = module.options._replace(
                gradient_dropout=0.0, gradient_reset=0.0
            )
        for name in CHANCES:
            if isinstance(getattr(module, name, None), (int, float)):
                setattr(module, name, 0)
    return model
