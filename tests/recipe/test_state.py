"""What is finished stays finished; what depends on a change is done again."""

import dataclasses
import json
import os

import pytest

from espnet_ext.errors import MissingInputError
from espnet_ext.recipe.state import Unit, begin, decide, finish


@pytest.fixture
def unit(tmp_path) -> Unit:
    text, output = tmp_path / "text", tmp_path / "out" / "tokens.txt"
    text.write_text("a b\n", encoding="utf-8")
    return Unit(
        5, str(tmp_path / "out"), {"nbpe": 80}, [text], [output], tmp_path, made_by=4
    )


def complete(unit: Unit) -> None:
    begin(unit)
    unit.outputs[0].parent.mkdir(exist_ok=True)
    unit.outputs[0].write_text("x\n", encoding="utf-8")
    finish(unit, 1.0)


def changed(unit: Unit, **settings) -> Unit:
    return dataclasses.replace(unit, settings=settings)


def test_a_finished_unit_is_not_run_again(unit):
    assert decide(unit).run
    complete(unit)
    assert not decide(unit).run


def test_a_changed_setting_is_named_with_both_values(unit):
    complete(unit)
    decision = decide(changed(unit, nbpe=100))
    assert decision.run and decision.reason == "runs again: nbpe 80 -> 100"
    assert decision.changed == ("nbpe",) and not decision.inputs_changed


def test_a_change_that_gives_another_result_keeps_the_first_one(unit):
    complete(unit)
    other = dataclasses.replace(
        unit, settings={"nbpe": 100}, target="elsewhere", outputs=[]
    )
    assert "nbpe 80 -> 100" in decide(other).reason
    complete(dataclasses.replace(other, outputs=unit.outputs))
    assert not decide(unit).run


def test_a_changed_input_is_named_and_the_same_content_is_no_change(unit):
    complete(unit)
    text = unit.inputs[0]
    text.write_text("a b\n", encoding="utf-8")
    os.utime(text, (1, 1))
    assert not decide(unit).run
    text.write_text("a c\n", encoding="utf-8")
    decision = decide(unit)
    assert decision.inputs_changed and f"{text} has changed" in decision.reason


def test_audio_is_known_by_size_and_time(unit, tmp_path):
    audio = tmp_path / "a.wav"
    audio.write_bytes(b"1234")
    unit = dataclasses.replace(unit, inputs=[audio])
    complete(unit)
    os.utime(audio, (1, 1))
    assert decide(unit).run


def test_an_interrupted_unit_continues_only_with_the_same_settings(unit):
    begin(unit)
    assert decide(unit).resume
    assert not decide(changed(unit, nbpe=100)).resume


def test_a_missing_output_or_force_runs_the_unit_again(unit):
    complete(unit)
    assert decide(unit, force=True).run
    unit.outputs[0].unlink()
    assert "missing" in decide(unit).reason


def test_a_missing_input_names_the_stage_that_makes_it(unit):
    unit.inputs[0].unlink()
    with pytest.raises(MissingInputError, match="--stage 4"):
        decide(unit)


def test_a_stage_that_writes_nothing_is_not_recorded_as_finished(unit):
    begin(unit)
    with pytest.raises(MissingInputError, match="without writing"):
        finish(unit, 1.0)
    assert decide(unit).run


def test_an_input_that_changes_during_the_work_is_noticed(unit):
    begin(unit)
    unit.inputs[0].write_text("late\n", encoding="utf-8")
    unit.outputs[0].parent.mkdir()
    unit.outputs[0].write_text("x\n", encoding="utf-8")
    finish(unit, 1.0)
    assert decide(unit).inputs_changed


def test_a_damaged_record_means_doing_the_work_again(unit, tmp_path):
    complete(unit)
    (record,) = (tmp_path / ".state").glob("*.json")
    assert json.loads(record.read_text(encoding="utf-8"))["status"] == "done"
    record.write_text("{", encoding="utf-8")
    assert decide(unit).run
