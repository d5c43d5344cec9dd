"""The trees of the evaluation sets: hub5e_00, hub5e_01 and rt03s."""

from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Tuple

from espnet_ext.corpus.embedded.mapping_file import mapping_lines
from espnet_ext.corpus.embedded.special import IGNORED
from espnet_ext.corpus.embedded.timeline import PlacedCall, Segment, seconds
from espnet_ext.corpus.embedded.tokens import Token, stm_text

HUB5_00_AUDIO = "LDC2002S09/hub5e_00/english"
HUB5_00_TEXT = "LDC2002T43/2000_hub5_eng_eval_tr/reference"
HUB5_01 = "LDC2002S13/hub5e_01"
RT03 = "LDC2007S10/data"
AUDIO_FOLDERS: Dict[str, str] = {
    "hub5e_00": HUB5_00_AUDIO,
    "hub5e_01": f"{HUB5_01}/data/english",
    "rt03s": f"{RT03}/audio/eval03/english/cts",
}
HUB5_00_GLM, RT03_GLM = "en20000405_hub5.glm", "en20030506.glm"
HUB5_00_LABELS = (
    ("0", (("O", "Overall"),)),
    ("1", (("en", "CallHome"), ("sw", "Switchboard"))),
    ("2", (("F", "Female"), ("M", "Male"))),
    (
        "3",
        (
            ("en-F", "CallHome female"),
            ("en-M", "CallHome male"),
            ("sw-F", "Switchboard female"),
            ("sw-M", "Switchboard male"),
        ),
    ),
)
HUB5_01_LABELS = (
    ("0", (("O", "Overall"),)),
    ("1", (("M", "Male"), ("F", "Female"))),
    ("2", (("P0", "Part 0"),)),
    ("3", (("P0-M", "Part 0 male"), ("P0-F", "Part 0 female"))),
)
RT03_LABELS = (
    ("0", (("o", "Overall"),)),
    ("1", (("f0", "Speech"), ("q0", "Gap"))),
    ("2", (("male", "Male"), ("female", "Female"), ("unknown", "Unknown"))),
)
CATEGORY_NAMES = ("", "Corpus or condition", "Sex", "Corpus and sex")
GAP_SPEAKER = "inter_segment_gap"


def reference(segment: Segment) -> str:
    """Upper-case text of the STM line; may be empty."""
    if segment.turn.reference is not None:
        return segment.turn.reference
    return stm_text(segment.turn.sentence)


def write_hub5_00(root: Path, calls: List[PlacedCall]) -> None:
    """STM, GLM, PEM and the older transcript format."""
    folder = root / HUB5_00_TEXT
    stm, pem = list(_header(HUB5_00_LABELS)), [";; segments of synthetic calls"]
    for placed in sorted(calls, key=lambda placed: placed.call.name):
        name = placed.call.name
        part = name.partition("_")[0]
        text = ["#Language: eng", f"#File id: {name}", ""]
        for segment in _by_time(placed):
            side, sex = _side_and_sex(placed, segment)
            start, end = f"{_s(segment.start):.2f}", f"{_s(segment.end):.2f}"
            label = f"<O,{part},{sex},{part}-{sex}>"
            stm.append(
                f"{name} {side} {name}_{side} {start} {end} {label} "
                f"{reference(segment)}"
            )
            pem.append(f"{name} {side} unknown_speaker {start} {end}")
            text += [f"{start} {end} {side}: {_older_text(segment)}", ""]
        _write(folder / "english" / f"{name}.txt", text)
    _write(folder / "hub5e00.english.000405.stm", stm)
    _write(folder / HUB5_00_GLM, mapping_lines(HUB5_00_GLM))
    _write(root / HUB5_00_AUDIO / "hub5e_00.pem", pem)


def write_hub5_01(root: Path, calls: List[PlacedCall]) -> None:
    """STM with six decimals and two lines of each call out of order, and PEM."""
    stm, pem = list(_header(HUB5_01_LABELS)), [";; segments of synthetic calls"]
    for placed in calls:
        name, lines = placed.call.name, []
        for segment in _by_time(placed):
            side, sex = _side_and_sex(placed, segment)
            start, end = _s(segment.start), _s(segment.end)
            lines.append(
                f"{name} {side} {name}_{side} {start:.6f} {end:.2f} "
                f"<O,{sex},P0,P0-{sex}> {reference(segment)}"
            )
            pem.append(f"{name} {side} unknown_speaker {start:.6f} {end:.6f}")
        lines[1:3] = lines[2:0:-1]
        stm += lines
    _write(root / HUB5_01 / "data/transcr/hub5e01.english.20010402.stm", stm)
    _write(root / HUB5_01 / "doc/pems/hub5e_01.pem", pem)


def write_rt03(root: Path, calls: List[PlacedCall]) -> None:
    """One lower-case STM a call, with channels 1 and 2 and the gaps; and the GLM."""
    for placed in calls:
        rows: List[Tuple[int, str]] = []
        for side in range(2):
            rows += _rt03_side(placed, side)
        lines = [line for _, line in sorted(rows, key=lambda row: row[0])]
        path = root / RT03 / f"references/eval03/english/cts/{placed.call.name}.stm"
        _write(path, [*_header(RT03_LABELS), *lines])
    _write(root / RT03 / "trans_rules" / RT03_GLM, mapping_lines(RT03_GLM))


def _rt03_side(placed: PlacedCall, side: int) -> Iterator[Tuple[int, str]]:
    name, channel, position = placed.call.name, side + 1, 0
    sex = "female" if placed.call.speakers[side].female else "male"
    for segment in [*placed.side(side), None]:
        start = placed.length if segment is None else segment.start
        if start > position:
            yield position, (
                f"{name} {channel} {GAP_SPEAKER} {_s(position):.2f} {_s(start):.2f} "
                "<o,q0,unknown>"
            )
        if segment is not None:
            text = reference(segment).lower()
            yield start, (
                f"{name} {channel} {name}_{'AB'[side]} {_s(start):.2f} "
                f"{_s(segment.end):.2f} <o,f0,{sex}> {text}"
            ).rstrip()
            position = segment.end


def _older_text(segment: Segment) -> str:
    if segment.turn.reference == IGNORED:
        return "[[unusable]]"
    return " ".join(_older_token(token) for token in segment.turn.sentence)


def _older_token(token: Token) -> str:
    if token.kind == "hesitation":
        return f"%{token.ms98}"
    if token.kind == "sound":
        return "{laugh}" if token.ms98 == "[laughter]" else "{breath}"
    if token.kind == "tag":
        return token.ms98
    text = token.stm.lower()
    return f'<contraction e_form="[{text}]">{text}' if "'" in text else text


def _header(categories) -> Iterator[str]:
    for (number, labels), name in zip(categories, CATEGORY_NAMES):
        yield f';; CATEGORY "{number}" "{name}" ""'
        for label, meaning in labels:
            yield f';; LABEL "{label}" "{meaning}" "{meaning}"'


def _by_time(placed: PlacedCall) -> List[Segment]:
    return sorted(placed.segments, key=lambda s: (s.start, s.turn.side))


def _side_and_sex(placed: PlacedCall, segment: Segment) -> Tuple[str, str]:
    side = segment.turn.side
    return "AB"[side], "F" if placed.call.speakers[side].female else "M"


def _s(samples: int) -> float:
    return seconds(samples)


def _write(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(line + "\n" for line in lines)
    path.write_text(text, encoding="utf-8", newline="\n")
