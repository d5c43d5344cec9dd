"""N-best lists in the folders of ESPnet's inference, with scores of every model.

OUTPUT/{1,2,..}best_recog/{text,token_int,score}      as asr_inference leaves them
DECODED/SET/{text,..} and DECODED/SET/{2,..}best_recog/..  as stage 12 does
"""

# Dimensions: U utterances, N hypotheses of one utterance, K models
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np

from espnet_ext.errors import FormatError, MissingInputError
from espnet_ext.files import read_lines
from espnet_ext.inference.fusion import Fused
from espnet_ext.inference.sequence_scores import sequence_scores

FILES = ("text", "token_int", "score")


class Hypothesis(NamedTuple):
    """One line of an n-best list."""

    text: str
    labels: List[int]
    score: float


NbestLists = Dict[str, List[Hypothesis]]


def _table(path: Path) -> Dict[str, str]:
    rows = (line.partition(" ") for line in read_lines(path))
    return {key: value.strip() for key, _, value in rows}


def _ranks(folder: Path) -> Iterator[Path]:
    first = folder / "1best_recog"
    yield first if first.is_dir() else folder
    rank = 2
    while (folder / f"{rank}best_recog").is_dir():
        yield folder / f"{rank}best_recog"
        rank += 1


def read_nbest(folder: Path) -> NbestLists:
    """Hypotheses of each utterance, best first.

    Raises:
        MissingInputError: There is no result.
        FormatError: A hypothesis lacks its labels or its score.
    """
    lists: NbestLists = {}
    for rank in _ranks(Path(folder)):
        if not (rank / "text").is_file():
            raise MissingInputError(
                "no results of decoding",
                where=rank,
                expected="text, token_int and score in 1best_recog, 2best_recog, ...",
                next_step="decode with --nbest, then give its output folder",
            )
        tables = [_table(rank / name) for name in FILES]
        for key, text in tables[0].items():
            try:
                labels = [int(label) for label in tables[1][key].split()]
                hypothesis = Hypothesis(text, labels, float(tables[2][key]))
            except (KeyError, ValueError):
                raise FormatError(
                    f"{key} has no labels or no score", where=rank / "token_int"
                ) from None
            lists.setdefault(key, []).append(hypothesis)
    return lists


class ScoredList(NamedTuple):
    """Hypotheses of an utterance and what each model says of them.

    Attributes:
        hypotheses: N of them.
        recognizer_N: Score of the recognizer alone.
        models_NK: Unweighted score of each language model.
    """

    hypotheses: List[Hypothesis]
    recognizer_N: np.ndarray
    models_NK: np.ndarray

    def best(self, weights_K: np.ndarray) -> int:
        """Number of the best hypothesis; the first of equals."""
        return int(np.argmax(self.recognizer_N + self.models_NK @ weights_K))


def score_lists(
    lists: NbestLists, scorers: Sequence[Fused], first_pass: Dict[str, float]
) -> Dict[str, ScoredList]:
    """Score all hypotheses by all models.

    Args:
        lists: N-best lists.
        scorers: Language models.
        first_pass: Weights (with signs) by option with which the lists were decoded;
            these scores are taken out again, so that the recognizer's remain.
    """
    every = [(key, h) for key, hypotheses in lists.items() for h in hypotheses]
    sequences = [tuple(h.labels) for _, h in every]
    columns = []
    for fused in scorers:
        different = sorted(set(sequences))
        known = dict(zip(different, sequence_scores(fused.scorer, different)))
        columns.append([known[labels] for labels in sequences])
    models = np.array(columns, dtype=np.float64).reshape(len(scorers), -1).T
    decoded = np.array([first_pass.get(fused.option, 0.0) for fused in scorers])
    total = np.array([h.score for _, h in every])
    recognizer = total - models @ decoded
    result, start = {}, 0
    for key, hypotheses in lists.items():
        rows = slice(start, start + len(hypotheses))
        result[key] = ScoredList(hypotheses, recognizer[rows], models[rows])
        start += len(hypotheses)
    return result


def word_errors(
    lists: Dict[str, ScoredList], references: Dict[str, str]
) -> Tuple[Dict[str, np.ndarray], int]:
    """Word errors [N] of each hypothesis, and the number of reference words.

    Raises:
        FormatError: An utterance has no reference.
    """
    from rapidfuzz.distance import Levenshtein

    missing = sorted(set(lists) - set(references))
    if missing:
        raise FormatError(
            f"{len(missing)} utterances have no reference, first {missing[0]}",
            where="text",
            expected="the data directory that was decoded",
        )
    errors = {
        key: np.array(
            [
                Levenshtein.distance(references[key].split(), h.text.split())
                for h in scored.hypotheses
            ]
        )
        for key, scored in lists.items()
    }
    return errors, sum(len(references[key].split()) for key in lists)
