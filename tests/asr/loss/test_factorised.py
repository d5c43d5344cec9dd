"""Losses straight from logits against enumerated alignments and the definitions."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from espnet_ext.asr.loss import (
    GradientOptions,
    LabelSmoothing,
    factorised_loss,
    softmax_loss,
)
from espnet_ext.asr.loss.node_gradient import SMOOTHING_TYPES
from espnet_ext.errors import OptionError
from tests.asr.loss.paths import TOPOLOGY_NAMES, enumerate_all
from tests.asr.loss.smoothing_by_definition import smoothed_by_definition
from tests.shared import shared_file

K = 5  # labels; blank has index 5, after them
LENGTHS = torch.tensor([4, 3, 2]), torch.tensor([2, 0, 2])
# the third sequence has equal neighbours, so that it is impossible where these need a
# blank between them
LABELS = torch.tensor([[3, 1], [0, 0], [2, 2]])
ALL_OPTIONS = [
    GradientOptions(smoothing, fastemit, label_scale)
    for smoothing, fastemit, label_scale in itertools.product(
        [None, *(LabelSmoothing(kind, 0.1) for kind in SMOOTHING_TYPES)],
        [0.0, 0.3],
        [1.0, 0.6],
    )
]


def random_inputs(classes=K, positions=3):
    generator = torch.Generator().manual_seed(4)
    shape = (3, 4, positions) if positions else (3, 4)
    logits = torch.randn(*shape, classes, dtype=torch.float64, generator=generator)
    emission = torch.randn(*shape, dtype=torch.float64, generator=generator)
    return logits.requires_grad_(), emission.requires_grad_()


def composed(logits, emission, label_scale=1.0):
    """[labels, blank] scores by the definition, differentiable."""
    labels = label_scale * logits.log_softmax(-1)
    labels = F.logsigmoid(emission).unsqueeze(-1) + labels
    return torch.cat([labels, F.logsigmoid(-emission).unsqueeze(-1)], dim=-1)


def enumerated(scores_BTSV, topology, blank):
    """Costs, and their gradient at the scores, of all sequences."""
    results = [
        enumerate_all(
            scores_BTSV[b], topology, int(LENGTHS[0][b]), labels.tolist(), blank
        )
        for b, labels in enumerate(n[:c] for n, c in zip(LABELS, LENGTHS[1]))
    ]
    gradient = np.stack([result.gradient_TSV for result in results])
    return [result.nll for result in results], gradient


def with_fastemit(gradient_BTSV, fastemit):
    """Multiplies the entries of next labels; these differ from the current ones."""
    for b, count in enumerate(LENGTHS[1].tolist()):
        for u in range(count):
            gradient_BTSV[b, :, u, LABELS[b, u]] *= 1.0 + fastemit
    return gradient_BTSV


def options_that_apply(topology):
    """FastEmit cannot be told from repetition where a label is its own neighbour."""
    for options in ALL_OPTIONS:
        if not (options.fastemit and topology == "label_loop_free"):
            yield options


@pytest.mark.parametrize("topology", TOPOLOGY_NAMES)
def test_value_and_gradients_equal_enumeration_with_all_options(topology):
    for options in options_that_apply(topology):
        logits, emission = random_inputs()
        nll = factorised_loss(
            logits, emission, LABELS, *LENGTHS, topology, options=options
        )
        nll.sum().backward()

        z, e = (x.detach().clone().requires_grad_() for x in (logits, emission))
        scores = composed(z, e, options.label_scale)
        expected, gradient = enumerated(scores, topology, K)
        np.testing.assert_allclose(nll.detach(), expected, rtol=1e-10)
        gradient = with_fastemit(gradient, options.fastemit)
        smoothed = smoothed_by_definition(gradient, options.smoothing)
        scores.backward(torch.tensor(smoothed))
        torch.testing.assert_close(logits.grad, z.grad, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(emission.grad, e.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("topology", TOPOLOGY_NAMES)
def test_one_softmax_equals_enumeration_with_all_options(topology):
    for options in options_that_apply(topology):
        logits, _ = random_inputs(classes=K + 1)
        nll = softmax_loss(logits, LABELS, *LENGTHS, topology, K, options=options)
        nll.sum().backward()

        z = logits.detach().clone().requires_grad_()
        log_probs = z.log_softmax(-1)
        weight = torch.full((K + 1,), options.label_scale, dtype=torch.float64)
        weight[K] = 1.0
        expected, gradient = enumerated(log_probs * weight, topology, K)
        np.testing.assert_allclose(nll.detach(), expected, rtol=1e-10)
        gradient = with_fastemit(gradient, options.fastemit)
        smoothed = smoothed_by_definition(gradient, options.smoothing)
        log_probs.backward(torch.tensor(smoothed) * weight)
        torch.testing.assert_close(logits.grad, z.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("blank", range(3))
def test_blank_may_stand_anywhere_in_one_softmax(blank):
    logits, _ = random_inputs(classes=K + 1)
    order = [k for k in range(K + 1) if k != K]
    order.insert(blank, K)  # where each of our columns comes from
    labels = torch.tensor([order.index(k) for k in range(K)])[LABELS]
    options = GradientOptions(LabelSmoothing("lsx", 0.1), fastemit=0.1)
    expected = softmax_loss(logits, LABELS, *LENGTHS, "rna", K, options=options)
    (expected_grad,) = torch.autograd.grad(expected.sum(), logits)
    moved = logits.detach()[..., order].requires_grad_()
    nll = softmax_loss(moved, labels, *LENGTHS, "rna", blank, options=options)
    (grad,) = torch.autograd.grad(nll.sum(), moved)
    torch.testing.assert_close(nll, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(grad, expected_grad[..., order], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("blank", [0, 2, K])
def test_labels_may_be_ids_of_the_whole_vocabulary(blank):
    logits, emission = random_inputs()
    expected = factorised_loss(logits, emission, LABELS, *LENGTHS)
    ids = LABELS + (LABELS >= blank).long()
    nll = factorised_loss(logits, emission, ids, *LENGTHS, blank=blank)
    assert torch.equal(nll, expected)
    ids[0, 0] = blank
    with pytest.raises(OptionError, match="label id -1"):
        factorised_loss(logits, emission, ids, *LENGTHS, blank=blank)


@pytest.mark.parametrize("options", ALL_OPTIONS)
def test_ctc_logits_without_positions_equal_the_same_at_all_positions(options):
    """Smoothing comes before the sum over positions, as it has no signs to cancel."""
    logits, emission = random_inputs(positions=0)
    losses = []
    for expand in (False, True):
        z, e = (x.detach().clone().requires_grad_() for x in (logits, emission))
        z_used = z.unsqueeze(2).expand(-1, -1, 3, -1) if expand else z
        e_used = e.unsqueeze(2).expand(-1, -1, 3) if expand else e
        nll = factorised_loss(z_used, e_used, LABELS, *LENGTHS, "ctc", options=options)
        nll.sum().backward()
        losses.append((nll, z.grad, e.grad))
    for shared, expanded in zip(*losses):
        torch.testing.assert_close(shared, expanded, rtol=1e-10, atol=1e-12)


def test_weighted_sums_of_a_batch_have_weighted_gradients():
    logits, emission = random_inputs()
    options = GradientOptions(LabelSmoothing("lsxx", 0.1))
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    nll = factorised_loss(logits, emission, LABELS, *LENGTHS, options=options)
    (weighted,) = torch.autograd.grad((nll * weights).sum(), logits, retain_graph=True)
    (plain,) = torch.autograd.grad(nll.sum(), logits)
    torch.testing.assert_close(weighted, plain * weights[:, None, None, None])


@pytest.mark.parametrize("label_scale", [1.0, 0.4])
@pytest.mark.parametrize("topology", ["rna", "rnnt", "label_loop"])
def test_gradient_equals_finite_differences(topology, label_scale):
    options = GradientOptions(label_scale=label_scale)
    lens = torch.tensor([4, 3, 3]), LENGTHS[1]
    assert torch.autograd.gradcheck(
        lambda z, e: factorised_loss(z, e, LABELS, *lens, topology, options=options),
        random_inputs(),
    )
    assert torch.autograd.gradcheck(
        lambda z: softmax_loss(z, LABELS, *lens, topology, 5, options=options),
        random_inputs(classes=K + 1)[:1],
    )


def test_neutral_options_equal_absent_ones_bit_for_bit():
    results = []
    for options in (
        None,
        GradientOptions(),
        *(GradientOptions(LabelSmoothing(kind, 0.0)) for kind in SMOOTHING_TYPES),
    ):
        logits, emission = (x.detach().float() for x in random_inputs())
        logits.requires_grad_()
        emission.requires_grad_()
        nll = factorised_loss(logits, emission, LABELS, *LENGTHS, options=options)
        nll.sum().backward()
        results.append((nll, logits.grad, emission.grad))
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0]))


def test_smoothing_and_fastemit_leave_the_value_alone_bit_for_bit():
    plain = factorised_loss(*random_inputs(), LABELS, *LENGTHS)
    for options in ALL_OPTIONS:
        if options.label_scale == 1.0:
            nll = factorised_loss(*random_inputs(), LABELS, *LENGTHS, options=options)
            assert torch.equal(nll, plain)


def test_impossible_sequences_cost_inf_and_have_no_gradient():
    logits, emission = random_inputs()
    lens = torch.tensor([4, 3, 1]), LENGTHS[1]
    options = GradientOptions(LabelSmoothing("ls", 0.1))
    nll = factorised_loss(logits, emission, LABELS, *lens, options=options)
    assert torch.isinf(nll).tolist() == [False, False, True]
    (nll**2).sum().backward()  # hands an infinite gradient to the infinite cost
    assert (logits.grad[2] == 0).all() and (emission.grad[2] == 0).all()
    assert torch.isfinite(logits.grad).all() and (logits.grad[0] != 0).any()


def test_padded_nodes_have_no_gradient_and_no_influence():
    logits, emission = random_inputs()
    options = GradientOptions(LabelSmoothing("lsx", 0.2), fastemit=0.1)
    nll = factorised_loss(logits, emission, LABELS, *LENGTHS, options=options)
    nll.sum().backward()
    assert (logits.grad[1, 3:] == 0).all() and (logits.grad[1, :, 1:] == 0).all()
    assert (emission.grad[2, 2:] == 0).all()
    changed = logits.detach().clone()
    changed[1, 3:] = changed[1, :, 1:] = 7.0
    again = factorised_loss(changed, emission.detach(), LABELS, *LENGTHS)
    assert torch.equal(again, nll)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_give_a_single_precision_loss(dtype):
    logits, emission = (x.detach().to(dtype).requires_grad_() for x in random_inputs())
    nll = factorised_loss(logits, emission, LABELS, *LENGTHS)
    exact = factorised_loss(logits.double(), emission.double(), LABELS, *LENGTHS)
    assert nll.dtype == torch.float32
    torch.testing.assert_close(nll.double(), exact, rtol=1e-6, atol=0)
    grad, exact_grad = (
        torch.autograd.grad(x.sum(), logits)[0].double() for x in (nll, exact)
    )
    torch.testing.assert_close(grad, exact_grad, rtol=1e-2, atol=1e-6)


def test_an_empty_batch_and_no_labels_at_all_are_fine():
    empty = torch.zeros(0, dtype=torch.long)
    nll = factorised_loss(
        torch.zeros(0, 3, 2, K), torch.zeros(0, 3, 2), empty.view(0, 1), empty, empty
    )
    assert nll.shape == (0,)
    emission = torch.zeros(1, 3, 1)
    lens = torch.tensor([3]), torch.tensor([0])
    nll = factorised_loss(
        torch.zeros(1, 3, 1, K), emission, torch.zeros(1, 0, dtype=torch.long), *lens
    )
    assert float(nll) == pytest.approx(3 * np.log(2))


def test_wrong_shapes_and_labels_are_named():
    logits, emission = random_inputs()
    with pytest.raises(ValueError, match="emission of shape"):
        factorised_loss(logits, emission[..., :1], LABELS, *LENGTHS)
    with pytest.raises(OptionError, match="label id 5 is outside"):
        factorised_loss(logits, emission, LABELS + 2, *LENGTHS)


def test_reference_vectors_of_the_emission_factorisation():
    arrays = np.load(shared_file("reference/vectors/factorised_lsxx.npz"))
    case = [
        torch.tensor(arrays[name]).long()
        for name in ("labels", "input_lens", "label_lens")
    ]
    for suffix, smoothing in (
        ("", None),
        ("_lsxx", LabelSmoothing("lsxx", float(arrays["smoothing"]))),
    ):
        logits = torch.tensor(arrays["label_logits"]).double().requires_grad_()
        emission = torch.tensor(arrays["emit_logit"]).double().requires_grad_()
        options = GradientOptions(smoothing)
        nll = factorised_loss(logits, emission, *case, options=options)
        nll.sum().backward()
        expected = arrays[f"grad_label_logits{suffix}"]
        np.testing.assert_allclose(nll.detach(), arrays["loss"], rtol=1e-9)
        np.testing.assert_allclose(logits.grad, expected, atol=1e-9)
        np.testing.assert_allclose(emission.grad, arrays["grad_emit_logit"], atol=1e-9)
