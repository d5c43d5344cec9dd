"""``espnet-ext exp list``: known experiments with the original's error rates."""

from typing import List, Sequence

from espnet_ext.errors import OptionError
from espnet_ext.experiments.catalogue import load_catalogue
from espnet_ext.experiments.files import Conf
from espnet_ext.experiments.grammar import parse_name
from espnet_ext.experiments.published import SETS, Published, load_published
from espnet_ext.experiments.switches import Switches
from espnet_ext.names import nearest

NO_RESULT = 1000.0


def known_names(conf: Conf, published: Published) -> List[str]:
    """Experiments of the original and those with an overlay here."""
    original = []
    for name in published.names():
        try:
            parse_name(name)
        except OptionError:
            continue  # a line of a paper
        original.append(name)
    return sorted({*original, *conf.overlays})


def _switches(name: str, conf: Conf) -> Switches:
    if name in conf.overlays:
        overlays = conf.chain(conf.overlays[name])
        name = overlays[0].base or overlays[0].name
    return parse_name(name, conf.baselines)


def matches(name: str, switches: Switches, wanted: str) -> bool:
    """Whether an experiment has what one filter asks for.

    A filter is a switch, a group or a token (``aux_ctc``, ``specaugweia``,
    ``aux48ff``), or a part of the name; with ``!`` in front its opposite.
    """
    if wanted.startswith("!"):
        return not matches(name, switches, wanted[1:])
    catalogue = load_catalogue()
    tokens = {
        catalogue.switches[i].write(list(v) if isinstance(v, tuple) else v)
        for i, v in switches.values
    }
    slots = {catalogue.switches[i].slot for i in switches.ids()}
    known = {s.slot for s in catalogue.switches.values()} | set(catalogue.switches)
    if wanted in known:
        return wanted in slots or wanted in switches
    return wanted in tokens or wanted in name


def list_screen(
    conf: Conf, filters: Sequence[str], sort: str = "name", limit: int = 0
) -> str:
    """Name and error rates of the experiments that all filters fit.

    Raises:
        OptionError: No experiment fits; names the nearest token.
    """
    published = load_published(conf.results)
    found = []
    for name in known_names(conf, published):
        switches = _switches(name, conf)
        if all(matches(name, switches, wanted) for wanted in filters):
            found.append((name, published.word_error_rates(name)))
    if not found:
        tokens = {t for n in known_names(conf, published) for t in n.split("_")}
        near = nearest(filters[-1], tokens) if filters else None
        raise OptionError(
            f"no experiment fits {' '.join(filters)}",
            next_step=f"did you mean {near!r}?" if near else None,
        )
    if sort != "name":
        found.sort(key=lambda item: item[1].get(sort, NO_RESULT))
    lines = [f"{'hub5e_00':>8} {'hub5e_01':>8} {'rt03s':>8}  experiment"]
    for name, rates in found[: limit or None]:
        cells = [f"{rates[s]:8.1f}" if s in rates else f"{'-':>8}" for s in SETS]
        lines.append(f"{' '.join(cells)}  {name}")
    lines += [
        "",
        f"{len(found)} experiments. WER in % of the original, checkpoint selected on "
        "hub5e_00; no entry: none recorded. Identical runs differ by up to 3 % on it.",
    ]
    return "\n".join(lines)
