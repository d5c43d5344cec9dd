"""The summary of a preparation: sizes of the sets, compared with the releases."""

from typing import Dict, Iterable, List, NamedTuple, Tuple

from espnet_ext.corpus.kaldi_dir import Utterance, call_of

# below this share of the release, the folder is a sample and not a damaged copy
SAMPLE_SHARE = 0.05
EXACT, CLOSE, ROUGH = 0.0, 0.005, 0.02


class SetRow(NamedTuple):
    """Size of one set. ``hours`` is the time of the segments."""

    name: str
    utterances: int
    calls: int
    speakers: int
    words: int
    hours: float


class Expected(NamedTuple):
    """A count of the real release: which release, who reports it, how far off is fine.

    ``tolerance`` is a share. Words depend on the GLM and on the hypothesis, which is
    why they are only compared roughly.
    """

    release: str
    values: Tuple[float, ...]
    source: str
    tolerance: float = CLOSE


def _expected() -> Dict[str, Expected]:
    """Counts that public recipes report for the real releases."""
    swbd, hub5_00 = "LDC97S62", "LDC2002S09/T43"
    hub5_01, rt03 = "LDC2002S13", "LDC2007S10"
    table = {
        "Switchboard audio files": Expected(swbd, (2438, 2435), "Kaldi", EXACT),
        "segments with words": Expected(swbd, (249536,), "RWTH"),
        "hours with words": Expected(swbd, (311.6,), "RWTH"),
        "sides with words": Expected(swbd, (4876,), "RWTH"),
        "segments with words or noise": Expected(swbd, (264333,), "Kaldi"),
        "hours with words or noise": Expected(swbd, (313.4,), "Kaldi"),
        "sides with words or noise": Expected(swbd, (4870,), "Kaldi"),
        "callers": Expected(swbd, (520,), "RWTH"),
        "train_dev utterances": Expected(swbd, (4000,), "Kaldi, ESPnet", EXACT),
        "train_dev hours": Expected(swbd, (5.1,), "Kaldi, ESPnet", ROUGH),
        "train_nodup hours": Expected(swbd, (286.0,), "Kaldi, ESPnet", ROUGH),
        "hub5e_00 audio files": Expected(hub5_00, (40,), "Kaldi", EXACT),
        "hub5e_00 sides": Expected(hub5_00, (80,), "Kaldi", EXACT),
        "hub5e_00 hours": Expected(hub5_00, (3.61,), "RWTH"),
        "hub5e_01 hours": Expected(hub5_01, (6.17,), "RWTH"),
        "rt03s hours": Expected(rt03, (6.27,), "Kaldi, RWTH"),
        "Fisher transcripts": Expected(
            "LDC2004T19/LDC2005T19", (11699,), "Kaldi", EXACT
        ),
    }
    # segments and words; of hub5e_00, RWTH counts 7 segments more than are scored
    for name, release, segments, words, source in (
        ("hub5e_00", hub5_00, (4459, 4466), 42989, "Kaldi, ESPnet"),
        ("hub5e_00_swb", hub5_00, (1831,), 21395, "Kaldi, ESPnet"),
        ("hub5e_00_ch", hub5_00, (2628,), 21594, "Kaldi, ESPnet"),
        ("hub5e_01", hub5_01, (5895,), None, "RWTH"),
        ("rt03s", rt03, (8420,), 76157, "Kaldi, RWTH"),
        ("rt03s_swbd", rt03, (4450,), 39436, "Kaldi"),
        ("rt03s_fsh", rt03, (3970,), 36721, "Kaldi"),
    ):
        table[f"{name} segments"] = Expected(release, segments, source)
        if words is not None:
            table[f"{name} words"] = Expected(release, (words,), source, ROUGH)
    return table


EXPECTED = _expected()


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
    rows = list(rows)
    width = max([10, *(len(row.name) for row in rows)])
    lines = [
        f"{'set':<{width}} {'utterances':>10} {'calls':>6} {'speakers':>8} "
        f"{'words':>9} {'hours':>7}"
    ]
    for row in rows:
        lines.append(
            f"{row.name:<{width}} {row.utterances:>10,} {row.calls:>6,} "
            f"{row.speakers:>8,} {row.words:>9,} {row.hours:>7.2f}"
        )
    return lines


def compare(found: Dict[str, float]) -> Tuple[List[str], List[str]]:
    """Found and expected counts.

    Returns:
        Lines to print, and warnings for counts that differ by more than their
        tolerance. If one count of a release is below a twentieth of the expected one,
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
        expected = EXPECTED[name]
        if expected.release in samples:
            continue
        limit = f" +- {100 * expected.tolerance:g} %" * bool(expected.tolerance)
        line = f"{name}: {_number(value)}, release {_number(nearest[name])}{limit}"
        lines.append(f"{line} ({expected.source})")
        if abs(value - nearest[name]) > expected.tolerance * nearest[name]:
            warnings.append(f"{line}: is the copy complete?")
    return lines, warnings


def _number(value: float) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
