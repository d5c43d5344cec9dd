"""The summary of a preparation: sizes of the sets, compared with the releases."""

from typing import Dict, Iterable, List, NamedTuple, Tuple

from espnet_ext.corpus.kaldi_dir import Utterance, call_of

# below this share of the release, the folder is a sample and not a damaged copy
SAMPLE_SHARE = 0.05
TOLERANCE = 0.005


class SetRow(NamedTuple):
    """Size of one set. ``hours`` is the time of the segments."""

    name: str
    utterances: int
    calls: int
    speakers: int
    words: int
    hours: float


class Expected(NamedTuple):
    """A count of the real release, which release, and who reports it."""

    release: str
    values: Tuple[float, ...]
    source: str


# reported by public recipes for the real releases
EXPECTED: Dict[str, Expected] = {
    "Switchboard audio files": Expected("LDC97S62", (2438, 2435), "Kaldi"),
    "train+dev segments (rwth)": Expected("LDC97S62", (249536,), "RWTH"),
    "train+dev hours (rwth)": Expected("LDC97S62", (311.6,), "RWTH"),
    "train+dev segments (kaldi)": Expected("LDC97S62", (264333,), "Kaldi"),
    "train+dev hours (kaldi)": Expected("LDC97S62", (313.4,), "Kaldi"),
    "hub5e_00 audio files": Expected("LDC2002S09/T43", (40,), "Kaldi"),
    "hub5e_00 segments": Expected("LDC2002S09/T43", (4466, 4459), "RWTH, Kaldi"),
    "hub5e_00 hours": Expected("LDC2002S09/T43", (3.61,), "RWTH"),
    "hub5e_01 segments": Expected("LDC2002S13", (5895,), "RWTH"),
    "hub5e_01 hours": Expected("LDC2002S13", (6.17,), "RWTH"),
    "rt03s segments": Expected("LDC2007S10", (8420,), "RWTH"),
    "rt03s hours": Expected("LDC2007S10", (6.27,), "RWTH"),
    "Fisher transcripts": Expected("LDC2004T19/LDC2005T19", (11699,), "Kaldi"),
}


def set_row(name: str, utterances: List[Utterance]) -> SetRow:
    """Size of a set; segments that end with their file count from their start."""
    seconds = sum((u.end_s or u.start_s) - u.start_s for u in utterances)
    return SetRow(
        name,
        len(utterances),
        len({call_of(u.recording_id) for u in utterances}),
        len({u.speaker_id for u in utterances}),
        sum(len(u.text.split()) for u in utterances),
        seconds / 3600,
    )


def table(rows: Iterable[SetRow]) -> List[str]:
    """The rows as aligned lines with a header."""
    lines = [
        f"{'set':<10} {'utterances':>10} {'calls':>6} {'speakers':>8} {'words':>9}"
        f" {'hours':>7}"
    ]
    for row in rows:
        lines.append(
            f"{row.name:<10} {row.utterances:>10,} {row.calls:>6,} {row.speakers:>8,}"
            f" {row.words:>9,} {row.hours:>7.2f}"
        )
    return lines


def compare(found: Dict[str, float]) -> Tuple[List[str], List[str]]:
    """Found and expected counts.

    Returns:
        Lines to print, and warnings for counts that differ by more than half a
        percent. If one count of a release is below a twentieth of the expected one,
        the folder is called a sample, and its counts are not compared.
    """
    counts = {name: value for name, value in found.items() if name in EXPECTED}
    nearest = {
        name: min(EXPECTED[name].values, key=lambda e: abs(e - value))
        for name, value in counts.items()
    }
    samples = {
        EXPECTED[name].release: None
        for name, value in counts.items()
        if value < SAMPLE_SHARE * nearest[name]
    }
    lines = [f"a sample in the shape of {release}" for release in samples]
    warnings = []
    for name, value in counts.items():
        if EXPECTED[name].release in samples:
            continue
        line = f"{name}: {_number(value)}, release {_number(nearest[name])}"
        lines.append(f"{line} ({EXPECTED[name].source})")
        if abs(value - nearest[name]) > TOLERANCE * nearest[name]:
            warnings.append(f"{line}: is the copy complete?")
    return lines, warnings


def _number(value: float) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
