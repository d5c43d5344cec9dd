"""A set of switches, what an experiment name says."""

import dataclasses
from typing import Any, List, Mapping, Optional, Tuple

from espnet_ext.errors import OptionError
from espnet_ext.experiments.catalogue import Switch, load_catalogue

MAXIMUM_NAME = 255  # a name becomes a directory


@dataclasses.dataclass(frozen=True)
class Switches:
    """What an experiment name says.

    Attributes:
        values: (switch id, value) in the catalogue's order.
    """

    values: Tuple[Tuple[str, Any], ...]

    def get(self, switch_id: str, default: Any = None) -> Any:
        """Value of a switch, ``default`` if it is off."""
        return dict(self.values).get(switch_id, default)

    def __contains__(self, switch_id: str) -> bool:
        return any(name == switch_id for name, _ in self.values)

    def ids(self) -> List[str]:
        """Switches that are on."""
        return [name for name, _ in self.values]

    def slot(self, slot: str) -> Optional[Tuple[Switch, Any]]:
        """The switch that fills a slot and its value."""
        for switch_id, value in self.values:
            switch = load_catalogue().switches[switch_id]
            if switch.slot == slot:
                return switch, value
        return None


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def switches_of(values: Mapping[str, Any]) -> Switches:
    """A set of switches in the catalogue's order."""
    order = list(load_catalogue().switches)
    ordered = sorted(values.items(), key=lambda item: order.index(item[0]))
    return Switches(tuple((name, _frozen(value)) for name, value in ordered))


def refuse(name: str, found: str, **hints: Any) -> OptionError:
    """An error about one part of a name."""
    return OptionError(found, where=f"experiment {shortened(name)}", **hints)


def shortened(name: str) -> str:
    """A name for a message, cut if somebody passed a whole text."""
    return repr(name if len(name) <= MAXIMUM_NAME else name[:60] + "...")
