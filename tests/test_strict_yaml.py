"""YAML is read as plain values, with lines, within bounds, and runs nothing."""

import string
import textwrap
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from espnet_ext.errors import FormatError, MissingInputError, OptionError, UserError
from espnet_ext.strict_yaml import MAXIMUM_VALUES, load, parse, refuse_unknown

# Without control characters, which the library's two implementations write differently,
# and without e: 1e3 in quotes is lost where the library writes it plain.
WRITABLE = "".join(c for c in string.printable[:95] + "äß中" if c not in "eE")
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(WRITABLE, max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(WRITABLE, min_size=1, max_size=6), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(WRITABLE, min_size=1, max_size=6), PLAIN, max_size=4))
def test_it_reads_what_the_yaml_library_writes(content):
    """The library's own reader is the oracle."""
    text = yaml.safe_dump(content, allow_unicode=True)
    assert parse(text, "x").content == yaml.safe_load(text) == content


@given(
    st.text(max_size=60) | st.text(alphabet="[]{}:,-&*!|>'\"ab1 \n?#%@", max_size=60)
)
def test_no_text_raises_anything_but_a_user_error(text):
    try:
        content = parse(text, "x").content
    except UserError:
        return
    assert isinstance(content, dict)


@given(st.text(alphabet="[]{}:,-&*!ab1 \n", max_size=40))
def test_what_it_accepts_the_library_reads_the_same_way(text):
    try:
        content = parse(text, "x").content
    except UserError:
        return
    try:
        expected = yaml.safe_load(text)
    except yaml.YAMLError:
        expected = content  # the library is stricter about keys it cannot hash
    if isinstance(expected, dict) and all(isinstance(k, str) for k in expected):
        assert content == expected


@pytest.mark.parametrize(
    "text, line, words",
    [
        ("a: 1\nb: 2\na: 3\n", 3, "'a' stands twice"),
        ("a: {b: 1,\n b: 2}\n", 2, "'b' stands twice"),
        ("a: !!python/object/apply:os.system ['touch {}']\n", 1, "tag"),
        ("a: !!python/name:os.system\n", 1, "tag"),
        ("- !!python/module:os\n", 1, "tag"),
        ("a:\n  - !custom x\n", 2, "tag"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", 3, "merge key"),
        ("a: 1e-3\n", 1, "1.0e-3"),
        ("a: [1\nb: 2\n", 2, "not valid YAML"),
        ("a: &x [*x]\n", 1, "alias"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("? [1, 2]\n: 3\n", 1, "as key"),
    ],
)
def test_what_is_refused_names_file_and_line(tmp_path, text, line, words):
    path = tmp_path / "file.yaml"
    mark = tmp_path / "executed"
    path.write_text(text.replace("{}", str(mark), 1) if "touch" in text else text)
    with pytest.raises(FormatError) as caught:
        load(path)
    assert f"file.yaml line {line}" in str(caught.value)
    assert words in str(caught.value)
    assert not mark.exists()


def test_an_alias_bomb_is_refused_before_it_grows():
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    start = time.monotonic()
    with pytest.raises(FormatError, match=f"more than {MAXIMUM_VALUES}"):
        parse("\n".join(["a0: &a0 [x, x]", *levels]), "bomb")
    assert time.monotonic() - start < 5  # 9 ** 11 values would take years


def test_deep_nesting_is_refused_not_a_crash():
    with pytest.raises(FormatError, match="deeper"):
        parse("a: " + "[" * 100_000, "deep")


def test_a_small_alias_is_copied_so_that_no_value_is_shared():
    content = parse("a: &x [1, 2]\nb: *x\n", "x").content
    assert content == {"a": [1, 2], "b": [1, 2]}
    content["a"].append(3)
    assert content["b"] == [1, 2]


def test_lines_lead_to_every_key_and_item():
    text = "a: 1\nb:\n  c: 2\n  d:\n  - x\n  - {e: 5}\n"
    document = parse(text, "f.yaml")
    assert document.where("b", "c") == "f.yaml line 3"
    assert document.where("b", "d", 1, "e") == "f.yaml line 6"
    assert document.where("b", "unknown") == "f.yaml line 2"


def test_an_unknown_key_is_refused_with_line_and_nearest(tmp_path):
    document = parse(textwrap.dedent("groups:\n  encoder:\n    titel: x\n"), "f.yaml")
    with pytest.raises(OptionError, match="(?s)f.yaml line 3.*'titel'.*'title'"):
        refuse_unknown(document, ["title"], "groups", "encoder")


def test_a_missing_file_names_a_similar_one(tmp_path):
    (tmp_path / "train_demo.yaml").write_text("a: 1\n")
    with pytest.raises(MissingInputError, match="train_demo.yaml"):
        load(tmp_path / "train_dmo.yaml")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: \xff\xfe\n")
    with pytest.raises(FormatError, match="x.yaml"):
        load(path)
