"""The same seed gives the same bytes; where two runs part is found and named."""

import pytest
import torch

from espnet_ext.errors import OptionError
from espnet_ext.train.determinism import refusals_are_user_errors
from espnet_ext.train.determinism_command import main
from espnet_ext.train.trace import Entry, Tracer, digest, first_difference, read_trace
from tests.train.tiny_training import train, words


def test_two_runs_of_a_seed_give_byte_equal_checkpoints(tiny_data, tmp_path):
    for name, seed in (("one", "7"), ("two", "7"), ("other", "8")):
        options = ("--deterministic", "true", "--seed", seed, "--max_epoch", "2")
        train(words(tiny_data, tmp_path / name, *options), tmp_path / "log")
    for file in ("checkpoint.pth", "2epoch.pth", "train_steps.jsonl"):
        one, two, other = (
            (tmp_path / name / file).read_bytes() for name in ("one", "two", "other")
        )
        assert one == two, file
        assert one != other, file


def test_an_operation_that_cannot_be_deterministic_is_named():
    with pytest.raises(OptionError, match="cumsum_cuda_kernel has no deterministic"):
        with refusals_are_user_errors():
            raise RuntimeError(
                "cumsum_cuda_kernel does not have a deterministic implementation, but "
                "you set 'torch.use_deterministic_algorithms(True)'."
            )
    with pytest.raises(RuntimeError, match="another"), refusals_are_user_errors():
        raise RuntimeError("another error")


def two_traces(tmp_path, change):
    """Traces of two steps of a small network, the second run changed."""
    paths = []
    for run in range(2):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
        tracer = Tracer(tmp_path / f"run{run}", model)
        for step in (1, 2):
            x = torch.ones(1, 2)
            if run:
                change(step, model, x)
            tracer.batch(["u"], {"speech": x})
            loss = model(x).sum()
            loss.backward()
            tracer.gradients()
            tracer.end_step(float(loss))
        tracer.close()
        paths.append(read_trace(tmp_path / f"run{run}"))
    return paths


@torch.no_grad()
def _change_weight(step, model, x):
    if step == 2:
        model[0].weight += 1e-7


def _change_input(step, model, x):
    if step == 2:
        x[0, 1] = 1.0 + 2.0**-23


@pytest.mark.parametrize(
    "change, found",
    [
        (_change_weight, {"step": 2, "kind": "output", "name": "0", "module": "0"}),
        (
            _change_input,
            {"step": 2, "kind": "batch", "name": "batch.speech", "module": ""},
        ),
    ],
)
def test_the_first_step_tensor_and_module_that_differ_are_found(
    tmp_path, change, found
):
    assert first_difference(*two_traces(tmp_path, change)) == found


def test_equal_traces_have_no_difference(tmp_path):
    assert first_difference(*two_traces(tmp_path, lambda *unused: None)) is None


def test_a_trace_that_ends_early_differs():
    one = [Entry(1, "loss", "loss", "a")]
    found = first_difference(one, [*one, Entry(2, "batch", "x", "b")])
    assert found["step"] == 2 and found["other"] == "end of the trace"


def test_the_digest_tells_signed_zeros_and_types_apart_but_not_equal_nans():
    nan = torch.tensor(float("nan"))
    assert digest(nan) == digest(nan.clone())
    assert digest(torch.tensor(0.0)) != digest(torch.tensor(-0.0))
    assert digest(torch.zeros(2)) != digest(torch.zeros(2, dtype=torch.int32))
    assert digest(torch.zeros(2, 1)) != digest(torch.zeros(1, 2))


@pytest.mark.slow
def test_the_command_compares_two_runs_of_a_configuration(tiny_data, tmp_path, capsys):
    command = words(tiny_data, tmp_path / "unused")
    command = command[: command.index("--output_dir")] + command[4:]
    assert main(["check", "--steps", "3", *command]) == 0
    assert "3 steps, no difference" in capsys.readouterr().out
