"""Normalisation in place against ESPnet's module."""

import pytest
import torch
from espnet2.layers.utterance_mvn import UtteranceMVN

from espnet_ext.layers.utterance_mvn import is_covered, utterance_mvn_


def features():
    """Utterances of 7, 5 and 1 frames; one feature is always the same."""
    x = torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(0)) * 3 + 5
    x[:, :, 2] = 1.5
    return x, torch.tensor([7, 5, 1])


@pytest.mark.parametrize("norm_vars", [True, False])
def test_it_equals_espnet_bit_for_bit(norm_vars):
    normalize = UtteranceMVN(norm_vars=norm_vars)
    x, lengths = features()
    with torch.no_grad():
        assert is_covered(normalize, x)
        expected, _ = normalize(x.clone(), lengths)
        found = utterance_mvn_(normalize, x.clone(), lengths)
    assert torch.equal(found, expected)


class Other(UtteranceMVN):
    """What a user may have derived."""


def test_other_modules_and_gradients_are_left_to_the_module():
    x, _ = features()
    assert not is_covered(UtteranceMVN(), x)
    with torch.no_grad():
        assert not is_covered(Other(), x)
        assert not is_covered(UtteranceMVN(norm_means=False), x)
        assert not is_covered(torch.nn.Identity(), x)
