"""Which corpus an utterance belongs to.

The corpus follows from the beginning of the utterance id, as the speaker does in
Kaldi's data directories: ids are what training, statistics, decoding and alignment all
have, so no further file has to follow an utterance through the stages.
"""

import re
from typing import Dict, Iterable, List, NamedTuple, Tuple

from espnet_ext.errors import OptionError

EVERYTHING = "all="
SPEED = re.compile(r"^sp\d+(\.\d+)?-")  # of speed perturbation: sp0.9-


class Corpora(NamedTuple):
    """Corpora by the beginnings of their utterance ids.

    Attributes:
        prefixes: (beginning of the id, name of the corpus); the longest that fits
            counts, and an empty one fits every utterance.
    """

    prefixes: Tuple[Tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> "Corpora":
        """From words ``name=prefix``; a name may occur several times.

        Raises:
            OptionError: Another kind of word, a prefix twice, or nothing.
        """
        found: Dict[str, str] = {}
        for word in text.split():
            name, equals, prefix = word.partition("=")
            if not name or not equals or prefix in found:
                raise OptionError(
                    f"{word!r} does not name a corpus and the beginning of its ids",
                    where=f"--corpora {text!r}",
                    expected="words NAME=PREFIX with different prefixes, for example "
                    "'switchboard= prompts=allison-'",
                )
            found[prefix] = name
        if not found:
            raise OptionError("no corpus", where="--corpora", expected="NAME=PREFIX")
        return cls(tuple(found.items()))

    @property
    def text(self) -> str:
        """As ``parse`` reads it."""
        return " ".join(f"{name}={prefix}" for prefix, name in self.prefixes)

    @property
    def names(self) -> List[str]:
        """Names of the corpora in order of mention."""
        return list(dict.fromkeys(name for _, name in self.prefixes))

    @property
    def default(self) -> str:
        """The corpus of utterances without an id: the one with an empty prefix, or the
        first.
        """
        return dict(self.prefixes).get("", self.names[0])

    def of(self, utterance_id: str) -> str:
        """Name of the corpus of an utterance; copies at another speed belong to it.

        Raises:
            OptionError: It belongs to none.
        """
        plain = SPEED.sub("", utterance_id)
        fitting = [pair for pair in self.prefixes if plain.startswith(pair[0])]
        if not fitting:
            beginnings = ", ".join(prefix for prefix, _ in self.prefixes)
            raise OptionError(
                f"utterance {utterance_id} belongs to no corpus",
                expected=f"an id that begins with one of {beginnings}",
                next_step="--corpora NAME= takes all other utterances",
            )
        return max(fitting, key=lambda pair: len(pair[0]))[1]

    def groups(self, utterance_ids: Iterable[str]) -> Dict[str, List[str]]:
        """Utterance ids of each corpus, in order.

        Raises:
            OptionError: An utterance belongs to no corpus, or a corpus has none.
        """
        groups: Dict[str, List[str]] = {name: [] for name in self.names}
        for utterance_id in utterance_ids:
            groups[self.of(utterance_id)].append(utterance_id)
        empty = [name for name, ids in groups.items() if not ids]
        if empty:
            raise OptionError(
                f"the training set has no utterance of {', '.join(empty)}",
                where="--corpora",
                expected="prefixes that utterance ids begin with",
            )
        return groups
