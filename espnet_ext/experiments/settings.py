"""A nested configuration as flat ``a.b.c`` values, each with where it comes from."""

from typing import Any, Dict, Iterator, Mapping


class Settings:
    """Values by dotted path, and the origin of each.

    A list is one value; an empty mapping too.
    """

    def __init__(self) -> None:
        self.values: Dict[str, Any] = {}
        self.origins: Dict[str, str] = {}

    def __contains__(self, path: str) -> bool:
        return path in self.values or any(
            other.startswith(f"{path}.") for other in self.values
        )

    def get(self, path: str, default: Any = None) -> Any:
        """A value, or a mapping of the values below ``path``."""
        if path in self.values:
            return self.values[path]
        below = {
            other[len(path) + 1 :]: value
            for other, value in self.values.items()
            if other.startswith(f"{path}.")
        }
        return nested(below) if below else default

    def remove(self, path: str) -> None:
        """Forget a value and all below it."""
        for other in list(self.values):
            if other == path or other.startswith(f"{path}."):
                del self.values[other], self.origins[other]

    def set(self, path: str, value: Any, origin: str) -> None:
        """Put a value in place of whatever stands at ``path``."""
        self.remove(path)
        parts = path.split(".")
        for end in range(1, len(parts)):
            above = ".".join(parts[:end])
            self.values.pop(above, None)
            self.origins.pop(above, None)
        if isinstance(value, Mapping) and value:
            for key, item in value.items():
                self.set(f"{path}.{key}", item, origin)
        else:
            self.values[path] = value
            self.origins[path] = origin

    def merge(self, content: Mapping[str, Any], origin: str) -> None:
        """Put nested values over those that stand; other keys stay.

        A class named in place of another one takes the other's options away:
        ``optim: adam`` removes ``optim_conf`` of Nadam.
        """
        for key, value in content.items():
            named = f"{key}_conf"
            if key in self.values and self.values[key] != value and named in self:
                self.remove(named)
        for path, value in leaves(content):
            self.set(path, value, origin)

    def tree(self) -> Dict[str, Any]:
        """Everything as nested dictionaries."""
        return nested(self.values)


def leaves(content: Mapping[str, Any], above: str = "") -> Iterator[tuple]:
    """(dotted path, value) of every value; lists and empty mappings are values."""
    for key, value in content.items():
        path = f"{above}.{key}" if above else str(key)
        if isinstance(value, Mapping) and value:
            yield from leaves(value, path)
        else:
            yield path, value


def nested(flat: Mapping[str, Any]) -> Dict[str, Any]:
    """Dotted paths to nested dictionaries."""
    tree: Dict[str, Any] = {}
    for path, value in flat.items():
        *above, last = path.split(".")
        place = tree
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    return tree
