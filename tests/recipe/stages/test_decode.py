"""Stage 12 without a recognizer: splitting, merging, completeness, time."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest

from espnet_ext.errors import FormatError, MissingInputError, StageFailedError
from espnet_ext.files import read_lines
from espnet_ext.recipe.context import Context
from espnet_ext.recipe.stages import decode
from espnet_ext.recipe.state import decide
from tests.recipe.folders import context, make_recipe, run_stage


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


RECOGNIZER = """
import argparse, json, pathlib, sys
parser = argparse.ArgumentParser()
for name in ("key_file", "output_dir"):
    parser.add_argument("--" + name, type=pathlib.Path)
args, _ = parser.parse_known_args()
keys = args.key_file.read_text().split()
best = args.output_dir / "1best_recog"
best.mkdir(parents=True, exist_ok=True)
broken = pathlib.Path("broken").read_text().split()
for kind in ("token", "token_int", "score", "word_times", "text"):
    (best / kind).write_text("".join(f"{k} {kind}-{k}\\n" for k in keys))
failed = [k for k in keys if k in broken]
(args.output_dir / "failed").write_text("".join(f"{k} no audio\\n" for k in failed))
facts = {"weights": {"lm_weight": 0.5}, "seconds": 2.0}
(args.output_dir / "decoding.json").write_text(json.dumps(facts))
with open("calls", "a") as calls:
    calls.write(" ".join(keys) + "\\n")
allowed = int(sys.argv[sys.argv.index("--max_failures") + 1]) if (
    "--max_failures" in sys.argv) else 0
if len(failed) > allowed:
    sys.exit("error: could not be decoded: " + " ".join(failed))
"""


@pytest.fixture
def recognizer(tmp_path, monkeypatch):
    """A program in the place of asr_inference, and a dumped set of four utterances."""
    make_recipe(tmp_path, {"train": 2, "dev": 2, "rt03s": 4})
    run_stage(3)
    exp = Path("exp/asr_train_raw_en_bpe22")
    exp.mkdir(parents=True)
    for name in ("config.yaml", "valid.acc.ave.pth"):
        (exp / name).write_bytes(b"")
    Path("recognizer.py").write_text(RECOGNIZER, encoding="utf-8")
    Path("broken").write_text("", encoding="utf-8")

    def program(self, module, *words):
        return [sys.executable, "recognizer.py", *map(str, words)]

    monkeypatch.setattr(Context, "module", program)
    monkeypatch.setattr(decode, "cores", lambda: 2)
    return exp


def calls() -> list:
    return read_lines("calls") if Path("calls").exists() else []


def ids() -> list:
    return sorted(k for line in calls() for k in line.split())


def test_jobs_that_were_finished_are_not_run_again(recognizer):
    facts = run_stage(12)
    assert len(calls()) == 2 and len(ids()) == 4
    assert facts["real-time factor"].endswith("(4 s for 2 s)")
    decoded = recognizer / "inference_asr_model_valid.acc.ave" / "rt03s"
    assert len(read_lines(decoded / "word_times")) == 4
    weights = json.loads((decoded / "decoding.json").read_text())["weights"]
    assert weights == {"lm_weight": 0.5}
    here = context()
    (unit,) = decode.units(here)
    again = dataclasses.replace(decide(unit), resume=True)
    (decoded.parent / "logdir" / "output.2" / "1best_recog" / "text").unlink()
    before = len(calls())
    decode.run(here, [(unit, again)])
    assert len(calls()) == before + 1, "only the job without a result"


def test_a_failed_utterance_stops_the_stage_and_is_tried_again(recognizer):
    key = "rt03s-A_000000"
    Path("broken").write_text(key, encoding="utf-8")
    with pytest.raises(StageFailedError, match=f"could not be decoded: {key}"):
        run_stage(12)
    Path("broken").write_text("", encoding="utf-8")
    here = context()
    (unit,) = decode.units(here)
    before = len(calls())
    decode.run(here, [(unit, dataclasses.replace(decide(unit), resume=True))])
    assert any(key in line for line in calls()[before:]), "its empty text was kept"


def test_allowed_failures_are_named_in_the_result(recognizer):
    key = "rt03s-A_000000"
    Path("broken").write_text(key, encoding="utf-8")
    facts = run_stage(12, "--inference_args", "--max_failures 1")
    (said,) = [value for name, value in facts.items() if name == "rt03s"]
    assert "1 FAILED" in said
    (failed,) = recognizer.glob("*/rt03s/failed")
    assert read_lines(failed) == [f"{key} no audio"]


def test_batches_are_of_utterances_of_about_the_same_length(recognizer):
    samples = {"rt03s-A_000000": 10, "rt03s-B_000001": 30, "rt03s-A_000002": 20}
    samples["rt03s-B_000003"] = 40
    patch = pytest.MonkeyPatch()
    with patch.context() as here:
        here.setattr(decode, "read_samples", lambda source: samples)
        run_stage(12, "--batch_size", "2", "--inference_nj", "1")
    (line,) = calls()
    assert [samples[key] for key in line.split()] == [40, 30, 20, 10]


@pytest.mark.slow
def test_jobs_on_a_cluster_give_the_same_result(recognizer, slurm):
    run_stage(12, "--cluster", "slurm", "--inference_nj", "3")
    assert len(calls()) == 3 and len(ids()) == 4
    (text,) = recognizer.glob("*/rt03s/text")
    assert len(read_lines(text)) == 4
    assert 3 in slurm
