"""Masks of the two kinds of dropout."""

import pytest
import torch

from espnet_ext.layers.dropout import FeatureDropout, switch_out


def test_shared_mask_is_the_same_for_all_sequences_and_frames():
    torch.manual_seed(1)
    y = FeatureDropout(0.5)(torch.ones(4, 7, 50))
    assert (y == y[:1, :1]).all()
    assert set(y.unique().tolist()) == {0.0, 2.0}


def test_elementwise_mask_differs_between_frames():
    torch.manual_seed(1)
    y = FeatureDropout(0.5, "elementwise")(torch.ones(4, 7, 50))
    assert not (y == y[:1, :1]).all()


@pytest.mark.parametrize("mask", ["shared", "elementwise"])
def test_rate_and_mean_are_as_stated(mask):
    torch.manual_seed(1)
    dropout = FeatureDropout(0.3, mask)
    draws = torch.stack([dropout(torch.ones(1, 1, 500)) for _ in range(100)])
    # 50,000 Bernoulli draws: four standard deviations are 0.0082
    assert abs(float((draws == 0).float().mean()) - 0.3) < 0.0082
    assert abs(float(draws.mean()) - 1.0) < 0.012


@pytest.mark.parametrize("mask", ["shared", "elementwise"])
def test_evaluation_and_rate_zero_are_the_identity(mask):
    x = torch.randn(2, 3, 4)
    assert FeatureDropout(0.5, mask).eval()(x) is x
    assert FeatureDropout(0.0, mask)(x) is x


def test_wrong_mask_and_rate_are_refused():
    with pytest.raises(ValueError, match="shared.*elementwise"):
        FeatureDropout(0.1, "shraed")
    with pytest.raises(ValueError, match="rate 1.0"):
        FeatureDropout(1.0)


def test_switched_labels_have_the_rate_and_all_ids_but_blank():
    torch.manual_seed(1)
    labels = torch.full((100, 200), 7)
    switched = switch_out(labels, 0.3, 11)
    # a tenth of the replaced ones are 7 again; 20,000 draws: 5 sigma is 0.016
    assert abs(float((switched != 7).float().mean()) - 0.27) < 0.016
    assert switched.min() == 1 and switched.max() == 10
    assert torch.equal(switch_out(labels, 0.0, 11), labels)
