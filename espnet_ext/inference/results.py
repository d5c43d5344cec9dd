"""Results of a decoding as files: ESPnet's, word times, and what failed.

    OUTPUT/{1,2,..}best_recog/{text,token,token_int,score}   as ESPnet writes them
    OUTPUT/1best_recog/word_times    'id start,duration,confidence ...', one a word
    OUTPUT/failed                    'id reason' of utterances without a result
    OUTPUT/decoding.json             weights of language models, seconds, speech

Everything is written when the decoding is complete, so that a decoding that was killed
leaves no half of a result behind.
"""

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from espnet_ext.files import atomic_write
from espnet_ext.inference.word_times import TimedWord

KINDS = ("text", "token", "token_int", "score")
TIMES = "word_times"
FAILED = "failed"
FACTS = "decoding.json"
Result = Tuple[Optional[str], List[str], List[int], Any]


class Results:
    """Collects results and writes them to a folder."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.rows: Dict[Tuple[int, str], Dict[str, str]] = {}
        self.failed: Dict[str, str] = {}

    def add(
        self,
        key: str,
        nbest: Sequence[Result],
        words: Optional[Sequence[TimedWord]] = None,
    ) -> None:
        """Results of one utterance, best first."""
        for rank, (text, tokens, labels, hypothesis) in enumerate(nbest, start=1):
            values = (
                text,
                " ".join(tokens),
                " ".join(map(str, labels)),
                str(float(hypothesis.score)),
            )
            for kind, value in zip(KINDS, values):
                if value is not None:
                    self.rows.setdefault((rank, kind), {})[key] = value
        if words is not None:
            self.rows.setdefault((1, TIMES), {})[key] = " ".join(
                f"{w.start:.3f},{w.duration:.3f},{w.confidence:.4f}" for w in words
            )

    def fail(self, key: str, reason: str) -> None:
        """Remember that an utterance has no result; its text will be empty."""
        self.failed[key] = " ".join(reason.split())
        for kind in KINDS:
            value = "0.0" if kind == "score" else ""
            self.rows.setdefault((1, kind), {})[key] = value

    def write(self, facts: Dict[str, Any]) -> None:
        """Write all files; those of the first rank last, as they say it is complete."""
        for (rank, kind), rows in sorted(self.rows.items(), reverse=True):
            with atomic_write(self.folder / f"{rank}best_recog" / kind) as file:
                file.writelines(f"{k} {v}".rstrip() + "\n" for k, v in rows.items())
        with atomic_write(self.folder / FAILED) as file:
            file.writelines(f"{k} {reason}\n" for k, reason in self.failed.items())
        with atomic_write(self.folder / FACTS) as file:
            json.dump(facts, file, indent=1)
            file.write("\n")
