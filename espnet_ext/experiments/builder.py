"""Puts the configuration of one experiment together, step by step.

Bases of family and criterion, the regime's values, the switches in the catalogue's
order, then what follows from several of them: growth, learning rates, batches.
"""

import re
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

from espnet_ext import strict_yaml
from espnet_ext.errors import OptionError
from espnet_ext.experiments import fidelity, schedule
from espnet_ext.experiments.catalogue import Switch, load_catalogue
from espnet_ext.experiments.files import OWN_KEYS, Conf
from espnet_ext.experiments.keys import check_keys
from espnet_ext.experiments.settings import Settings
from espnet_ext.experiments.switches import Switches
from espnet_ext.names import nearest

VALUE = re.compile(r"\$value(?:\*(\d+))?")


class Builder:
    """Puts one configuration together."""

    def __init__(self, conf: Conf, switches: Switches, name: str):
        self.conf = conf
        self.switches = switches
        self.name = name
        self.settings = Settings()
        self.own: Dict[str, Any] = {}

    def load_base(self, name: str) -> None:
        """A file of bases/, after the one it rests on."""
        document = self.conf.base(name)
        below = document.content.get("base")
        if below:
            self.load_base(below)
        for key in OWN_KEYS:
            if key in document.content and key != "base":
                self.own[key] = document.content[key]
        content = {k: v for k, v in document.content.items() if k not in OWN_KEYS}
        self.settings.merge(content, f"base {name}")

    def bases(self) -> None:
        """Bases of the family, the import, and the criterion."""
        rows = [load_catalogue().switches[i] for i in self.switches.ids()]
        for slot in ("family", "import", "criterion"):
            for switch in rows:
                if switch.slot == slot and switch.base:
                    self.load_base(switch.base)

    def regime_name(self) -> str:
        """By overlay, token, or base."""
        if "overlay_regime" in self.own:
            return self.own["overlay_regime"]
        rows = [load_catalogue().switches[i] for i in self.switches.ids()]
        named = [row.regime for row in rows if row.regime]
        if named and "import_old_nick" not in self.switches:
            return named[0]
        defaults = [row.default_regime for row in rows if row.default_regime]
        return defaults[0] if defaults else self.own["regime"]

    def regime(self) -> Tuple[str, Mapping[str, Any]]:
        """Apply the values of the regime; growth and rates follow later."""
        name = self.regime_name()
        if name not in self.conf.regimes:
            near = nearest(name, self.conf.regimes)
            raise OptionError(
                f"unknown regime {name!r}",
                where=self.name,
                next_step=f"did you mean {near!r}?" if near else None,
                expected=None if near else ", ".join(self.conf.regimes),
            )
        regime = dict(self.conf.regimes[name])
        if "no_residual" in self.switches:
            regime["growth"] = self.conf.regimes["nores"]["growth"]
        self.settings.merge(regime.get("sets", {}), f"regime {name}")
        return name, regime

    def switch(self, switch: Switch, value: Any) -> None:
        """The constants of one switch."""
        sets = switch.sets
        if "attention" in self.switches and switch.sets_attention:
            sets = switch.sets_attention
        if switch.slot in ("family", "criterion"):
            return
        for path, template in sets.items():
            self.settings.set(
                path, _filled(template, value), switch.write(_plain(value))
            )

    def all_switches(self) -> None:
        for switch_id, value in self.switches.values:
            self.switch(load_catalogue().switches[switch_id], value)
        self.frontend_l2()
        if "copy" in self.switches:
            value = self.switches.get("copy")
            self.settings.set("experiment_conf.copy", value, f"copy{value}")
            self.settings.set("seed", self.settings.get("seed") + value, f"copy{value}")

    def frontend_l2(self) -> None:
        """A frontend sets L2 itself; the loop over the encoder overrides it.

        ``wd0`` removes that loop. Source: reference/models.md (c), (d.9).
        """
        conv_without_l2 = self.switches.slot("frontend") is None
        if "no_encoder_l2" in self.switches:
            self.settings.set("model_conf.l2.encoder", 0.0, "wd0")
            if conv_without_l2:
                self.settings.set("model_conf.l2.frontend", 0.0, "wd0")
        elif "convwei" in self.switches:
            value = self.settings.get("model_conf.l2.encoder")
            self.settings.set("model_conf.l2.frontend", value, "convwei without wd0")

    def growth(self, name: str, regime: Mapping[str, Any]) -> schedule.Growth:
        """Stages of growth, as the encoder's option."""
        origin = f"regime {name}"
        if self.settings.get("encoder") == "conv_blstm":
            return schedule.growth_of_encoder(self.settings.get("encoder_conf"))
        layers = self.switches.get("num_layers")
        if layers:
            self.settings.set("encoder_conf.num_layers", layers, f"n{layers}")
        growth = schedule.growth_of(
            regime, self.settings.get("encoder_conf.num_layers")
        )
        described = regime.get("growth")
        if described and growth.epochs:
            stages = {"layers": list(growth.layers[:-1]), "epochs": list(growth.epochs)}
            self.settings.set("encoder_conf.growth", {**described, **stages}, origin)
            begin = described.get("regularise_from_epoch")
            if begin:
                path = "model_conf.l2.regularise_from_epoch"
                self.settings.set(path, begin, origin)
        return growth

    def rates(
        self, name: str, regime: Mapping[str, Any], growth: schedule.Growth
    ) -> None:
        """Preset learning rates."""
        segments = schedule.preset_rates(regime["rates"], growth)
        origin = f"regime {name}"
        peak = self.switches.slot("peak_lr")
        if peak and segments:
            segments = schedule.with_peak(segments, peak[1])
            origin = f"{peak[0].write(peak[1])} in {origin}"
        if "one_cycle" in self.switches:
            stages = (
                segments[: len(growth.epochs)]
                if "each_stage" in regime["rates"]
                else []
            )
            segments = schedule.one_cycle(
                stages,
                max(max(start, end) for start, end, _ in segments),
                self.settings.get("scheduler_conf.min_lr"),
                self.settings.get("max_epoch"),
            )
            origin = f"oclr after {origin}"
        rates = [list(segment) for segment in segments]
        self.settings.set("scheduler_conf.lr_segments", rates, origin)
        default = self.settings.get("scheduler_conf.default_lr")
        self.settings.set("optim_conf.lr", default, "scheduler_conf.default_lr")

    def batches(
        self, name: str, regime: Mapping[str, Any], growth: schedule.Growth
    ) -> None:
        """Batch size and accumulation, by sub-epoch and at the end."""
        wanted = self.switches.get("gradient_accumulation")
        entries = schedule.batch_schedule(regime["batches"], growth, wanted)
        origin = f"gacc{wanted} in regime {name}" if wanted else f"regime {name}"
        last = entries[-1]
        samples = last["max_frames"] * schedule.SAMPLES_PER_FRAME
        self.settings.set("batch_bins", samples, origin)
        self.settings.set("accum_grad", last["accum_grad"], origin)
        if len(entries) > 1:
            self.settings.set("regime_conf.batch_schedule", entries, origin)

    def build_whole(self, file: Path) -> None:
        """A complete training configuration as base; it has chosen its own fidelity."""
        document = strict_yaml.load(file)
        check_keys(document, document.content, self.settings)
        self.settings.merge(document.content, str(file))
        if self.name == str(file):
            self.name = file.stem
        self.own["behaviour_version"] = fidelity.BEHAVIOUR_VERSION

    def build(self) -> None:
        """Everything that the name says."""
        self.bases()
        name, regime = self.regime()
        self.all_switches()
        growth = self.growth(name, regime)
        self.rates(name, regime, growth)
        self.batches(name, regime, growth)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _filled(template: Any, value: Any) -> Any:
    """A template of the catalogue with the value of the token."""
    if isinstance(template, Mapping):
        return {key: _filled(item, value) for key, item in template.items()}
    found = VALUE.fullmatch(template) if isinstance(template, str) else None
    if not found:
        return template
    return value * int(found[1]) if found[1] else _plain(value)
