"""Stage 12 without a recognizer: splitting, merging, completeness, time."""

from pathlib import Path

import pytest

from espnet_ext.errors import FormatError, MissingInputError
from espnet_ext.files import read_lines
from espnet_ext.recipe.stages import decode
from tests.recipe.folders import context


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_output(folder: str, texts: dict, part: str = "1best_recog") -> Path:
    """What one job of asr_inference leaves."""
    output = Path(folder)
    (output / part).mkdir(parents=True)
    for kind in ("text", "token", "token_int", "score"):
        lines = [f"{key} {value}".rstrip() + "\n" for key, value in texts.items()]
        (output / part / kind).write_text("".join(lines), encoding="utf-8")
    return output


def test_parts_are_merged_by_set_in_the_order_of_ids():
    outputs = [
        write_output("o1", {"b2": "two", "a1": "one"}),
        write_output("o2", {"b1": "", "a2": "x y"}),
    ]
    sets = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}
    fact = decode.merge(context(), outputs, sets, "b", Path("dec/b"))
    assert read_lines("dec/b/text") == ["b1", "b2 two"]
    assert "2 utterances, 1 of them empty" in fact
    decode.merge(context(), outputs, sets, "a", Path("dec/a"))
    assert read_lines("dec/a/token") == ["a1 one", "a2 x y"]


def test_an_utterance_without_result_is_an_error_that_names_it():
    outputs = [write_output("o1", {"a1": "one"})]
    with pytest.raises(FormatError, match="no text for a2"):
        decode.merge(context(), outputs, {"a1": "a", "a2": "a"}, "a", Path("dec/a"))


def test_pieces_of_subword_nmt_are_joined_in_the_text_only():
    outputs = [write_output("o1", {"a1": "the h@@ ouse"})]
    nmt = context("--bpemode", "subword_nmt")
    decode.merge(nmt, outputs, {"a1": "a"}, "a", Path("dec/a"))
    assert read_lines("dec/a/text") == ["a1 the house"]
    assert read_lines("dec/a/token") == ["a1 the h@@ ouse"]


def test_sets_with_common_ids_are_decoded_apart():
    keys = {"a": ["1", "2"], "part_of_a": ["2"], "b": ["3"]}
    assert decode.group_sets(keys) == [["a", "b"], ["part_of_a"]]


def test_missing_weights_name_those_that_exist():
    exp = Path("exp/asr_train_raw_en_bpe22")
    exp.mkdir(parents=True)
    (exp / "valid.loss.ave.pth").write_bytes(b"")
    with pytest.raises(MissingInputError) as caught:
        decode.model_files(context("--inference_asr_model", "valid.acc.ave.pth"))
    assert "valid.loss.ave.pth" in str(caught.value.next_step)


def test_the_real_time_factor_counts_from_start_to_result_of_each_utterance(tmp_path):
    lines = [
        "[h] 2026-01-01 00:00:00,000 (asr_inference:1) INFO: speech length: 8000",
        "[h] 2026-01-01 00:00:00,250 (asr_inference:1) INFO: best hypo: a",
        "[h] 2026-01-01 00:00:05,000 (asr_inference:1) INFO: speech length: 8000",
        "[h] 2026-01-01 00:00:05,750 (asr_inference:1) INFO: best hypo: b",
    ]
    log = tmp_path / "asr_inference.1.log"
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert decode.real_time_factor(tmp_path, 4.0).startswith("0.250 ")
    log.write_text("nothing\n", encoding="utf-8")
    assert "not known" in decode.real_time_factor(tmp_path, 4.0)
