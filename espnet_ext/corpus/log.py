"""What the preparation left out or changed, segment by segment, and why."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Iterable, Iterator, List, NamedTuple, TypeVar

from espnet_ext.progress import Progress

Item = TypeVar("Item")


def progress(items: Iterable[Item], label: str) -> Iterator[Item]:
    """The items, with a progress display of how many have been taken."""
    items = list(items)
    with Progress(len(items), label) as shown:
        for number, item in enumerate(items, start=1):
            yield item
            shown.update(number)


class Entry(NamedTuple):
    """One segment or file: what was done (``dropped``, ``changed``) and why."""

    action: str
    item: str
    reason: str
    detail: str = ""


@dataclass
class PreparationLog:
    """Collects entries, counts of what is too plain to list, and warnings."""

    entries: List[Entry] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)
    warnings: List[str] = field(default_factory=list)

    def drop(self, item: str, reason: str, detail: str = "") -> None:
        """A segment is left out."""
        self.entries.append(Entry("dropped", item, reason, detail))

    def change(self, item: str, reason: str, detail: str = "") -> None:
        """A segment is kept, but not as it was found."""
        self.entries.append(Entry("changed", item, reason, detail))

    def warn(self, message: str) -> None:
        """Something the user should know; shown once at the end."""
        if message not in self.warnings:
            self.warnings.append(message)

    def extend(self, other: "PreparationLog") -> None:
        """Add what another part of the work has noted."""
        self.entries += other.entries
        self.counts.update(other.counts)
        for message in other.warnings:
            self.warn(message)

    def to_tsv(self) -> str:
        """``dropped.tsv``: a header line, then one line an entry or count."""
        rows = [Entry("action", "item", "reason", "detail")] + self.entries
        rows += [
            Entry("dropped", f"{count} segments", reason)
            for reason, count in sorted(self.counts.items())
        ]
        return "".join("\t".join(row) + "\n" for row in rows)

    def summary(self) -> List[str]:
        """``action, reason: count`` lines, the most frequent first."""
        counts = Counter((entry.action, entry.reason) for entry in self.entries)
        counts.update({("dropped", reason): n for reason, n in self.counts.items()})
        return [f"{act}, {why}: {n}" for (act, why), n in counts.most_common()]
