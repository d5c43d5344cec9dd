"""The catalogue file is checked strictly when it is read."""

import pytest

from espnet_ext.errors import FormatError, OptionError
from espnet_ext.experiments.catalogue import load_catalogue

ROW = """\
groups:
  encoder: {title: Encoder, meaning: x}
name_order: [depth]
switches:
  depth:
    group: encoder
    token: "n{}"
    reads: integer
    meaning: layers
    source: here
    sets: {encoder_conf.num_layers: $value}
"""


def load(tmp_path, text):
    path = tmp_path / "catalogue.yaml"
    path.write_text(text)
    return load_catalogue(path)


def test_a_row_is_read_with_its_defaults(tmp_path):
    (switch,) = load(tmp_path, ROW).switches.values()
    assert (switch.id, switch.slot, switch.shown, switch.type) == (
        *("depth", "depth", "n{}", "flag"),
    )
    assert switch.pattern.fullmatch("n12")[1] == "12" and switch.write(8) == "n8"


@pytest.mark.parametrize(
    "old, new, error, message",
    [
        ("meaning: layers", "meanin: layers", OptionError, "line 9.*'meaning'"),
        ("reads: integer", "reads: integr", FormatError, "line 5.*integr"),
        ('token: "n{}"', "token: n", FormatError, "token and reads"),
        ("group: encoder", "group: encode", FormatError, "unknown group"),
        ("source: here", "source: 3", FormatError, "source is 3"),
        ("    source: here\n", "", FormatError, "source is missing"),
        ("    sets: {encoder_conf.num_layers: $value}\n", "", FormatError, "nothing"),
        ("name_order: [depth]", "name_order: []", FormatError, "lacks 'depth'"),
        ("reads: integer", "reads: integer\n    needs: [x]", FormatError, "needs 'x'"),
        ("reads: integer", "reads: integer\n    only: [x]", FormatError, "only 'x'"),
    ],
)
def test_a_wrong_row_is_refused(tmp_path, old, new, error, message):
    assert old in ROW
    with pytest.raises(error, match=f"(?s){message}"):
        load(tmp_path, ROW.replace(old, new))


def test_rows_cannot_be_changed_after_reading():
    switch = load_catalogue().switches["layer_norm"]
    with pytest.raises(AttributeError):
        switch.token = "x"


def test_what_was_tried_is_what_the_original_names_contain():
    from espnet_ext.experiments.grammar import parse_name
    from tests.experiments.names import original_names

    found = {}
    for name in original_names():
        for switch_id, value in parse_name(name).values:
            found.setdefault(switch_id, set()).add(value)
    for switch in load_catalogue().switches.values():
        if switch.reads:
            tried = {tuple(t) if isinstance(t, list) else t for t in switch.tried}
            assert tried == found.get(switch.id, set()), switch.id
