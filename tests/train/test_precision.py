"""Mixed precision: bfloat16 on the CPU, and what is refused."""

import pytest
import torch

from espnet_ext.errors import OptionError
from espnet_ext.tasks.asr import TransducerTask
from espnet_ext.train import options as driver_options
from espnet_ext.train.precision import Precision
from tests.train.tiny_training import (
    assert_same_result,
    checkpoint,
    differences,
    train,
    words,
)

CPU = torch.device("cpu")


def options(*words_):
    parser = TransducerTask.get_parser()
    return driver_options.build(parser.parse_args(["--output_dir", "x", *words_]))


def test_without_amp_nothing_is_cast():
    precision = Precision(options(), CPU)
    with precision.autocast():
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.float32
    assert precision.state_dict() is None


def test_bfloat16_is_used_in_the_forward_pass_and_needs_no_scale():
    precision = Precision(options("--use_amp", "true"), CPU)
    with precision.autocast():
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.bfloat16
    assert precision.scaler is None and not precision.overflowed()


def test_a_training_in_bfloat16_has_float32_weights_near_those_of_float32(
    tiny_data, tmp_path
):
    more = ("--max_epoch", "1", "--specaug", "none")
    for name, amp in (("full", "false"), ("mixed", "true"), ("again", "true")):
        command = words(tiny_data, tmp_path / name, "--use_amp", amp, *more)
        train(command, tmp_path / "log")
    full, mixed = (checkpoint(tmp_path / n)["model"] for n in ("full", "mixed"))
    assert differences(full, mixed)
    for name, weight in full.items():
        assert mixed[name].dtype == weight.dtype
        # Adam moves each weight by at most its rate, 0.01, in each of four updates
        torch.testing.assert_close(mixed[name], weight, rtol=0, atol=0.09)
    assert_same_result(tmp_path / "mixed", tmp_path / "again")


def test_float16_on_the_cpu_is_refused():
    with pytest.raises(OptionError, match="--amp_dtype bfloat16"):
        Precision(options("--use_amp", "true", "--amp_dtype", "float16"), CPU)


@pytest.mark.parametrize(
    "words_, message",
    [
        (("--nonfinite_in_row", "0"), "nonfinite_in_row 0"),
        (("--nonfinite_share", "2"), "0 to 1"),
        (("--save_interval_minutes", "0"), "above 0, or none"),
        (("--save_interval_updates", "-1"), "save_interval_updates -1"),
        (("--sharded_ddp", "true"), "fairscale"),
    ],
)
def test_options_without_meaning_are_refused(words_, message):
    with pytest.raises(OptionError, match=message):
        options(*words_)
