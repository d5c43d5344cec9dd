"""``espnet-ext data timit``: the TIMIT sample of NLTK as data directories.

The sample (``nltk_data/corpora/timit``) has 160 utterances of 16 speakers, each as
``dr1-fvmh0/sa1.{wav,phn,wrd,txt}``. The first nine tenths in the order of their names
are ``train`` (144), the rest is ``dev`` (16), as in the original pipeline; one speaker
is therefore in both, and two sentences are spoken by everybody. It is for smoke tests:
far too small for results.

The text is the phones of the ``.phn`` file (``--text phones``; 61, 48 or 39 classes) or
the words of the ``.wrd`` file. Its format is three columns, so no corpus library is
needed: NLTK's reader would be one more dependency for a line of code.

Ref: reference/data.md section 8; Lee and Hon 1989, table I, for the folding of phones.
"""

import argparse
from pathlib import Path
from typing import Dict, List, Optional

from espnet_ext.corpus.kaldi_dir import Utterance, write_data_dir
from espnet_ext.corpus.report import set_row, table
from espnet_ext.corpus.validation import validate_data_dir
from espnet_ext.errors import FormatError, MissingInputError, OptionError
from espnet_ext.files import read_lines

RATE_HZ = 16000
TRAIN_SHARE = 0.9
# folding of the 61 phones to 48; what is not named stays
TO_48: Dict[str, Optional[str]] = {
    **{"ax-h": "ax", "ux": "uw", "axr": "er", "em": "m", "nx": "n", "eng": "ng"},
    **{"hv": "hh", "bcl": "vcl", "dcl": "vcl", "gcl": "vcl", "pcl": "cl"},
    **{"tcl": "cl", "kcl": "cl", "h#": "sil", "pau": "sil", "q": None},
}
# folding of the 48 to 39 for scoring
TO_39: Dict[str, str] = {
    **{"ao": "aa", "ax": "ah", "el": "l", "en": "n", "ix": "ih", "zh": "sh"},
    **{"vcl": "sil", "cl": "sil", "epi": "sil"},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--root", required=True, help="nltk_data/corpora/timit")
    parser.add_argument("--data_dir", default="data/timit", help="results")
    parser.add_argument("--text", choices=["phones", "words"], default="phones")
    parser.add_argument(
        "--phones", type=int, choices=[61, 48, 39], default=61, help="how many classes"
    )


def run(args: argparse.Namespace) -> int:
    """Prepare, and print the sizes."""
    sets = prepare(args.root, args.data_dir, args.text, args.phones)
    print("\n".join(table(set_row(name, members) for name, members in sets.items())))
    return 0


def prepare(
    root: Path, data_dir: Path, text: str = "phones", phones: int = 61
) -> Dict[str, List[Utterance]]:
    """Write ``train`` and ``dev``; returns their utterances.

    Raises:
        MissingInputError: No such corpus, or an utterance lacks a file.
        FormatError: A line of a transcript is not understood.
    """
    root, data_dir = Path(root), Path(data_dir)
    found = sorted(root.glob("dr*-*/*.phn"))
    if not found:
        raise MissingInputError(
            "no TIMIT sample",
            where=root,
            expected="dr1-fvmh0/sa1.phn and sa1.wav, as NLTK's download has them",
            next_step="--root DIR/nltk_data/corpora/timit",
        )
    suffix = {"phones": ".phn", "words": ".wrd"}[text]
    utterances = []
    for path in found:
        labels = read_labels(path.with_suffix(suffix))
        words = fold(labels, phones) if text == "phones" else labels
        utterances.append(_utterance(path, " ".join(words)))
    split = int(len(utterances) * TRAIN_SHARE)
    sets = {"train": utterances[:split], "dev": utterances[split:]}
    if not all(sets.values()):
        raise FormatError(
            f"{len(found)} utterances", where=root, expected="160, at least two"
        )
    for name, members in sets.items():
        write_data_dir(data_dir / name, members)
        validate_data_dir(data_dir / name, rate=RATE_HZ)
    return sets


def _utterance(path: Path, text: str) -> Utterance:
    speaker = path.parent.name.partition("-")[2]  # of dr1-fvmh0
    name = f"{speaker}_{path.stem}"
    audio = path.with_suffix(".wav")
    return Utterance(name, name, speaker, text, str(audio.resolve()))


def read_labels(path: Path) -> List[str]:
    """The labels of lines ``START END LABEL``; times are in samples.

    Raises:
        FormatError: A line has other fields.
    """
    labels = []
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split()
        if len(fields) != 3 or not (fields[0] + fields[1]).isdigit():
            raise FormatError(
                f"found {line!r}",
                where=f"{path} line {number}",
                expected="START END LABEL",
            )
        labels.append(fields[2])
    return labels


def fold(labels: List[str], phones: int) -> List[str]:
    """Map the 61 phones to 48 or 39 classes; the glottal stop ``q`` is dropped then.

    Raises:
        OptionError: Another number of classes.
    """
    if phones not in (61, 48, 39):
        raise OptionError(f"{phones} phones", expected="61, 48 or 39")
    if phones == 61:
        return labels
    folded = [TO_48.get(label, label) for label in labels]
    kept = [label for label in folded if label is not None]
    return kept if phones == 48 else [TO_39.get(label, label) for label in kept]
