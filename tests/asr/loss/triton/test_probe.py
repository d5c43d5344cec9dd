"""The probe lets right kernels pass, and says in one line what is wrong with others."""

import importlib
import logging

import pytest
import torch

from espnet_ext.asr.loss.triton import probe as module
from tests.asr.loss.triton.cases import DEVICE


@pytest.fixture(autouse=True)
def asked_for_the_first_time():
    module.probe.cache_clear()
    module._usable.cache_clear()
    yield
    module.probe.cache_clear()
    module._usable.cache_clear()


def test_right_kernels_pass():
    assert module.probe(DEVICE) is None


@pytest.mark.parametrize(
    "name, wrong",
    [
        (
            "recursion",
            lambda arcs, start: arcs[0].new_zeros(len(arcs[0]) + 1, *start.shape),
        ),
        ("pack", None),
    ],
)
def test_wrong_numbers_and_exceptions_are_told_apart(monkeypatch, name, wrong):
    loss = importlib.import_module("espnet_ext.asr.loss.triton.loss")
    monkeypatch.setattr(loss, name, wrong)
    reason = module.probe(DEVICE)
    assert reason is not None and "\n" not in reason
    assert reason.startswith("fails: 'NoneType'" if wrong is None else "the loss in")


def test_wrong_gradient_is_found(monkeypatch):
    loss = importlib.import_module("espnet_ext.asr.loss.triton.loss")
    right = loss.backward_pass

    def wrong(*arguments):
        gradients = right(*arguments)
        gradients.bias_K[0] += 0.01
        return gradients

    monkeypatch.setattr(loss, "backward_pass", wrong)
    assert module.probe(DEVICE).startswith("a gradient in torch.float32 differs by")


def test_a_machine_without_triton_gets_the_reason_once(monkeypatch, caplog):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    device = torch.device("cuda", 0)
    with caplog.at_level(logging.WARNING):
        assert not module.use_kernels(device)
        assert not module.use_kernels(device)
    assert [record.getMessage() for record in caplog.records] == [
        "Triton kernels of the full-sum loss are not used on cuda:0 (Triton is not "
        "installed): PyTorch computes the same, more slowly"
    ]


def test_cpu_is_left_to_pytorch_without_a_word(caplog):
    assert not module.use_kernels(torch.device("cpu"))
    assert not caplog.records


def test_probe_leaves_the_precision_setting_alone():
    torch.set_float32_matmul_precision("high")
    try:
        assert module.probe(DEVICE) is None
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
