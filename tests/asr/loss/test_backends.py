"""Backends by name: they agree, are probed first, and say what to use instead."""

import sys
import types

import pytest
import torch
import torch.nn.functional as F

from espnet_ext.asr.loss import backends, full_sum_loss, get_topology
from espnet_ext.asr.loss.backends import BACKENDS, choose_backend
from espnet_ext.asr.loss.dense import dense_loss
from espnet_ext.asr.loss.probe import probe_loss
from espnet_ext.errors import OptionError, ToolMissingError
from tests.asr.loss.paths import TOPOLOGY_NAMES, random_case

DENSE_ON_CPU = [
    (backend.name, topology)
    for backend in BACKENDS.values()
    if backend.takes == "dense" and "cpu" in backend.devices
    for topology in backend.topologies
]


@pytest.fixture(autouse=True)
def fresh_probes():
    """Each test probes anew, and leaves no verdict of a faked backend behind."""
    backends.why_not.cache_clear()
    backends.automatic.cache_clear()
    yield
    backends.why_not.cache_clear()
    backends.automatic.cache_clear()


@pytest.mark.parametrize("backend, topology", DENSE_ON_CPU)
def test_backends_agree_with_double_precision(backend, topology):
    case = random_case(21, 6, 7, 5, 6, 3)
    case = case._replace(frame_lens_B=torch.tensor([7, 6, 0, 0, 2, 4]))
    case = case._replace(label_lens_B=torch.tensor([4, 0, 0, 2, 3, 2]))
    exact = case.scores_BTSV.requires_grad_()
    expected = full_sum_loss(*case, topology, 3, infeasible="zero")
    (expected * torch.arange(6)).sum().backward()
    scores = exact.detach().float().requires_grad_()
    single = case._replace(scores_BTSV=scores)
    options = {"backend": backend, "infeasible": "zero"}
    nll = full_sum_loss(*single, topology, 3, **options)
    (nll * torch.arange(6)).sum().backward()
    torch.testing.assert_close(nll.double(), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(scores.grad.double(), exact.grad, rtol=0, atol=1e-4)


@pytest.mark.parametrize("backend, topology", DENSE_ON_CPU)
def test_every_installed_backend_passes_its_probe(backend, topology):
    assert backends.why_not(backend, get_topology(topology), "cpu") is None


@pytest.mark.parametrize("backend", ["torchaudio"])
def test_padding_beyond_the_longest_sequence_and_minus_one_do_not_matter(backend):
    case = random_case(22, 3, 6, 5, 5, 0)
    lengths = torch.tensor([4, 3, 1]), torch.tensor([2, 3, 0])
    labels = case.labels_BL.clone()
    for b, count in enumerate(lengths[1].tolist()):
        labels[b, count:] = -1
    scores = case.scores_BTSV.float()
    nll = full_sum_loss(scores, labels, *lengths, "rnnt", backend=backend)
    expected = full_sum_loss(case.scores_BTSV, case.labels_BL, *lengths, "rnnt")
    torch.testing.assert_close(nll.double(), expected, rtol=1e-5, atol=1e-5)


def test_torchaudio_refuses_to_lose_double_precision_silently():
    case = random_case(1, 1, 3, 2, 3, 0)
    with pytest.raises(OptionError, match="float32 only"):
        full_sum_loss(*case, "rnnt", backend="torchaudio")


WRONG = {
    "half": lambda nll: nll / 2,
    "nan": lambda nll: nll * float("nan"),
    "no gradient": lambda nll: nll.detach(),
    "gradient twice": lambda nll: 2 * nll - nll.detach(),
    "shifted by its value": lambda nll: nll + 1e-3 * nll.detach(),
}


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
@pytest.mark.parametrize("error", WRONG)
def test_a_loss_with_wrong_numbers_fails_its_probe(error, name):
    def wrong(*arguments):
        return WRONG[error](dense_loss(*arguments))

    assert probe_loss(wrong, get_topology(name), "cpu") is not None


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_a_loss_of_another_topology_fails_its_probe(name):
    topology = get_topology(name)
    for other in map(get_topology, TOPOLOGY_NAMES):
        # on [B, T, S, V] scores, ctc and label_loop are the same
        if {name, other.name} <= {"ctc", "label_loop"}:
            continue

        def mistaken(scores, labels, frames, counts, _, blank):
            return dense_loss(scores, labels, frames, counts, other, blank)

        verdict = probe_loss(mistaken, topology, "cpu")
        assert (verdict is None) == (other == topology)


def test_a_loss_that_ignores_the_blank_index_fails_its_probe():
    def blank_first(*arguments):
        return dense_loss(*arguments[:-1], 0)

    verdict = probe_loss(blank_first, get_topology("rna"), "cpu")
    assert "from the reference" in verdict


def test_a_failing_backend_is_named_with_what_to_use_instead(monkeypatch):
    broken = BACKENDS["torchaudio"]._replace(loss=lambda *_: torch.zeros(1))
    monkeypatch.setitem(BACKENDS, "torchaudio", broken)
    case = random_case(1, 1, 3, 2, 3, 0)
    case = case._replace(scores_BTSV=case.scores_BTSV.float())
    with pytest.raises(ToolMissingError) as caught:
        full_sum_loss(*case, "rnnt", backend="torchaudio")
    message = caught.value.message()
    assert "torchaudio cannot be used for rnnt on cpu: computes 0.000" in message
    assert "next: use backend torch" in message


def test_a_backend_is_probed_once_and_not_before_it_is_chosen(monkeypatch):
    calls = []

    def counted(*arguments):
        calls.append(arguments[4].name)
        return dense_loss(*arguments)

    own = BACKENDS["torch"]._replace(loss=counted)
    monkeypatch.setitem(BACKENDS, "torch", own)
    scores = torch.zeros(1, 3, 2, 3)
    for _ in range(3):
        assert choose_backend("torch", get_topology("rna"), scores) is own
    assert calls == ["rna"] * 2  # two questions
    choose_backend("reference", get_topology("rnnt"), scores)
    assert "rnnt" not in calls


def test_absent_unknown_and_unfitting_backends_are_user_errors():
    scores = torch.zeros(1, 3, 2, 3)
    rna, rnnt = get_topology("rna"), get_topology("rnnt")
    with pytest.raises(OptionError, match="did you mean torchaudio"):
        choose_backend("torch_audio", rna, scores)
    with pytest.raises(OptionError, match="torchaudio does not know topology rna"):
        choose_backend("torchaudio", rna, scores)
    with pytest.raises(OptionError, match="warp_rnnt does not know device cpu"):
        choose_backend("warp_rnnt", rnnt, scores)
    with pytest.raises(OptionError, match="fused takes a joint, not a tensor"):
        choose_backend("fused", rna, scores)
    with pytest.raises(OptionError, match="with full_sum"):
        choose_backend("auto", rna, [1.0])


def test_auto_is_torch_for_scores_on_the_cpu():
    for name in TOPOLOGY_NAMES:
        scores = torch.zeros(1, 3, 2, 3)
        assert choose_backend("auto", get_topology(name), scores).name == "torch"


def fake_warp_rnnt(factor):
    """A module of that name with its signature, on our loss."""
    module = types.ModuleType("warp_rnnt")

    def rnnt_loss(
        log_probs,
        labels,
        frames_lengths,
        labels_lengths,
        average_frames=False,
        reduction=None,
        blank=0,
        gather=False,
        fastemit_lambda=0.0,
        compact=False,
    ):
        assert (average_frames, compact, reduction) == (False, False, "none")
        for integers in (labels, frames_lengths, labels_lengths):
            assert integers.dtype == torch.int32 and integers.is_contiguous()
        lengths = frames_lengths.long(), labels_lengths.long()
        assert log_probs.shape[1:3] == (lengths[0].max(), lengths[1].max() + 1)
        topology = get_topology("rnnt")
        return factor * dense_loss(log_probs, labels.long(), *lengths, topology, blank)

    module.rnnt_loss = rnnt_loss
    module.__spec__ = types.SimpleNamespace(name="warp_rnnt")
    return module


@pytest.mark.parametrize("factor, chosen", [(1.0, "warp_rnnt"), (1.01, "torch")])
def test_auto_takes_warp_rnnt_where_it_is_right(monkeypatch, caplog, factor, chosen):
    """The rule for GPUs, tried on a CPU with a module that has the same signature."""
    monkeypatch.setitem(sys.modules, "warp_rnnt", fake_warp_rnnt(factor))
    on_cpu = BACKENDS["warp_rnnt"]._replace(devices=("cpu",))
    monkeypatch.setitem(BACKENDS, "warp_rnnt", on_cpu)
    case = random_case(23, 4, 6, 4, 5, 1)
    scores = case.scores_BTSV.float()
    assert choose_backend("auto", get_topology("rnnt"), scores).name == chosen
    assert choose_backend("auto", get_topology("rna"), scores).name == "torch"
    assert ("warp_rnnt is not used" in caplog.text) == (chosen == "torch")
    single = case._replace(scores_BTSV=scores)
    nll = full_sum_loss(*single, "rnnt", 1)
    expected = full_sum_loss(*case, "rnnt", 1)
    torch.testing.assert_close(nll.double(), expected, rtol=1e-5, atol=1e-5)


def test_an_absent_warp_rnnt_is_said_to_be_absent(monkeypatch):
    on_cpu = BACKENDS["warp_rnnt"]._replace(devices=("cpu",), module="no_such_module")
    monkeypatch.setitem(BACKENDS, "warp_rnnt", on_cpu)
    with pytest.raises(ToolMissingError, match="it is not installed"):
        choose_backend("warp_rnnt", get_topology("rnnt"), torch.zeros(1, 3, 2, 3))


class FusedJointLoss:
    """A joint with the signature of the fused one, that composes dense scores."""

    device = torch.device("cpu")
    emission_sign = 1.0

    def __init__(
        self, am, lm, label_weight, label_bias, emission_weight, emission_bias
    ):
        readout = (am.unsqueeze(2) + lm.unsqueeze(1)).unflatten(3, (-1, 2)).amax(4)
        emission = F.linear(readout, emission_weight, emission_bias)
        emission = emission * self.emission_sign
        labels = F.linear(readout, label_weight, label_bias).log_softmax(3)
        parts = F.logsigmoid(-emission), F.logsigmoid(emission) + labels
        self.scores = torch.cat(parts, dim=3)

    def full_sum(self, *arguments, infeasible="inf"):
        return full_sum_loss(self.scores, *arguments, infeasible=infeasible)


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
@pytest.mark.parametrize("sign, right", [(1.0, True), (-1.0, False)])
def test_the_fused_joint_is_probed_like_the_others(monkeypatch, name, sign, right):
    here = BACKENDS["fused"]._replace(module=__name__)
    monkeypatch.setitem(BACKENDS, "fused", here)
    monkeypatch.setattr(FusedJointLoss, "emission_sign", sign)
    joint = FusedJointLoss(*(torch.randn(1, n, 4) for n in (3, 2)), *parameters())
    lengths = torch.tensor([3]), torch.tensor([1])
    arguments = joint, torch.tensor([[1]]), *lengths, name
    if right:
        assert torch.isfinite(full_sum_loss(*arguments)).all()
        return
    for backend in ("auto", "fused"):
        with pytest.raises(ToolMissingError, match="use backend torch with the dense"):
            full_sum_loss(*arguments, backend=backend)


def parameters():
    """Weights and biases of two labels and of the emission, for a readout of 4."""
    return torch.randn(2, 2), torch.randn(2), torch.randn(1, 2), torch.randn(1)
