"""Mean and variance of each corpus, see ``corpus_ids``."""

# Dimensions: N corpora, F feature
from pathlib import Path
from typing import Dict, NamedTuple, Sequence, Tuple

import numpy as np

from espnet_ext.corpus_ids import Corpora
from espnet_ext.errors import FormatError
from espnet_ext.files import atomic_path


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
