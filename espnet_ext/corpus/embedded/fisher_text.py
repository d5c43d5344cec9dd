"""The trees of LDC2004T19 and LDC2005T19: Fisher transcripts, text without audio."""

import random
from pathlib import Path
from typing import List, Sequence, Tuple

from espnet_ext.corpus.embedded.special import FISHER_CASES
from espnet_ext.corpus.embedded.tokens import Token

LINES_PER_FILE = 30
# folder, prefix of the audio disks, first transcript, who transcribed
PARTS = (
    ("LDC2004T19/fe_03_p1_tran", "fe_03_p1_sph1", 1, "at the LDC"),
    ("LDC2005T19/fe_03_p2_tran", "fe_03_p2_sph1", 5851, "by BBN/WordWave"),
)
SOUNDS = {"[laughter]": "[laugh]", "[noise]": "[noise]", "[vocalized-noise]": "[mn]"}


def write_fisher(root: Path, sentences: Sequence[Tuple[Token, ...]], seed: int) -> None:
    """Both parts; the first file of each has all special cases."""
    source = random.Random(f"{seed} fisher")
    texts = [fisher_text(sentence) for sentence in sentences]
    half = (len(texts) + 1) // 2
    for (folder, disk, first, author), part in zip(PARTS, (texts[:half], texts[half:])):
        part = [*FISHER_CASES.values(), *part]
        files = [
            part[start : start + LINES_PER_FILE]
            for start in range(0, len(part), LINES_PER_FILE)
        ]
        table = []
        for index, lines in enumerate(files):
            number = f"{first + index:05d}"
            table.append(f"{disk}\t{number}\t{source.choice(('mf', 'fm', 'ff', 'mm'))}")
            path = root / folder / "data/trans" / number[:3] / f"fe_03_{number}.txt"
            _write(path, _transcript(number, author, lines, source))
        name = f"{Path(folder).name[:8]}_filelist.tbl"
        _write(root / folder / "doc" / name, table)


def fisher_text(sentence: Sequence[Token]) -> str:
    """Lower case, acronyms as ``i._b._m.``, sounds by their Fisher names."""
    return " ".join(_fisher_token(token) for token in sentence)


def _fisher_token(token: Token) -> str:
    if token.kind == "sound":
        return SOUNDS[token.ms98]
    if token.kind == "letters":
        return "._".join(word[0] for word in token.words) + "." + token.words[-1][1:]
    return " ".join(token.words)


def _transcript(
    number: str, author: str, lines: List[str], source: random.Random
) -> List[str]:
    rows = [f"# fe_03_{number}.sph", f"# Transcribed {author}", ""]
    time = 0.5
    for line in lines:
        end = time + 0.3 * len(line.split()) + source.uniform(0.2, 0.8)
        rows += [f"{time:.2f} {end:.2f} {source.choice('AB')}: {line}", ""]
        time = end + source.uniform(-0.3, 0.6)
    return rows


def _write(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(line + "\n" for line in lines)
    path.write_text(text, encoding="utf-8", newline="\n")
