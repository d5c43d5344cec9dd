"""Masks begin at the stated batch, also after a resume."""

import torch

from espnet_ext.asr.specaug.delayed import DelayedSpecAug


def specaug(start_batch):
    torch.manual_seed(0)
    return DelayedSpecAug(
        start_batch=start_batch,
        apply_time_warp=False,
        freq_mask_width_range=(3, 4),
        time_mask_width_range=(3, 4),
    )


def masked(layer):
    return bool((layer(torch.ones(2, 20, 8), torch.tensor([20, 15]))[0] == 0).any())


def test_the_first_batches_are_left_alone():
    layer = specaug(2)
    assert [masked(layer) for _ in range(4)] == [False, False, True, True]


def test_the_count_goes_on_after_a_resume():
    layer = specaug(2)
    masked(layer)
    resumed = specaug(2)
    resumed.load_state_dict(layer.state_dict())
    assert [masked(resumed) for _ in range(2)] == [False, True]


def test_evaluation_does_not_count():
    layer = specaug(1).eval()
    masked(layer)
    assert [masked(layer.train()) for _ in range(2)] == [False, True]
