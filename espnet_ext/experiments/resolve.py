"""From an experiment name or an overlay to a plain ESPnet training configuration.

In this order, later ones win: base of the model family, base of the criterion, regime,
switches in the catalogue's order, what follows from several of them, overlays, values
of the command line; then the peculiarities of the chosen fidelity where no file set
them. Every value keeps its origin.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from espnet_ext import strict_yaml
from espnet_ext.errors import OptionError
from espnet_ext.experiments import fidelity, rules, schedule
from espnet_ext.experiments.catalogue import Switch, load_catalogue
from espnet_ext.experiments.files import OWN_KEYS, Conf, Overlay, find_conf
from espnet_ext.experiments.grammar import Switches, format_name, parse_name
from espnet_ext.experiments.keys import check_keys, check_types
from espnet_ext.experiments.settings import Settings, leaves, nested
from espnet_ext.names import nearest

VALUE = re.compile(r"\$value(?:\*(\d+))?")


@dataclasses.dataclass(frozen=True)
class Resolved:
    """An experiment with everything it says.

    Attributes:
        name: As the user wrote it, or that of the overlay.
        canonical: The name of its switches in canonical order.
        switches: What the name says; without those that an overlay changes.
        config: The training configuration, nested; stock tools read it.
        origins: Where each value comes from, by dotted path.
        fidelity: original, corrected, or ``mixed``.
        behaviour_version: Date of the behaviour the experiment is pinned to.
        inference_config: Decoding configuration that belongs to it, "" if none.
        growth: Its growth stages.
    """

    name: str
    canonical: str
    switches: Switches
    config: Mapping[str, Any]
    origins: Mapping[str, str]
    fidelity: str
    behaviour_version: str
    inference_config: str
    growth: schedule.Growth

    def get(self, path: str, default: Any = None) -> Any:
        """A value of the configuration by its dotted path."""
        value: Any = self.config
        for part in path.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return default
            value = value[part]
        return value


class _Builder:
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
        for row in rows:
            if row.regime and row.id != "import_old_nick":
                named = row.regime
                break
        else:
            defaults = [row.default_regime for row in rows if row.default_regime]
            named = defaults[0] if defaults else self.own["regime"]
        if "import_old_nick" in self.switches:
            return "import_old_nick"
        return named

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
            return self.blstm_growth()
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

    def blstm_growth(self) -> schedule.Growth:
        first = self.settings.get("encoder_conf.growth_start_layers")
        last = self.settings.get("encoder_conf.num_layers")
        epochs = self.settings.get("encoder_conf.growth_epochs_per_layer")
        return schedule.Growth(
            tuple(range(first, last + 1)), (epochs,) * (last - first)
        )

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

    def build_whole(self, file: Path) -> schedule.Growth:
        """A complete training configuration as base; it has chosen its own fidelity."""
        document = strict_yaml.load(file)
        check_keys(document, document.content, self.settings)
        self.settings.merge(document.content, str(file))
        if self.name == str(file):
            self.name = file.stem
        self.own["behaviour_version"] = fidelity.BEHAVIOUR_VERSION
        if self.settings.get("encoder_conf.growth_start_layers"):
            return self.blstm_growth()
        layers = self.settings.get("encoder_conf.num_layers")
        return schedule.Growth((layers if isinstance(layers, int) else 0,), ())

    def build(self) -> schedule.Growth:
        """Everything that the name says."""
        self.bases()
        name, regime = self.regime()
        self.all_switches()
        growth = self.growth(name, regime)
        self.rates(name, regime, growth)
        self.batches(name, regime, growth)
        return growth


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


def find_overlays(name: str, conf: Conf, switches: Optional[Switches]) -> List[Overlay]:
    """Overlays of a name: by file name, or by a name of the same switches."""
    file = conf.file_of(name)
    if file is None and switches is not None:
        for stem, path in conf.overlays.items():
            try:
                same = parse_name(stem, conf.baselines) == switches
            except OptionError:
                continue  # an overlay with a name of its own
            if same:
                file = path
    return conf.chain(file) if file else []


def resolve(
    name: str,
    overrides: Sequence[Tuple[str, Any]] = (),
    conf: Optional[Conf] = None,
) -> Resolved:
    """Everything that an experiment name or an overlay file says.

    Args:
        name: Tokens joined by ``_``, the name of an overlay, or a .yaml file.
        overrides: (dotted path, value) from the command line.
        conf: Configuration folder; found by default.

    Raises:
        OptionError: An unknown token, key or value, with the nearest valid one.
        FormatError, MissingInputError: A file is not as it should be.
    """
    conf = conf or find_conf()
    is_file = name.endswith((".yaml", ".yml"))
    whole = conf.complete(name)
    switches, overlays = None, []
    if whole is None:
        if not is_file and name not in conf.overlays:
            switches = parse_name(name, conf.baselines)
        overlays = find_overlays(name, conf, switches)
    if switches is None and overlays:
        rest = overlays[0].base or overlays[0].name
        whole = conf.complete(rest) if overlays[0].base else None
        switches = None if whole else parse_name(rest, conf.baselines)
    if overlays and is_file:
        name = overlays[-1].name
    builder = _Builder(conf, switches or Switches(()), name)
    for overlay in overlays:
        if "regime" in overlay.own:
            builder.own["overlay_regime"] = overlay.own["regime"]
    growth = builder.build_whole(whole) if whole else builder.build()
    settings = builder.settings
    pinned: Dict[str, str] = {}
    for overlay in overlays:
        builder.own.update(overlay.own)
        origin = f"overlay {overlay.name}"
        check_keys(overlay.document, overlay.content, settings)
        check_types(overlay.document, overlay.content, settings)
        settings.merge(overlay.content, origin)
        pinned.update((path, origin) for path, _ in leaves(overlay.content))
    if overrides:
        content = nested(dict(overrides))
        document = strict_yaml.Document(content, {}, "command line")
        check_keys(document, content, settings)
        check_types(document, content, settings)
    for path, value in overrides:
        settings.set(path, value, "command line")
        pinned[path] = "command line"
    return _finished(builder, growth, pinned)


def _finished(
    builder: _Builder, growth: schedule.Growth, pinned: Mapping[str, str]
) -> Resolved:
    settings, own, name = builder.settings, builder.own, builder.name
    fidelity_name = "its own"
    if "fidelity" in own:
        choices = fidelity.choice_of(own["fidelity"], name)
        fidelity.apply_fidelity(settings, choices, pinned)
        chosen = set(choices.values())
        fidelity_name = chosen.pop() if len(chosen) == 1 else "mixed"
    version = fidelity.check_version(own["behaviour_version"], name)
    fidelity.apply_changes(settings, version)
    described = {"name": name, "behaviour_version": version, "fidelity": fidelity_name}
    for key, value in described.items():
        settings.set(f"experiment_conf.{key}", value, "resolution")
    rules.check(settings, name)
    return Resolved(
        name=name,
        canonical=format_name(builder.switches),
        switches=builder.switches,
        config=settings.tree(),
        origins=dict(settings.origins),
        fidelity=fidelity_name,
        behaviour_version=version,
        inference_config=own.get("inference_config", ""),
        growth=growth,
    )
