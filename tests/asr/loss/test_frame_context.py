"""Contexts of the frames of an alignment, whole and in chunks."""

import pytest
import torch

from espnet_ext.asr.loss.frame_context import (
    cut_alignments,
    frame_context,
    swap_symbols,
)
from espnet_ext.asr.loss.framewise import softmax_framewise_cost
from espnet_ext.errors import OptionError

ALIGNMENT = torch.tensor([[0, 3, 3, 0, 3, 1, 1, 2], [1, 0, 0, 9, 9, 9, 9, 9]])
LENS = torch.tensor([8, 3])


def test_every_label_counts_in_an_rna_alignment():
    context = frame_context(ALIGNMENT, LENS)
    assert context.labels_BL.tolist() == [[3, 3, 3, 1, 1, 2], [1, -1, -1, -1, -1, -1]]
    assert context.label_lens_B.tolist() == [6, 1]
    assert context.position_BT.tolist() == [
        [0, 0, 1, 2, 2, 3, 4, 5],
        [0, 1, 1, 0, 0, 0, 0, 0],
    ]


def test_with_repetition_only_a_changed_symbol_is_a_new_label():
    """A blank between two equal labels makes the second one new."""
    context = frame_context(ALIGNMENT, LENS, topology="label_loop")
    assert context.labels_BL.tolist() == [[3, 3, 1, 2], [1, -1, -1, -1]]
    assert context.label_lens_B.tolist() == [4, 1]
    assert context.position_BT.tolist() == [
        [0, 0, 1, 1, 1, 2, 3, 3],
        [0, 1, 1, 0, 0, 0, 0, 0],
    ]


def test_any_id_may_be_blank():
    context = frame_context(ALIGNMENT, LENS, blank=3)
    assert context.labels_BL[0].tolist() == [0, 0, 1, 1, 2]


def test_alignments_without_labels_or_without_sequences_are_fine():
    context = frame_context(torch.zeros(1, 3, dtype=torch.long), torch.tensor([3]))
    assert context.labels_BL.shape == (1, 0) and context.label_lens_B.tolist() == [0]
    empty = torch.zeros(0, dtype=torch.long)
    assert frame_context(empty.view(0, 3), empty).position_BT.shape == (0, 3)


@pytest.mark.parametrize("topology", ["rnnt", "label_loop_free"])
def test_topologies_whose_alignments_do_not_fit_are_refused(topology):
    with pytest.raises(OptionError, match=f"topology {topology}"):
        frame_context(ALIGNMENT, LENS, topology=topology)


def test_chunks_begin_at_each_hop_and_know_nothing_of_what_was_before():
    chunks = cut_alignments(ALIGNMENT, LENS, size=4, hop=2)
    assert chunks.sequence_C.tolist() == [0, 0, 0, 0, 1, 1]
    assert chunks.start_C.tolist() == [0, 2, 4, 6, 0, 2]
    assert chunks.frame_lens_C.tolist() == [4, 4, 4, 2, 3, 1]
    assert chunks.alignment_CN.tolist() == [
        [0, 3, 3, 0],
        [3, 0, 3, 1],
        [3, 1, 1, 2],
        [1, 2, -1, -1],
        [1, 0, 0, -1],
        [0, -1, -1, -1],
    ]
    context = frame_context(
        chunks.alignment_CN, chunks.frame_lens_C, topology="label_loop"
    )
    # frame 2 repeats the label of frame 1, but its chunk cannot know that
    assert context.labels_BL[1].tolist() == [3, 3, 1]
    assert context.position_BT[1].tolist() == [0, 1, 1, 2]


def test_chunks_without_overlap_cover_each_frame_once():
    chunks = cut_alignments(ALIGNMENT, LENS, size=3, hop=3)
    frames = [
        (s, start + n)
        for s, start, length in zip(*(x.tolist() for x in chunks[:2] + chunks[3:]))
        for n in range(length)
    ]
    assert sorted(frames) == [(0, t) for t in range(8)] + [(1, t) for t in range(3)]


def test_chunks_of_the_original_are_60_frames_every_30():
    chunks = cut_alignments(torch.zeros(1, 130, dtype=torch.long), torch.tensor([130]))
    assert chunks.start_C.tolist() == [0, 30, 60, 90, 120]
    assert chunks.frame_lens_C.tolist() == [60, 60, 60, 40, 10]
    inputs = chunks.times(6, torch.tensor([775]))
    assert inputs.start_C.tolist() == [0, 180, 360, 540, 720]
    assert inputs.frame_lens_C.tolist() == [360, 360, 360, 235, 55]
    features = torch.arange(775.0).view(1, 775, 1).expand(-1, -1, 2)
    pieces = inputs.cut(features)
    assert pieces.shape == (5, 360, 2)
    assert pieces[3, 0, 0] == 540 and pieces[3, 234, 0] == 774
    assert (pieces[3, 235:] == 0).all()


def test_gradients_of_overlapping_chunks_add_up():
    frames = torch.zeros(2, 8, 1, requires_grad=True)
    cut_alignments(ALIGNMENT, LENS, size=4, hop=2).cut(frames).sum().backward()
    assert frames.grad[0, :, 0].tolist() == [1, 1, 2, 2, 2, 2, 2, 2]
    assert frames.grad[1, :, 0].tolist() == [1, 1, 2, 0, 0, 0, 0, 0]


def test_costs_of_chunks_without_overlap_add_up_to_the_whole():
    logits = torch.randn(2, 8, 4, dtype=torch.float64)
    whole = softmax_framewise_cost(logits, ALIGNMENT, LENS)
    chunks = cut_alignments(ALIGNMENT, LENS, size=3, hop=3)
    pieces = chunks.cut(logits), chunks.alignment_CN, chunks.frame_lens_C
    torch.testing.assert_close(softmax_framewise_cost(*pieces).sum(), whole.sum())


def test_no_sequences_have_no_chunks_and_a_hop_is_at_least_one():
    empty = torch.zeros(0, dtype=torch.long)
    assert cut_alignments(empty.view(0, 5), empty).alignment_CN.shape[0] == 0
    with pytest.raises(OptionError, match="every 0"):
        cut_alignments(ALIGNMENT, LENS, size=4, hop=0)


def test_blank_of_an_old_alignment_is_exchanged_with_its_last_id():
    alignment = torch.tensor([[0, 5, 0, 2, -1]])
    assert swap_symbols(alignment, 0, 1030).tolist() == [[1030, 5, 1030, 2, -1]]
    assert swap_symbols(torch.tensor([[0, 5]]), 0, 5).tolist() == [[5, 0]]
