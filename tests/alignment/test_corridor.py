"""A corridor gives path and sum of the whole lattice, or says that it may not."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_ext.alignment.aligner import align_batch
from espnet_ext.alignment.corridor import Batch, align_in_corridor
from espnet_ext.alignment.joint_lattice import JointLattice
from espnet_ext.asr.loss import FusedJointLoss, full_sum_loss, viterbi
from espnet_ext.asr.loss.topology import get_topology
from tests.asr.loss.joints import make_case, written_out
from tests.asr.loss.paths import enumerate_all

TOPOLOGIES = ("rna", "rnnt")


def drawn(seed, frames, labels, batch=4, sharpness=1.0, emission="sigmoid"):
    """A random joint whose logits are ``sharpness`` times as large."""
    generator = torch.Generator().manual_seed(seed)
    frame_lens = torch.randint(0, frames + 1, (batch,), generator=generator)
    label_lens = torch.randint(0, labels + 1, (batch,), generator=generator)
    frame_lens[0], label_lens[0] = frames, labels
    case = make_case(
        *(frame_lens.tolist(), label_lens.tolist()),
        blank=0,
        emission=emission,
        seed=seed,
    )
    inputs = [x.detach() for x in case.inputs]
    scaled = [x * sharpness if i > 1 else x for i, x in enumerate(inputs)]
    return case._replace(inputs=scaled)


def lattice_of(case, topology, emission="sigmoid", **options):
    fused = FusedJointLoss(*case.inputs, emission=emission, tile_nodes=5)
    return JointLattice(fused, *case.batch, get_topology(topology), **options)


def in_corridor(lattice, threshold, block, count=None):
    """The corridor alone; ``count`` gets the nodes that were computed."""
    scores = lattice.fused.node_scorer(*batch_of(lattice), lattice.topology)

    def counted(frame_M, position_M):
        if count is not None:
            count.extend(zip(frame_M.tolist(), position_M.tolist()))
        return scores(frame_M, position_M)

    frames = lattice.fused.inputs[0].size(1)
    batch = Batch(*batch_of(lattice), lattice.topology, frames)
    threshold_B = torch.full((len(lattice.labels_BL),), threshold)
    return align_in_corridor(counted, batch, 0, threshold_B, block)


def batch_of(lattice):
    return lattice.labels_BL, lattice.frame_lens_B, lattice.label_lens_B


def whole(case, topology, **kwargs):
    """Best paths and sums by the dynamic program on the distribution written out."""
    scores = written_out(case.inputs, 0, **kwargs)
    return viterbi(scores, *case.batch, topology), -full_sum_loss(
        scores, *case.batch, topology
    )


@pytest.mark.parametrize("topology", TOPOLOGIES)
@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    frames=st.integers(0, 6),
    labels=st.integers(0, 4),
    sharpness=st.sampled_from([0.0, 0.3, 1.0, 3.0, 10.0]),
    threshold=st.sampled_from([0.1, 1.0, 5.0, 20.0, 40.0]),
    block=st.integers(1, 4),
)
def test_what_a_corridor_calls_proven_is_what_enumeration_finds(
    topology, seed, frames, labels, sharpness, threshold, block
):
    case = drawn(seed, frames, labels, 2, sharpness)
    found = in_corridor(lattice_of(case, topology), threshold, block)
    scores = written_out(case.inputs, 0)
    lengths = zip(case.frame_lens_B.tolist(), case.label_lens_B.tolist())
    for b, (length, count) in enumerate(lengths):
        if not found.proven_B[b]:
            continue
        own = case.labels_BL[b, :count].tolist()
        expected = enumerate_all(scores[b], topology, length, own, 0)
        score = float(found.path.score_B[b])
        assert score == pytest.approx(expected.best_score, abs=1e-10)
        assert float(found.total_B[b]) == pytest.approx(-expected.nll, abs=1e-7)
        symbols = [s for s in found.path.symbols_BN[b].tolist() if s != -1]
        if sharpness > 0.0 or not expected.count:
            assert symbols == expected.best
        else:  # all alignments are equally good, but for the rounding of their sums
            assert [s for s in symbols if s] == own


@pytest.mark.parametrize("emission", ["sigmoid", "softmax"])
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_results_are_exact_whether_the_corridor_is_proven_or_not(topology, emission):
    proven = unproven = 0
    for seed in range(12):
        sharpness = (0.2, 1.0, 3.0, 8.0)[seed % 4]
        case = drawn(seed, 24, 9, sharpness=sharpness, emission=emission)
        threshold = (0.5, 4.0, 25.0)[seed % 3]
        lattice = lattice_of(
            case, topology, emission, least_work=0, threshold=threshold
        )
        alone = in_corridor(lattice, threshold, 8)
        proven += int(alone.proven_B.sum())
        unproven += int((~alone.proven_B).sum())
        expected, total_B = whole(case, topology)
        found, sum_B = lattice.path_and_sum(0, "exact")
        assert torch.equal(found.symbols_BN, expected.symbols_BN)
        torch.testing.assert_close(found.score_B, expected.score_B, rtol=1e-9, atol=0)
        torch.testing.assert_close(sum_B, total_B, rtol=1e-9, atol=1e-7)
    assert proven > 8 and unproven > 8


@pytest.mark.slow
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_thousands_of_corridors_are_exact(topology):
    counts = {True: 0, False: 0}
    for seed in range(250):
        generator = torch.Generator().manual_seed(seed)
        draw = lambda low, high: int(  # noqa: E731
            torch.randint(low, high, (), generator=generator)
        )
        case = drawn(seed, draw(1, 50), draw(0, 16), 8, 0.1 * 1.02 ** draw(0, 250))
        threshold = 0.5 * draw(1, 80)
        lattice = lattice_of(case, topology, least_work=0, threshold=threshold)
        for flag in in_corridor(lattice, threshold, draw(1, 12)).proven_B.tolist():
            counts[flag] += 1
        expected, total_B = whole(case, topology)
        found, sum_B = lattice.path_and_sum(0, "exact")
        assert torch.equal(found.symbols_BN, expected.symbols_BN), seed
        torch.testing.assert_close(found.score_B, expected.score_B, rtol=1e-9, atol=0)
        torch.testing.assert_close(sum_B, total_B, rtol=1e-9, atol=1e-7)
    assert min(counts.values()) > 300


def gated(emission_T, last_position, labels):
    """A lattice with one label type, whose emission logits are those of the frame.

    Without labels to choose from, an arc costs softplus of minus or plus the logit. In
    the last position nothing is emitted any more.
    """
    am = torch.tensor(emission_T, dtype=torch.float64).view(1, -1, 1)
    lm = torch.zeros(1, labels + 1, 1, dtype=torch.float64)
    lm[0, labels] = last_position
    weight, bias = torch.zeros(1, 1).double(), torch.zeros(1).double()
    gate = torch.ones(1, 1).double(), torch.zeros(1).double()
    fused = FusedJointLoss(am, lm, weight, bias, *gate, activation="none")
    text = torch.ones(1, labels, dtype=torch.long)
    lengths = torch.tensor([am.size(1)]), torch.tensor([labels])
    rna = get_topology("rna")
    return JointLattice(fused, text, *lengths, rna, threshold=5.0, least_work=0)


def test_a_path_that_was_left_too_early_is_not_missed():
    """To emit costs 20 nats at first, which waiting does not; but later it costs 60."""
    emission_T = [-20.0, -20.0, -20.0, -19.0, *([-20.0] * 4), *([-60.0] * 8)]
    lattice = gated(emission_T, 0.0, 1)
    alone = in_corridor(lattice, 5.0, 8)
    assert not alone.proven_B.any()
    path, _ = lattice.path_and_sum(0, "exact")
    assert path.symbols_BN.tolist() == [[0, 0, 0, 1, *([0] * 12)]]
    # 19 nats to emit, and softplus(0) for each blank in the last position
    assert float(path.score_B) == pytest.approx(-19.0, abs=1e-6)


def test_a_path_is_not_proven_by_a_large_sum_of_others():
    """Twelve labels anywhere in forty frames: their ways together have a probability of
    0.1, and each exp(-24). What was left, exp(-20), hardly changes the sum, but might
    have been the best path.
    """
    coin = -0.85  # the logit of 0.3
    lattice = gated([*([-40.0] * 7), -20.0, *([coin] * 40)], 0.0, 12)
    assert not in_corridor(lattice, 19.0, 8).proven_B.any()
    path, total_B = lattice.path_and_sum(0, "exact")
    assert math.exp(-20.0) < 1e-7 * float(total_B.exp())
    assert float(path.score_B) < -24.0
    # without these labels in the first frames nothing worth mentioning is left
    assert in_corridor(lattice, 21.0, 8).proven_B.all()


def test_a_sum_is_not_proven_by_a_sure_path():
    """The label comes in frame 3 for sure, but for exp(-7) in each frame before."""
    lattice = gated([-7.0, -7.0, -7.0, 30.0, -7.0, -7.0], -60.0, 1)
    assert not in_corridor(lattice, 5.0, 2).proven_B.any()
    path, total_B = lattice.path_and_sum(0, "exact")
    assert path.symbols_BN.tolist() == [[0, 0, 0, 1, 0, 0]]
    assert float(path.score_B) == pytest.approx(-3.0 * math.log1p(math.exp(-7.0)))
    assert float(total_B) == pytest.approx(0.0, abs=1e-9)


def test_positions_far_from_the_best_are_not_computed():
    """A sure model costs a part of the lattice, not all of it."""
    emission_T = [20.0 if t % 5 == 2 else -20.0 for t in range(100)]
    lattice, nodes = gated(emission_T, -60.0, 20), []
    found = in_corridor(lattice, 25.0, 8, nodes)
    assert found.proven_B.all()
    assert (found.path.symbols_BN[0] == 1).nonzero().flatten().tolist() == list(
        range(2, 100, 5)
    )
    in_band = 100 * 21 - 20 * 20
    assert 100 < len(set(nodes)) < in_band / 2


def test_a_model_that_is_unsure_is_given_up_early():
    case = drawn(5, 60, 12, 1, 0.1)
    nodes = []
    found = in_corridor(lattice_of(case, "rna"), 2.0, 4, nodes)
    assert not found.proven_B.any() and len(nodes) < 100
    # the guess of what a path costs says whether a wider corridor is worth it
    expected, _ = whole(case, "rna")
    assert float(found.cost_B) == pytest.approx(-float(expected.score_B), rel=0.6)


@pytest.mark.parametrize("method", ["exact", "sum_alpha", "posterior"])
def test_alignments_of_a_joint_are_those_of_its_arcs(method):
    case = drawn(9, 30, 8, sharpness=3.0)
    lattice = lattice_of(case, "rna", least_work=0)
    batch = *case.batch[:1], *case.batch[1:], "rna", 0, method
    ours, expected = (
        align_batch(scores, *batch, soft=True) for scores in (lattice, lattice.arcs())
    )
    assert len(ours.aligned) == 4 and ours.aligned[0] is not None
    for left, right in zip(ours.aligned, expected.aligned):
        assert (left is None) == (right is None)
        if left is not None:
            assert left.symbols.tolist() == right.symbols.tolist()
            assert left.score == pytest.approx(right.score, rel=1e-9)
            assert left.full_sum == pytest.approx(right.full_sum, rel=1e-9)
    plain = align_batch(lattice, *batch).aligned[0]
    assert plain.symbols.tolist() == expected.aligned[0].symbols.tolist()
    assert plain.full_sum == pytest.approx(expected.aligned[0].full_sum, abs=1e-7)


def test_equal_paths_are_told_apart_as_in_the_whole_lattice():
    case = drawn(3, 20, 6)
    flat = [torch.zeros_like(x) for x in case.inputs]
    lattice = lattice_of(case._replace(inputs=flat), "rna", least_work=0)
    path, _ = lattice.path_and_sum(0, "exact")
    plain = dataclasses.replace(lattice, least_work=1 << 60)
    expected, _ = plain.path_and_sum(0, "exact")
    assert torch.equal(path.symbols_BN, expected.symbols_BN)
