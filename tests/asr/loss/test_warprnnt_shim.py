"""The stand-in for warprnnt_pytorch: enumeration, vectors, and a real training."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_ext.asr.loss.warprnnt_shim import RNNTLoss, rnnt_loss
from espnet_ext.errors import OptionError
from tests.asr.loss.paths import enumerated_nll
from tests.asr.loss.stock_recipe import make_stock_recipe, stock_arguments
from tests.shared import REPOSITORY, shared_file

VECTORS = ["rnnt_basic", "rnnt_blank_first", "rnnt_edge", "rnnt_padded_batch"]


def random_case(seed, batch, frames, labels, vocabulary, blank):
    """Logits, labels and lengths whose maximum is shorter than the tensors."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(
        batch, frames + 1, labels + 2, vocabulary, generator=generator
    )
    text = torch.randint(0, vocabulary - 1, (batch, labels + 1), generator=generator)
    text += (text >= blank).long()
    frame_lens = torch.randint(1, frames + 1, (batch,), generator=generator)
    label_lens = torch.randint(0, labels + 1, (batch,), generator=generator)
    return logits, text, frame_lens, label_lens


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 3),
    frames=st.integers(1, 5),
    labels=st.integers(0, 4),
    vocabulary=st.integers(2, 5),
    data=st.data(),
)
def test_loss_of_logits_equals_the_sum_over_all_paths(
    seed, batch, frames, labels, vocabulary, data
):
    blank = data.draw(st.integers(0, vocabulary - 1))
    case = random_case(seed, batch, frames, labels, vocabulary, blank)
    nll = rnnt_loss(*case, blank=blank, reduction="none")
    logits, text, frame_lens, label_lens = case
    for b, (T, L) in enumerate(zip(frame_lens.tolist(), label_lens.tolist())):
        log_probs = logits[b, :T].double().log_softmax(-1)
        expected = enumerated_nll(log_probs, T, text[b, :L].tolist(), blank, "rnnt")
        assert float(nll[b]) == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", VECTORS)
def test_loss_and_gradient_equal_the_reference_vectors(name):
    """The vectors hold log-probabilities: as logits they give the same loss."""
    arrays = np.load(shared_file(f"reference/vectors/{name}.npz"))
    logits = torch.tensor(arrays["log_probs"]).requires_grad_()
    case = [torch.tensor(arrays[k]) for k in ("labels", "input_lens", "label_lens")]
    nll = rnnt_loss(logits, *case, blank=int(arrays["blank"]), reduction="none")
    np.testing.assert_allclose(nll.detach(), arrays["loss"], rtol=1e-5)
    nll.sum().backward()
    # the chain rule of log-softmax takes the gradient to the logits
    free = arrays["grad_log_probs"]
    softmax = np.exp(arrays["log_probs"]) * (free != 0).any(-1, keepdims=True)
    expected = free - softmax * free.sum(-1, keepdims=True)
    np.testing.assert_allclose(logits.grad, expected, atol=1e-5)


def test_gradient_equals_finite_differences():
    logits, text, frame_lens, label_lens = random_case(3, 2, 4, 3, 4, 0)
    case = text, frame_lens, label_lens

    def loss(values):
        """Float64 by enumeration, so that differences of 1e-5 still mean something."""
        total = 0.0
        for b in range(2):
            log_probs = values[b, : int(frame_lens[b])].log_softmax(-1)
            labels = text[b, : int(label_lens[b])].tolist()
            total += enumerated_nll(log_probs, len(log_probs), labels, 0, "rnnt")
        return total

    variable = logits.clone().requires_grad_()
    rnnt_loss(variable, *case, reduction="sum").backward()
    exact = logits.double()
    step = 1e-5
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        index = tuple(
            int(torch.randint(n, (), generator=generator)) for n in exact.shape
        )
        up, down = exact.clone(), exact.clone()
        up[index] += step
        down[index] -= step
        slope = (loss(up) - loss(down)) / (2 * step)
        assert float(variable.grad[index]) == pytest.approx(slope, abs=1e-5)


def test_mean_is_the_sum_over_the_batch_divided_by_its_size_alone():
    case = random_case(5, 3, 5, 4, 6, 0)
    each = rnnt_loss(*case, reduction="none")
    assert each.shape == (3,)
    assert RNNTLoss(reduction="sum")(*case).tolist() == [
        pytest.approx(float(each.sum()))
    ]
    assert RNNTLoss()(*case).tolist() == [pytest.approx(float(each.sum()) / 3)]


def test_types_strides_and_padding_of_the_input_do_not_matter():
    logits, text, frame_lens, label_lens = random_case(7, 2, 4, 3, 5, 0)
    plain = rnnt_loss(logits, text, frame_lens, label_lens, reduction="none")
    strided = logits.transpose(1, 2).contiguous().transpose(1, 2).double()
    strided[0, int(frame_lens[0]) :] = 1e4
    ragged = text.clone()
    for b in range(2):
        ragged[b, int(label_lens[b]) :] = -1
    lens = frame_lens.int(), label_lens.long()
    again = rnnt_loss(strided, ragged.int(), *lens, reduction="none")
    torch.testing.assert_close(again, plain)


def test_gradient_has_no_denormal_numbers():
    logits = torch.randn(1, 30, 11, 6, generator=torch.Generator().manual_seed(1))
    logits = (40 * logits).requires_grad_()
    text = torch.ones(1, 10, dtype=torch.int32)
    rnnt_loss(logits, text, torch.tensor([30]), torch.tensor([10])).backward()
    size = logits.grad.abs()
    smallest = torch.finfo(torch.float32).tiny
    assert (size > 0.1).any() and (size == 0).any()
    assert not ((size > 0) & (size < smallest)).any()


def test_fastemit_and_unknown_reductions_are_refused_before_any_training():
    with pytest.raises(OptionError, match="no FastEmit"):
        RNNTLoss(fastemit_lambda=0.01)
    with pytest.raises(OptionError, match="unknown reduction 'average'"):
        RNNTLoss(reduction="average")


def python(code, *more_path):
    """Output of a fresh interpreter."""
    path = os.pathsep.join([str(REPOSITORY), *map(str, more_path)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


SHOW = """
import importlib.util, sys
print(importlib.util.find_spec("warprnnt_pytorch") is not None)
from espnet_ext.asr.loss import warprnnt_shim
print("warprnnt_pytorch" in sys.modules)
try:
    print(warprnnt_shim.install(), warprnnt_shim.install())
    import warprnnt_pytorch
    print(warprnnt_pytorch.RNNTLoss is warprnnt_shim.RNNTLoss)
except Exception as error:
    print(type(error).__name__, str(error).split()[-1])
"""


@pytest.mark.slow
def test_the_name_exists_only_after_installing():
    assert python(SHOW) == "False False True True True".split()


@pytest.mark.slow
def test_a_real_package_is_not_shadowed(tmp_path):
    (tmp_path / "warprnnt_pytorch.py").write_text("class RNNTLoss:\n    pass\n")
    assert python(SHOW, tmp_path) == "True False False False False".split()


@pytest.mark.slow
def test_a_broken_real_package_is_named_and_not_replaced(tmp_path):
    (tmp_path / "warprnnt_pytorch.py").write_text("import gone_missing_module\n")
    words = python(SHOW, tmp_path)
    assert words[:3] == ["True", "False", "ToolMissingError"]
    assert words[-1] == "stand-in"


@pytest.mark.slow
def test_spawned_processes_have_the_stand_in_too():
    code = """
import importlib.util, multiprocessing
from espnet_ext.asr.loss import warprnnt_shim
if __name__ == "__main__":
    warprnnt_shim.install()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(importlib.util.find_spec, ("warprnnt_pytorch",)).name)
"""
    assert python(code) == ["warprnnt_pytorch"]


def launch(folder, *words):
    return subprocess.run(
        [sys.executable, "-m", "espnet_ext.run", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_stock_asr_train_trains_a_stock_transducer_and_stock_inference_decodes(
    tmp_path,
):
    make_stock_recipe(tmp_path)
    train = ["-m", "espnet2.bin.asr_train", *stock_arguments()]
    without = launch(tmp_path, *train)
    assert without.returncode != 0 and "warprnnt_pytorch" in without.stderr
    trained = launch(tmp_path, "--warprnnt-shim", *train)
    assert trained.returncode == 0, trained.stderr
    log = trained.stderr + trained.stdout
    assert "The training was finished at 1 epochs" in log
    losses = [float(x) for x in re.findall(r"loss_transducer=([\d.e+-]+|nan)", log)]
    assert losses and all(np.isfinite(losses))
    decoded = launch(
        tmp_path,
        *("--warprnnt-shim", "-m", "espnet2.bin.asr_inference", "--ngpu", "0"),
        *("--asr_train_config", "exp/config.yaml", "--beam_size", "1"),
        *("--asr_model_file", "exp/valid.loss.ave.pth", "--output_dir", "decoded"),
        *("--data_path_and_name_and_type", "valid.scp,speech,sound"),
    )
    assert decoded.returncode == 0, decoded.stderr
    result = (tmp_path / "decoded" / "1best_recog" / "text").read_text()
    assert [line.split()[0] for line in result.splitlines()] == ["v0", "v1"]
