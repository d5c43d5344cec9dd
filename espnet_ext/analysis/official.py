"""Sizes of NIST's evaluation sets, to tell a faulty reference from a bad recogniser.

Every published result on these sets has these counts, whatever the recogniser, if the
release's own STM and GLM were used. The number of reference words may move by a few,
because alternatives of different length count as long as the one that fits.

Ref: the public Kaldi and ESPnet recipes for eval2000 and rt03.
"""

from typing import Dict, List, NamedTuple, Sequence

from espnet_ext.analysis.tables import ALL, Row

# a set far from the official size is a sample of it, and nothing is said
SAMPLE_SHARE = 0.5
TOLERANCE = 0.005


class Size(NamedTuple):
    """Scored segments and reference words."""

    segments: int
    words: int


OFFICIAL: Dict[str, Dict[str, Size]] = {
    "hub5e_00": {
        ALL: Size(4459, 42989),
        "swb": Size(1831, 21395),
        "ch": Size(2628, 21594),
    },
    "rt03s": {
        ALL: Size(8420, 76157),
        "swb": Size(4450, 39436),
        "fsh": Size(3970, 36721),
    },
}
OTHER_NAMES = {"eval2000": "hub5e_00", "rt03": "rt03s"}


def warnings(rows: Sequence[Row]) -> List[str]:
    """One line for each set whose size is not the official one."""
    lines = []
    for row in rows:
        name = OTHER_NAMES.get(row.set_name, row.set_name)
        size = OFFICIAL.get(name, {}).get(row.subset)
        if row.metric != "hub5" or size is None:
            continue
        counts = row.counts
        if counts.words < SAMPLE_SHARE * size.words:
            continue
        if (
            abs(counts.words - size.words) > TOLERANCE * size.words
            or abs(counts.sentences - size.segments) > TOLERANCE * size.segments
        ):
            lines.append(
                f"{row.name}: {counts.sentences} segments, {counts.words} words; "
                f"published results have {size.segments} and {size.words}: are stm and "
                "glm those of the release?"
            )
    return lines
