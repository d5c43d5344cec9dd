"""``espnet-ext data librispeech``: LibriSpeech-100 or -960 as data directories.

The release is read by ``torchaudio.datasets.LIBRISPEECH``. Sets: ``train_100`` or
``train_960``; ``dev``, a fixed choice of utterances of dev-clean and dev-other for
selection (3,000 as in the reference, section 7 of its data page); and all of
``dev_clean``, ``dev_other``, ``test_clean``, ``test_other``. Texts stay as the release
has them, in upper case. Each utterance is a FLAC file that is read where it lies.
"""

import argparse
import hashlib
from pathlib import Path
from typing import Dict, List

from espnet_ext.corpus.kaldi_dir import Utterance, write_data_dir
from espnet_ext.corpus.log import progress
from espnet_ext.corpus.report import set_row, table
from espnet_ext.corpus.validation import validate_data_dir
from espnet_ext.errors import MissingInputError

RATE_HZ = 16000
RELEASE = "LibriSpeech"
TRAIN_PARTS = {
    "100": ("train-clean-100",),
    "960": ("train-clean-100", "train-clean-360", "train-other-500"),
}
DEV_PARTS = ("dev-clean", "dev-other")
TEST_PARTS = ("test-clean", "test-other")
DEV_UTTERANCES = 3000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--root", required=True, help=f"folder that holds {RELEASE}, or is it"
    )
    parser.add_argument("--data_dir", default="data/librispeech", help="results")
    parser.add_argument("--size", choices=sorted(TRAIN_PARTS), default="960")
    parser.add_argument(
        "--dev_utterances", type=int, default=DEV_UTTERANCES, help="0: all of them"
    )


def run(args: argparse.Namespace) -> int:
    """Prepare, and print the sizes."""
    sets = prepare(args.root, args.data_dir, args.size, args.dev_utterances)
    print("\n".join(table(set_row(name, members) for name, members in sets.items())))
    return 0


def prepare(
    root: Path, data_dir: Path, size: str, dev_utterances: int = DEV_UTTERANCES
) -> Dict[str, List[Utterance]]:
    """Write the data directories; returns the utterances of each.

    Raises:
        MissingInputError: A part of the release, or a transcript, is not there.
    """
    root, data_dir = release_parent(Path(root)), Path(data_dir)
    parts = {
        part: read_part(root, part)
        for part in (*TRAIN_PARTS[size], *DEV_PARTS, *TEST_PARTS)
    }
    sets = {f"train_{size}": [u for p in TRAIN_PARTS[size] for u in parts[p]]}
    both = [u for part in DEV_PARTS for u in parts[part]]
    sets["dev"] = some_of(both, dev_utterances or len(both))
    for part in (*DEV_PARTS, *TEST_PARTS):
        sets[part.replace("-", "_")] = parts[part]
    for name, utterances in sets.items():
        write_data_dir(data_dir / name, utterances)
        validate_data_dir(data_dir / name, rate=RATE_HZ)
    return sets


def release_parent(root: Path) -> Path:
    """The folder that holds LibriSpeech/, which torchaudio wants.

    Raises:
        MissingInputError: There is no such release.
    """
    if (root / RELEASE).is_dir():
        return root
    if root.name == RELEASE and root.is_dir():
        return root.parent
    raise MissingInputError(
        f"no folder {RELEASE}",
        where=root,
        expected=f"{RELEASE}/train-clean-100, {RELEASE}/dev-clean, ...",
        next_step="unpack the archives of openslr.org/12 there",
    )


def read_part(root: Path, part: str) -> List[Utterance]:
    """All utterances of one part, by torchaudio's reader."""
    from torchaudio.datasets import LIBRISPEECH

    folder = root / RELEASE / part
    try:
        release = LIBRISPEECH(root, part)
        numbers = progress(range(len(release)), part)
        found = [release.get_metadata(number) for number in numbers]
    except (RuntimeError, FileNotFoundError, ValueError) as error:
        raise MissingInputError(
            f"not as in the release: {error}",
            where=folder,
            expected="SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt and its FLAC files",
            next_step=f"unpack {part}.tar.gz of openslr.org/12 again",
        ) from None
    if not found:
        raise MissingInputError("holds no FLAC files", where=folder)
    return [
        _utterance(root / RELEASE / file, text, speaker)
        for file, _, text, speaker, *_ in found
    ]


def _utterance(audio: Path, text: str, speaker: int) -> Utterance:
    name = audio.stem  # SPEAKER-CHAPTER-NUMBER
    return Utterance(name, name, str(speaker), text, str(audio.resolve()))


def some_of(utterances: List[Utterance], number: int) -> List[Utterance]:
    """A fixed pseudo-random choice by id: the same on every machine, in any order."""

    def draw(utterance: Utterance) -> bytes:
        return hashlib.sha1(utterance.utterance_id.encode()).digest()

    chosen = sorted(utterances, key=draw)[:number]
    return sorted(chosen, key=lambda utterance: utterance.utterance_id)
