"""From an experiment name or an overlay to a plain ESPnet training configuration.

In this order, later ones win: base of the model family, base of the criterion, regime,
switches in the catalogue's order, what follows from several of them, overlays, values
of the command line; then the peculiarities of the chosen fidelity where no file set
them. Every value keeps its origin.
"""

import dataclasses
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from espnet_ext import strict_yaml
from espnet_ext.errors import OptionError
from espnet_ext.experiments import fidelity, rules, schedule
from espnet_ext.experiments.builder import Builder
from espnet_ext.experiments.files import Conf, Overlay, find_conf
from espnet_ext.experiments.grammar import format_name, parse_name
from espnet_ext.experiments.keys import check_keys, check_types
from espnet_ext.experiments.settings import leaves, nested
from espnet_ext.experiments.switches import Switches


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
    builder = Builder(conf, switches or Switches(()), name)
    for overlay in overlays:
        if "regime" in overlay.own:
            builder.own["overlay_regime"] = overlay.own["regime"]
    if whole:
        builder.build_whole(whole)
    else:
        builder.build()
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
    return _finished(builder, pinned)


def _finished(builder: Builder, pinned: Mapping[str, str]) -> Resolved:
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
        growth=schedule.growth_of_encoder(settings.get("encoder_conf", {})),
    )
