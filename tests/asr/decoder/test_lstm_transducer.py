"""The decoder in ESPnet's own searches, and its options."""

import pytest
import torch
from espnet2.asr.transducer.beam_search_transducer import (
    BeamSearchTransducer,
    Hypothesis,
)

from espnet_ext.asr.search.greedy import greedy_search
from tests.asr.tiny import tiny_decoder


def test_stock_greedy_search_equals_ours():
    decoder = tiny_decoder(5, seed=3)
    frames = torch.randn(1, 9, 6, generator=torch.Generator().manual_seed(1))
    am = decoder.joint_network.project_frames(frames).detach()
    stock = BeamSearchTransducer(decoder, decoder.joint_network, beam_size=1)
    with torch.no_grad():
        hypothesis = stock(am[0])[0]
    ours = greedy_search(decoder, am, torch.tensor([9]))[0]
    assert [k for k in hypothesis.yseq if k != 0] == ours.labels


@pytest.mark.parametrize("search_type", ["default", "tsd", "alsd", "nsc", "maes"])
def test_every_stock_search_runs(search_type):
    decoder = tiny_decoder(6, seed=3)
    with torch.no_grad():
        # ESPnet's default search may emit without end unless blank is likely
        decoder.joint_network.emission_output.weight.zero_()
        decoder.joint_network.emission_output.bias.fill_(-10.0)
    frames = torch.randn(1, 6, 6, generator=torch.Generator().manual_seed(1))
    am = decoder.joint_network.project_frames(frames).detach()
    search = BeamSearchTransducer(
        decoder, decoder.joint_network, beam_size=3, search_type=search_type
    )
    with torch.no_grad():
        assert search(am[0])[0].yseq[0] == 0


def test_steps_of_the_search_interface_equal_the_training_forward():
    decoder = tiny_decoder(5)
    labels = [2, 1, 3]
    expected = decoder(torch.tensor([[0, *labels]]))[0]
    state, cache, sequence = decoder.init_state(1), {}, [0]
    for position in range(4):
        hypothesis = Hypothesis(score=0.0, yseq=list(sequence), dec_state=state)
        output, state, _ = decoder.score(hypothesis, cache)
        torch.testing.assert_close(output, expected[position])
        sequence += labels[position : position + 1]


def test_blank_at_the_beginning_stands_for_sos():
    decoder = tiny_decoder(5)
    assert torch.equal(decoder(torch.tensor([[0, 2]])), decoder(torch.tensor([[4, 2]])))


def test_output_probabilities_sum_to_one():
    decoder = tiny_decoder(5)
    am = decoder.joint_network.project_frames(torch.randn(1, 3, 6))
    log_probs = decoder.joint_network(am[0], decoder(torch.tensor([[0]]))[0])
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(3))


def test_unknown_joint_is_named():
    with pytest.raises(ValueError, match="joint type 'additive'.*maxout_readout"):
        tiny_decoder(joint={"type": "additive"})


def test_a_zero_vector_for_bos_leaves_the_bias_alone():
    labels = torch.tensor([[0, 2]])
    embedded = tiny_decoder(5, bos_vector="zero").embed(labels)
    decoder = tiny_decoder(5)
    torch.testing.assert_close(embedded[0, 0], decoder.embedding_bias)
    torch.testing.assert_close(embedded[0, 1], decoder.embed(labels)[0, 1])
    assert not torch.equal(embedded[0, 0], decoder.embed(labels)[0, 0])
    with pytest.raises(ValueError, match="bos_vector 'none'"):
        tiny_decoder(5, bos_vector="none")
