"""The full-sum loss against enumeration, stored vectors and numeric gradients."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_ext.asr.loss import batch_cost, full_sum_loss, get_topology
from espnet_ext.errors import OptionError
from tests.asr.loss.paths import TOPOLOGY_NAMES, enumerate_all, random_case
from tests.shared import shared_file

VECTORS = {
    "rna_basic": "rna",
    "rna_blank_first": "rna",
    "rna_s_equals_t": "rna",
    "rna_s_zero": "rna",
    "rna_t_one": "rna",
    "rna_padded_batch": "rna",
    "rna_repeated_labels": "rna",
    "rna_unnormalised_scores": "rna",
    "rna_infeasible": "rna",
    "rna_large_dp": "rna",
    "rnnt_basic": "rnnt",
    "rnnt_blank_first": "rnnt",
    "rnnt_edge": "rnnt",
    "rnnt_padded_batch": "rnnt",
    "topo_rep_upstream": "label_loop_original",
    "topo_rep_loop": "label_loop_free",
    "topo_rep_ctc_strict": "label_loop",
}
BACKENDS = ("torch", "reference")


def vector(name):
    """The arrays of a file, and the case they hold in float64."""
    arrays = dict(np.load(shared_file(f"reference/vectors/{name}.npz")))
    scores = torch.tensor(arrays.get("log_probs", arrays.get("logits"))).double()
    names = "labels", "input_lens", "label_lens"
    rest = [torch.tensor(arrays[key]).long() for key in names]
    return arrays, (scores.requires_grad_(), *rest)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 3),
    frames=st.integers(1, 6),
    positions=st.integers(1, 5),
    vocabulary=st.integers(2, 5),
    data=st.data(),
)
def test_loss_and_gradient_equal_the_sum_over_all_paths(
    name, backend, seed, batch, frames, positions, vocabulary, data
):
    blank = data.draw(st.integers(0, vocabulary - 1))
    case = random_case(seed, batch, frames, positions, vocabulary, blank)
    case.scores_BTSV.requires_grad_()
    nll = full_sum_loss(*case, name, blank, backend=backend)
    weights = torch.arange(1, batch + 1)
    # an infeasible sequence adds inf to this sum and nothing to its gradient
    (nll * weights).sum().backward()
    for b, (scores, length, labels) in enumerate(case.sequences()):
        expected = enumerate_all(scores, name, length, labels, blank)
        assert nll[b].item() == pytest.approx(expected.nll, rel=1e-10, abs=1e-10)
        ours = case.scores_BTSV.grad[b].numpy()
        np.testing.assert_allclose(ours, (b + 1) * expected.gradient_TSV, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", VECTORS)
def test_loss_and_gradient_equal_the_reference_vectors(name, backend):
    if backend == "reference" and name == "rna_large_dp":
        backend = "auto"  # a loop over thousands of nodes
    arrays, case = vector(name)
    blank = int(arrays["blank"])
    nll = full_sum_loss(*case, VECTORS[name], blank, backend=backend)
    nll.sum().backward()
    np.testing.assert_allclose(nll.detach(), arrays["loss"], rtol=1e-10)
    np.testing.assert_allclose(case[0].grad, arrays["grad_log_probs"], atol=1e-10)


def test_every_transducer_and_ctc_vector_is_compared():
    """So that a new file cannot be overlooked."""
    folder = shared_file("reference/vectors")
    other = {"factorised_lsxx", "focal_ce", "ctc_blank_last"}
    assert {path.stem for path in folder.glob("*.npz")} == set(VECTORS) | other


@pytest.mark.parametrize("backend", BACKENDS)
def test_ctc_equals_its_reference_vector_and_the_gradient_at_the_logits(backend):
    arrays, (logits, *rest) = vector("ctc_blank_last")
    log_probs = logits.log_softmax(-1)
    log_probs.retain_grad()
    nll = full_sum_loss(log_probs, *rest, "ctc", int(arrays["blank"]), backend=backend)
    nll[torch.from_numpy(arrays["feasible"])].sum().backward()
    np.testing.assert_allclose(nll.detach(), arrays["loss"], rtol=1e-10)
    np.testing.assert_allclose(log_probs.grad, arrays["grad_log_probs"], atol=1e-10)
    np.testing.assert_allclose(logits.grad, arrays["grad_logits"], atol=1e-10)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 4),
    frames=st.integers(1, 12),
    positions=st.integers(1, 6),
    vocabulary=st.integers(2, 5),
    data=st.data(),
)
def test_ctc_equals_torch_ctc_loss(seed, batch, frames, positions, vocabulary, data):
    blank = data.draw(st.integers(0, vocabulary - 1))
    case = random_case(seed, batch, frames, positions, vocabulary, blank)
    # torch's gradient of a sequence without frames is not defined
    case = case._replace(frame_lens_B=case.frame_lens_B.clamp(min=1))
    ours = case.scores_BTSV[:, :, 0].clone().requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    nll = full_sum_loss(ours.log_softmax(-1), *case[1:], "ctc", blank)
    arguments = theirs.log_softmax(-1).transpose(0, 1), *case[1:]
    expected = F.ctc_loss(*arguments, blank=blank, reduction="none")
    torch.testing.assert_close(nll, expected, rtol=1e-10, atol=1e-10)
    nll.sum().backward()
    # without it torch's gradient of an infeasible sequence is nan
    F.ctc_loss(*arguments, blank=blank, reduction="sum", zero_infinity=True).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_gradient_equals_finite_differences(name):
    case = random_case(3, 2, 4, 3, 4, 1)
    lengths = torch.tensor([4, 3]), torch.tensor([2, 1])
    assert torch.autograd.gradcheck(
        lambda s: full_sum_loss(s, case.labels_BL, *lengths, name, 1),
        case.scores_BTSV.requires_grad_(),
    )


def test_gradient_of_ctc_scores_without_positions_equals_finite_differences():
    case = random_case(4, 2, 5, 3, 4, 0)
    lengths = torch.tensor([5, 4]), torch.tensor([2, 2])
    scores = case.scores_BTSV[:, :, 0].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s: full_sum_loss(s, case.labels_BL, *lengths, "ctc"), scores
    )


def padded(case, frames, labels):
    """The same batch in larger tensors, whatever they hold there."""
    scores = F.pad(case.scores_BTSV, (0, 0, 0, labels, 0, frames), value=3.25)
    for b, (_, length, symbols) in enumerate(case.sequences()):
        scores[b, length:], scores[b, :, len(symbols) + 1 :] = 3.25, float("nan")
    more = F.pad(case.labels_BL, (0, labels))
    places = torch.arange(more.size(1)) >= case.label_lens_B.unsqueeze(1)
    return case._replace(scores_BTSV=scores, labels_BL=more.masked_fill(places, -1))


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_padding_of_any_content_and_size_changes_nothing(name):
    case = random_case(7, 6, 6, 4, 4, 0)
    nll = full_sum_loss(*case, name)
    larger = padded(case, 3, 2)
    larger.scores_BTSV.requires_grad_()
    again = full_sum_loss(*larger, name)
    assert torch.equal(again, nll)
    again.sum().backward()
    grad = larger.scores_BTSV.grad
    for b, (_, length, labels) in enumerate(case.sequences()):
        assert (grad[b, length:] == 0).all() and torch.isfinite(grad[b]).all()
        assert (grad[b, :, len(labels) + 1 :] == 0).all()


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_neither_order_nor_company_in_the_batch_matters(name):
    case = random_case(8, 6, 6, 4, 4, 0)
    nll = full_sum_loss(*case, name)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = full_sum_loss(*(x[order] for x in case), name)
    assert torch.equal(shuffled, nll[order])
    buckets = [full_sum_loss(*(x[a : a + 2] for x in case), name) for a in (0, 2, 4)]
    assert torch.equal(torch.cat(buckets), nll)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_an_empty_batch_has_an_empty_loss_and_gradient(name, backend):
    scores = torch.zeros(0, 3, 2, 4, requires_grad=True)
    empty = torch.zeros(0, dtype=torch.long)
    labels = torch.zeros(0, 1, dtype=torch.long)
    nll = full_sum_loss(scores, labels, empty, empty, name, backend=backend)
    assert nll.shape == (0,)
    nll.sum().backward()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_no_frames_are_certain_for_no_labels_and_impossible_for_any(name, backend):
    scores = torch.zeros(2, 0, 2, 4)
    labels, label_lens = torch.ones(2, 1, dtype=torch.long), torch.tensor([0, 1])
    no_frames = torch.zeros(2, dtype=torch.long)
    nll = full_sum_loss(scores, labels, no_frames, label_lens, name, backend=backend)
    assert nll.tolist() == [0.0, float("inf")]


INFEASIBLE = {"rnnt": ([0, 3], [1, 1]), "ctc": ([2, 3], [2, 2])}


@pytest.mark.parametrize("infeasible, cost", [("inf", float("inf")), ("zero", 0.0)])
@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_an_infeasible_sequence_has_its_cost_and_no_gradient(name, infeasible, cost):
    scores = torch.randn(2, 3, 4, 3).log_softmax(-1).requires_grad_()
    labels = torch.ones(2, 3, dtype=torch.long)
    frames, counts = INFEASIBLE.get(name, ([2, 3], [3, 1]))
    lengths = torch.tensor(frames), torch.tensor(counts)
    nll = full_sum_loss(scores, labels, *lengths, name, infeasible=infeasible)
    assert nll[0] == cost and torch.isfinite(nll[1])
    (nll * 2).sum().backward()
    assert (scores.grad[0] == 0).all() and (scores.grad[1] != 0).any()
    assert torch.isfinite(scores.grad).all()


def test_the_original_gives_infeasible_sequences_no_cost():
    arrays, case = vector("rna_infeasible")
    blank = int(arrays["blank"])
    nll = full_sum_loss(*case, "rna", blank, infeasible="zero")
    np.testing.assert_allclose(nll.detach(), arrays["loss_zero_if_infeasible"])
    feasible = get_topology("rna").feasible(*case[2:])
    assert feasible.tolist() == arrays["feasible"].tolist()


@pytest.mark.parametrize("infeasible, counted", [("inf", 2), ("zero", 3)])
def test_the_mean_of_a_batch_reports_who_has_no_cost_and_stays_finite(
    infeasible, counted
):
    case = random_case(2, 4, 4, 4, 3, 0)
    lengths = torch.tensor([4, 2, 4, 4]), torch.tensor([2, 3, 1, 0])
    case.scores_BTSV[3] = float("nan")
    scores = case.scores_BTSV.requires_grad_()
    nll = full_sum_loss(scores, case.labels_BL, *lengths, infeasible=infeasible)
    feasible = get_topology("rna").feasible(*lengths)
    cost = batch_cost(nll, feasible, ["a", "b", "c", "d"], infeasible=infeasible)
    assert (cost.infeasible, cost.not_finite) == (["b"], ["d"])
    assert cost.total.item() == pytest.approx(nll[[0, 2]].sum().item())
    assert cost.mean.item() == pytest.approx(cost.total.item() / counted)
    cost.mean.backward()
    assert torch.isfinite(scores.grad).all()
    assert (scores.grad[[1, 3]] == 0).all() and (scores.grad[[0, 2]] != 0).any()
    nobody = batch_cost(nll[1:2], feasible[1:2])
    assert nobody.total == 0 and nobody.mean == 0 and nobody.infeasible == ["row 0"]


def test_scores_that_are_not_a_number_give_a_loss_that_is_not_a_number():
    """A broken model must be seen by its trainer, not taken for infeasible."""
    case = random_case(2, 1, 4, 3, 3, 0)
    case.scores_BTSV[0, 1] = float("nan")
    nll = full_sum_loss(*case[:2], torch.tensor([4]), torch.tensor([2]))
    assert torch.isnan(nll).all()


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_single_precision_gradient_is_exact_to_its_rounding(name):
    case = random_case(1, 2, 40, 12, 7, 0)
    rest = case.labels_BL, torch.tensor([40, 33]), torch.tensor([11, 9]), name
    double = case.scores_BTSV.float().double().requires_grad_()
    full_sum_loss(double, *rest).sum().backward()
    single = case.scores_BTSV.float().requires_grad_()
    full_sum_loss(single, *rest).sum().backward()
    error = (single.grad.double() - double.grad).abs().max()
    assert float(error) < 1e-7


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_half_precision_scores_are_summed_in_more(name, kind):
    case = random_case(1, 2, 40, 12, 7, 0)
    rest = case.labels_BL, torch.tensor([40, 33]), torch.tensor([11, 9]), name
    half = case.scores_BTSV.to(kind).requires_grad_()
    double = half.detach().double().requires_grad_()
    nll, expected = full_sum_loss(half, *rest), full_sum_loss(double, *rest)
    assert nll.dtype == torch.float32
    torch.testing.assert_close(nll.double(), expected, rtol=1e-6, atol=0)
    nll.sum().backward()
    expected.sum().backward()
    assert half.grad.dtype == kind
    error = (half.grad.double() - double.grad).abs().max()
    assert float(error) < torch.finfo(kind).eps


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_autocast_does_not_touch_the_recursion(name):
    case = random_case(1, 2, 40, 12, 7, 0)
    case = case._replace(scores_BTSV=case.scores_BTSV.float().requires_grad_())
    plain = full_sum_loss(*case, name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        nll = full_sum_loss(*case, name)
    assert nll.dtype == torch.float32 and torch.equal(nll, plain)


def test_half_precision_ctc_sums_its_positions_in_single_precision():
    """Hundreds of positions share the two labels: in bfloat16 their sum would drift."""
    generator = torch.Generator().manual_seed(1)
    half = torch.randn(1, 400, 3, generator=generator).bfloat16().requires_grad_()
    double = half.detach().double().requires_grad_()
    labels = torch.ones(1, 150, dtype=torch.long)
    labels[0, ::2] = 2
    rest = labels, torch.tensor([400]), torch.tensor([150]), "ctc"
    full_sum_loss(half, *rest).sum().backward()
    full_sum_loss(double, *rest).sum().backward()
    rounding = torch.finfo(torch.bfloat16).eps / 2
    torch.testing.assert_close(
        half.grad.double(), double.grad, rtol=1.01 * rounding, atol=1e-9
    )


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_whatever_is_made_of_an_infinite_cost_its_gradient_is_zero(name):
    scores = torch.randn(2, 3, 4, 3).log_softmax(-1).requires_grad_()
    labels = torch.ones(2, 3, dtype=torch.long)
    frames, counts = INFEASIBLE.get(name, ([2, 3], [3, 1]))
    nll = full_sum_loss(
        scores, labels, torch.tensor(frames), torch.tensor(counts), name
    )
    (nll**2).sum().backward()  # the gradient that arrives at nll[0] is inf
    assert (scores.grad[0] == 0).all() and (scores.grad[1] != 0).any()


class DenseJoint:
    """A joint by duck typing."""

    def __init__(self, scores):
        self.scores = scores

    def full_sum(self, *arguments, infeasible="inf"):
        return full_sum_loss(self.scores, *arguments, infeasible=infeasible)


@pytest.mark.parametrize("infeasible", ["inf", "zero"])
def test_a_joint_is_asked_for_its_own_full_sum(infeasible):
    case = random_case(3, 4, 4, 4, 4, 2)
    joint = DenseJoint(case.scores_BTSV)
    for name in TOPOLOGY_NAMES:
        found = full_sum_loss(joint, *case[1:], name, 2, infeasible=infeasible)
        expected = full_sum_loss(*case, name, 2, infeasible=infeasible)
        assert torch.equal(found, expected)


def test_what_does_not_fit_is_named():
    scores = torch.zeros(1, 3, 2, 4)
    labels, one = torch.ones(1, 1, dtype=torch.long), torch.tensor([1])
    three = torch.tensor([3])
    with pytest.raises(ValueError, match=r"frame lengths \[4\]: expected 0 to 3"):
        full_sum_loss(scores, labels, torch.tensor([4]), one)
    with pytest.raises(ValueError, match=r"label lengths \[2\]: expected 0 to 1"):
        full_sum_loss(scores, labels, three, torch.tensor([2]))
    with pytest.raises(ValueError, match=r"expected \[B, L\] = \(1, 1\)"):
        full_sum_loss(scores, labels.expand(1, 2), three, one)
    with pytest.raises(ValueError, match=r"\[B, T, S, V\] for topology rna"):
        full_sum_loss(scores[:, :, 0], labels, three, one)
    with pytest.raises(OptionError, match="unknown topology 'rnat'"):
        full_sum_loss(scores, labels, three, one, "rnat")
    with pytest.raises(OptionError, match="label id 4 is outside the vocabulary"):
        full_sum_loss(scores, labels + 3, three, one)
    with pytest.raises(OptionError, match="blank id -1 is outside"):
        full_sum_loss(scores, labels, three, one, blank=-1)
    with pytest.raises(OptionError, match="infeasible 'nan'"):
        full_sum_loss(scores, labels, three, one, infeasible="nan")
