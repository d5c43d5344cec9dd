"""Masks begin at the stated batch, also after a resume."""

import torch

from espnet_ext.asr.specaug.delayed import DelayedSpecAug
from espnet_ext.streams import Streams, attach


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


def test_masks_and_warp_come_from_the_augment_stream_alone():
    x, lengths = torch.randn(2, 60, 8), torch.tensor([60, 55])

    def masked_features(seed):
        layer = DelayedSpecAug(time_mask_width_range=(1, 9), freq_mask_width_range=3)
        attach(layer, Streams(seed))
        torch.manual_seed(0)
        results = [layer(x.clone(), lengths)[0] for _ in range(2)]
        torch.testing.assert_close(torch.rand(2), expected)  # the default is untouched
        return results

    torch.manual_seed(0)
    expected = torch.rand(2)
    first, second = masked_features(1)
    again, _ = masked_features(1)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, masked_features(2)[0])
