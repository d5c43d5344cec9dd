"""The text of language models: Switchboard's training transcripts and Fisher.

``data/lm`` holds

- ``text``: one utterance a line, id first, ids unique (a repeated id stops ESPnet's
  language model training);
- ``dropped.tsv``: what was left out or renamed, and why;
- ``README.md``: sizes by source, and how much of the test sets is in it.

Utterances of the selection set are not part of it.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Tuple

from espnet_ext.corpus.fisher import fisher_utterances
from espnet_ext.corpus.kaldi_dir import read_data_dir
from espnet_ext.corpus.log import PreparationLog
from espnet_ext.corpus.ms98 import Profile
from espnet_ext.files import atomic_write, read_lines

TEXT, DROPPED, README = "text", "dropped.tsv", "README.md"
# shorter sentences occur in both by chance
MIN_COMMON_WORDS = 8
Item = Tuple[str, str]


@dataclass
class Part:
    """What one source contributed."""

    name: str
    utterances: int = 0
    words: Counter = field(default_factory=Counter)


def write_lm_text(
    folder: Path,
    train_dir: Path,
    transcripts: Dict[str, Path],
    profile: Profile,
    test_dirs: Iterable[Path] = (),
) -> Dict[str, Any]:
    """Write the data set.

    Args:
        folder: Gets the three files.
        train_dir: Data directory of training; need not exist.
        transcripts: Fisher transcripts by call; may be empty.
        profile: How Fisher's letters and marks are written.
        test_dirs: Data directories whose sentences are looked for.

    Returns:
        ``log`` (lines for the user), ``warnings`` and ``found`` (counts to compare).
    """
    log = PreparationLog()
    tests = {path.name: long_sentences(path) for path in test_dirs}
    common: Dict[str, set] = {name: set() for name in tests}
    parts: List[Part] = []
    sources = (
        ("Switchboard", switchboard_utterances(train_dir)),
        ("Fisher", fisher_utterances(transcripts, profile, "lm", log)),
    )
    with atomic_write(folder / TEXT) as file:
        for name, items in sources:
            part = Part(name)
            for utterance, text in items:
                file.write(f"{utterance} {text}\n")
                part.utterances += 1
                part.words.update(text.split())
                for test, sentences in tests.items():
                    if text in sentences:
                        common[test].add(text)
            if part.utterances:
                parts.append(part)
    shares = {n: (len(common[n]), len(sentences)) for n, sentences in tests.items()}
    with atomic_write(folder / DROPPED) as file:
        file.write(log.to_tsv())
    with atomic_write(folder / README) as file:
        file.write(describe(parts, log, profile, shares))
    total = sum(part.utterances for part in parts)
    result: Dict[str, Any] = {
        "log": [f"{total:,} utterances in {folder / TEXT}", *log.summary()],
        "warnings": [
            f"{found} of {all_of} sentences of {MIN_COMMON_WORDS} or more words of "
            f"{name} are in the language model's text"
            for name, (found, all_of) in shares.items()
            if found
        ],
        "found": {"Fisher transcripts": len(transcripts)} if transcripts else {},
    }
    return result


def switchboard_utterances(train_dir: Path) -> Iterator[Item]:
    """Id and text of the training utterances with words."""
    if train_dir.is_dir():
        for utterance in read_data_dir(train_dir):
            if utterance.text:
                yield utterance.utterance_id, utterance.text


def long_sentences(data_dir: Path) -> frozenset:
    """The texts of a set that are long enough not to occur elsewhere by chance."""
    texts = (line.partition(" ")[2] for line in read_lines(data_dir / "text"))
    return frozenset(t for t in texts if len(t.split()) >= MIN_COMMON_WORDS)


def describe(
    parts: List[Part],
    log: PreparationLog,
    profile: Profile,
    shares: Dict[str, Tuple[int, int]],
) -> str:
    """The README of the data set."""
    known: set = set()
    lines = [
        "# Text of the language model",
        "",
        f"Text profile `{profile.name}`: letters `{profile.acronyms}`. One utterance a "
        "line, its id first.",
        "",
        "| source | utterances | words | different words | not in the sources above |",
        "|---|---|---|---|---|",
    ]
    for part in parts:
        new = len(set(part.words) - known)
        known |= set(part.words)
        lines.append(
            f"| {part.name} | {part.utterances:,} | {sum(part.words.values()):,} "
            f"| {len(part.words):,} | {new:,} |"
        )
    lines += ["", "## Left out or changed", ""]
    lines += [f"- {line}" for line in log.summary()] or ["Nothing."]
    lines += ["", f"## Test sentences of {MIN_COMMON_WORDS} or more words in it", ""]
    lines += [f"- {n}: {found} of {of}" for n, (found, of) in shares.items()]
    lines += [] if shares else ["No test set was prepared before."]
    return "\n".join(lines) + "\n"
