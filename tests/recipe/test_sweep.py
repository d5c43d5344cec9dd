"""Sweeps: which options the recipe gets, and what is made of its scores."""

import csv

import pytest

from espnet_ext.analysis.confidence import Interval
from espnet_ext.analysis.scores import Counts
from espnet_ext.analysis.stored_rows import store_rows
from espnet_ext.analysis.tables import ALL, Row
from espnet_ext.errors import MissingInputError, OptionError
from espnet_ext.recipe import sweep
from espnet_ext.recipe.layout import Layout
from espnet_ext.recipe.parse import parse

PNG = b"\x89PNG"


def row(name, errors, metric="WER", subset=ALL):
    counts = Counts(sentences=2, words=100, correct=100 - errors, substitutions=errors)
    interval = Interval(errors - 1.0, errors + 1.0, "speaker")
    return Row(name, subset, metric, counts, interval, "builtin", "1")


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe folder whose decoding is replaced by known scores.

    ``calls`` are the options that the recipe was run with.
    """
    monkeypatch.chdir(tmp_path)
    calls = []

    def run(options):
        calls.append(options)
        layout = Layout(options)
        rows = []
        for number, name in enumerate(layout.decode_sets):
            errors = 20 + number + len(calls)
            rows += [row(name, 99, "CER"), row(name, errors)]
            rows += [row(name, 50, subset="swbd")]
        layout.decode_dir.mkdir(parents=True)
        store_rows(rows, layout.decode_dir)

    monkeypatch.setattr(sweep, "run_recipe", run)
    return calls


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_each_beam_size_is_decoded_and_scored_in_a_folder_of_its_own(recipe, capsys):
    words = ["--test_sets", "a b", "--inference_args", "--penalty 1"]
    assert sweep.main(["--beams", "4 1", *words]) == 0
    assert [call.inference_args for call in recipe] == [
        "--penalty 1 --beam_size 1",
        "--penalty 1 --beam_size 4",
    ]
    assert {(call.stage, call.stop_stage) for call in recipe} == {(12, 13)}
    folder = Layout(recipe[0]).asr_exp
    points = read(folder / "sweep_beam.csv")
    assert [(p["value"], p["set"], p["wer"]) for p in points] == [
        ("1", "a", "21.000"),
        ("1", "b", "22.000"),
        ("4", "a", "22.000"),
        ("4", "b", "23.000"),
    ]
    table = (folder / "sweep_beam.md").read_text()
    assert "| 4 | 22.0 (21.0-23.0) | 23.0 (22.0-24.0) |" in table
    assert table in capsys.readouterr().out
    assert (folder / "sweep_beam.png").read_bytes().startswith(PNG)


def test_joined_sets_are_formatted_decoded_and_scored_without_training(
    recipe, tmp_path
):
    for count in (1, 2, 10):
        (tmp_path / "data" / f"rt03s_concat{count}").mkdir(parents=True)
    assert sweep.main(["--segments", "10,1,2", "--set", "rt03s"]) == 0
    (call,) = recipe
    assert call.test_sets == "rt03s_concat1 rt03s_concat2 rt03s_concat10"
    assert (call.stage, call.stop_stage, call.skip_train) == (3, 13, True)
    points = read(Layout(call).asr_exp / "sweep_segments_rt03s.csv")
    assert [(p["value"], p["set"], p["errors"]) for p in points] == [
        ("1", "rt03s", "21"),
        ("2", "rt03s", "22"),
        ("10", "rt03s", "23"),
    ]


def test_a_set_that_was_not_prepared_is_named_with_what_to_type(recipe, tmp_path):
    (tmp_path / "data" / "hub5e_00_concat1").mkdir(parents=True)
    with pytest.raises(MissingInputError, match='hub5e_00_concat4(.|\n)*--concat 1,4"'):
        sweep.sweep(["--segments", "1 4"])
    assert recipe == []


def test_the_rules_of_hub5_come_first_and_subsets_are_left_out():
    rows = [row("a", 30), row("a", 20, "hub5"), row("a", 1, "hub5", "swbd")]
    found = sweep.best_rows([*rows, row("b", 40), row("b", 2, "CER")])
    assert {name: r.counts.errors for name, r in found.items()} == {"a": 20, "b": 40}


def test_without_values_the_original_s_are_taken():
    args = sweep.get_parser().parse_args(["--segments"])
    assert sweep.numbers(args.segments, "") == sweep.COUNTS
    assert sweep.numbers("12 1", "--beams") == (1, 12)


def test_values_that_are_no_numbers_are_refused(recipe):
    with pytest.raises(OptionError, match="--beams: '1 x'"):
        sweep.sweep(["--beams", "1 x"])


def test_options_of_run_sh_are_checked_as_ever(recipe):
    with pytest.raises(OptionError, match="unknown option --beems"):
        sweep.sweep(["--beams", "1", "--beems", "2"])
    assert parse([]).stage == 1
