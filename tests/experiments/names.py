"""Random sets of switches for the tests of names."""

from hypothesis import strategies as st

from espnet_ext.experiments.catalogue import load_catalogue
from tests.shared import shared_file

VALUES = {
    "integer": st.integers(1, 64),
    "after_zero": st.integers(0, 999).map(lambda n: n / 1000),
    "fraction": st.integers(1, 99).map(lambda n: n / 1000),
    "scientific": st.builds(
        lambda m, e: float(f"{m}e-{e}"), st.integers(1, 99), st.integers(1, 9)
    ),
    "layers": st.lists(st.integers(2, 12), min_size=1, unique=True).map(sorted),
    "resize_range": st.tuples(st.integers(5, 9), st.integers(10, 15)).map(
        lambda pair: [pair[0] / 10, pair[1] / 10]
    ),
}


def original_names():
    """The names in experiments.tsv."""
    lines = shared_file("reference/experiments.tsv").read_text().splitlines()
    return [line.split("\t")[0] for line in lines[1:]]


@st.composite
def conformer_values(draw):
    """Values of switches that may stand together with ``conformer``, one a slot."""
    catalogue = load_catalogue()
    values = {"conformer": True}
    taken = set()
    wanted = draw(st.lists(st.sampled_from(sorted(catalogue.switches)), max_size=12))
    for switch_id in wanted:
        switch = catalogue.switches[switch_id]
        unusable = switch.only or switch.slot in ("family", "import")
        if (
            unusable
            or switch.slot in taken
            or switch.slot in ("model_size", "num_heads")
        ):
            continue
        taken.add(switch.slot)
        values[switch_id] = draw(VALUES[switch.reads]) if switch.reads else True
        if switch.slot == "num_layers":
            values[switch_id] += 12  # deep enough for every list of layers
    return values
