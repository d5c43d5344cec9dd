"""What a named experiment of the original says that its parameters do not.

Everything comes from the resolved experiment, so that every name is understood in one
way; sizes come from the parameters.
"""

import copy
from typing import Any, Dict, Mapping, NamedTuple, Optional

from espnet_ext.asr.encoder_model import AUX_FORMS, smoothing_schedule
from espnet_ext.asr.loss.node_gradient import growth_fraction
from espnet_ext.asr.loss.smoothing import SmoothingSchedule
from espnet_ext.experiments.build import buildable
from espnet_ext.experiments.resolve import Resolved, resolve

SAMPLE_EPOCH = 5  # of a stage; parity/README.md: sub-epoch 15 where stages have 10
AFTER_WARMUP = 60
# the import's file passes these to the model's constructor, where reading the file's
# own settings does not find them
IMPORTED = {"time_pooling": [3, 2]}


class OriginalExperiment(NamedTuple):
    """A resolved experiment and the options that our classes have.

    Attributes:
        resolved: Everything about it.
        encoder: Options of the encoder, without growth: a file is of one stage.
        decoder: Options of the decoder.
        model: Options of the model.
    """

    resolved: Resolved
    encoder: Mapping[str, Any]
    decoder: Mapping[str, Any]
    model: Mapping[str, Any]

    @property
    def family(self) -> str:
        """Whose names the parameters have: ``orig``, ``old_moh``, ``old_nick`` or
        ``returnn_common``.
        """
        switches = self.resolved.switches
        if "import_old_nick" in switches:
            return "returnn_common"
        for switch, family in (
            ("orig", "orig"),
            ("old_moh_hybrid_conformer", "old_moh"),
            ("old_nick_att_conformer", "old_nick"),
        ):
            if switch in switches:
                return family
        return "returnn_common"

    def sub_epoch(self, layers: int) -> int:
        """A 1-based sub-epoch with that many layers."""
        growth = self.resolved.growth
        firsts = dict(zip(growth.layers, growth.first_epochs()))
        if layers not in firsts or layers == growth.layers[-1]:
            return max(growth.first_epochs()[-1] + SAMPLE_EPOCH, AFTER_WARMUP)
        lasts = dict(zip(growth.layers, growth.first_epochs()[1:]))
        return min(firsts[layers] + SAMPLE_EPOCH, lasts[layers]) - 1 or 1

    def aux_layers(self, layers: int) -> Dict[str, Any]:
        """``aux_ctc`` with the heads that exist while there are so many layers."""
        options = copy.deepcopy(dict(self.model.get("aux_ctc") or {}))
        if not options:
            return {}
        top = AUX_FORMS[options.get("form", "ff")]["top_layer"]
        highest = layers if top else layers - 1
        options["layers"] = [n for n in options["layers"] if n <= highest]
        return options if options["layers"] else {}

    def smoothing(self, layers: int, sub_epoch: Optional[int]) -> SmoothingSchedule:
        """Label smoothing as it is in a sub-epoch and growing stage."""
        schedule = smoothing_schedule(self.model.get("label_smoothing") or {})
        stages = self.resolved.growth.layers
        growth = 1.0
        if layers in stages:
            growth = growth_fraction(layers, stages[0], stages[-1])
        epoch = self.sub_epoch(layers) if sub_epoch is None else sub_epoch
        now = schedule.at(epoch, growth)
        return SmoothingSchedule(now.scale, schedule.over, schedule.apply)


def original_experiment(name: str) -> OriginalExperiment:
    """The experiment of that name.

    Raises:
        OptionError: A token is unknown; the nearest one is named.
    """
    resolved = resolve(name)
    kept, _ = buildable(resolved.config)
    encoder = copy.deepcopy(dict(kept.get("encoder_conf") or {}))
    for option in list(encoder):
        if option == "growth" or option.startswith("growth_"):
            del encoder[option]
    if "import_old_nick" in resolved.switches:
        encoder["frontend"] = {**encoder["frontend"], **IMPORTED}
    return OriginalExperiment(
        resolved, encoder, kept.get("decoder_conf") or {}, kept.get("model_conf") or {}
    )
