"""Which corpus an utterance belongs to, and mean and variance of each corpus.

The corpus follows from the beginning of the utterance id, as the speaker does in
Kaldi's data directories: ids are what training, statistics, decoding and alignment all
have, so no further file has to follow an utterance through the stages.
"""

# Dimensions: N corpora, F feature
import re
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Sequence, Tuple

import numpy as np

from espnet_ext.errors import FormatError, OptionError
from espnet_ext.files import atomic_path

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


class CorpusStatistics(NamedTuple):
    """Sums over the frames of each corpus.

    Attributes:
        corpora: The corpora; their order is that of the rows.
        count_N: Frames.
        sum_NF: Sum of each feature.
        sum_square_NF: Sum of its squares.
    """

    corpora: Corpora
    count_N: np.ndarray
    sum_NF: np.ndarray
    sum_square_NF: np.ndarray

    @classmethod
    def add_up(
        cls, corpora: Corpora, parts: Dict[str, Sequence[Path]]
    ) -> "CorpusStatistics":
        """From ESPnet's ``feats_stats.npz`` of parts of each corpus."""
        rows = []
        for name in corpora.names:
            files = [np.load(path) for path in parts[name]]
            rows.append(
                [
                    sum(np.asarray(file[key], np.float64) for file in files)
                    for key in ("count", "sum", "sum_square")
                ]
            )
        return cls(corpora, *(np.stack(values) for values in zip(*rows)))

    def moments(self, floor: float) -> Tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations [N, F]; variances are ``floor`` at least."""
        count_N1 = self.count_N[:, None]
        mean_NF = self.sum_NF / count_N1
        variance_NF = self.sum_square_NF / count_N1 - mean_NF * mean_NF
        return mean_NF, np.sqrt(np.maximum(variance_NF, floor))

    def write(self, path: Path) -> None:
        """Write an .npz file that ``read`` understands."""
        arrays = self._asdict()
        arrays["corpora"] = np.array(self.corpora.prefixes)
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def read(cls, path: Path) -> "CorpusStatistics":
        """Read what ``write`` wrote.

        Raises:
            FormatError: It is another kind of file.
        """
        file = np.load(path, allow_pickle=False)
        if not hasattr(file, "files") or set(file.files) != set(cls._fields):
            raise FormatError(
                "no statistics of corpora",
                where=path,
                expected="corpus_stats.npz of stage 10 (--feats_normalize corpus_mvn)",
            )
        prefixes = tuple((str(a), str(b)) for a, b in file["corpora"])
        arrays = (file[name] for name in cls._fields[1:])
        return cls(Corpora(prefixes), *arrays)
