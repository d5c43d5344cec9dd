"""Topology, one softmax, stateless prediction network, reproduction loss."""

import pytest
import torch

from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
from espnet_ext.asr.decoder.stateless_transducer import StatelessTransducerDecoder
from espnet_ext.asr.encoder.e_branchformer import FrontendEBranchformer
from espnet_ext.asr.loss import full_sum_loss
from espnet_ext.asr.search.greedy import greedy_search
from espnet_ext.asr.search.time_sync import TimeSyncSearch
from espnet_ext.asr.transducer_model import TransducerModel
from espnet_ext.inference.model_search import build_search
from tests.asr.tiny import model_parts, tiny_batch, tiny_blstm

V = 6
JOINT = {"readout_size": 8, "input_dropout": 0.0, "label_dropout": 0.0}
SMALL = {"embedding_size": 3, "hidden_size": 4, "embedding_dropout": 0.0}


def model_of(vocab_size=V, emission=None, context_size=None, encoder=None, **options):
    torch.manual_seed(0)
    encoder = encoder or tiny_blstm()
    joint = dict(JOINT) if emission is None else {**JOINT, "emission": emission}
    size = encoder.output_size()
    if context_size is None:
        decoder = LstmTransducerDecoder(vocab_size, size, joint=joint, **SMALL)
    else:
        decoder = StatelessTransducerDecoder(
            vocab_size, size, context_size, joint=joint, **SMALL
        )
    return TransducerModel(
        **model_parts(encoder, vocab_size), decoder=decoder, **options
    )


def gradients(model, batch):
    model(**batch)[0].backward()
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("context_size", [None, 1, 2])
@pytest.mark.parametrize("emission", ["sigmoid", "softmax"])
@pytest.mark.parametrize("topology", ["rna", "rnnt"])
def test_both_backends_sum_the_joints_log_probabilities(
    topology, emission, context_size
):
    options = {"topology": topology, "emission": emission, "context_size": context_size}
    batch = tiny_batch()
    model = model_of(**options, loss_backend="torch")
    loss = model(**batch)[0]
    am, lens = model.encode(batch["speech"], batch["speech_lengths"])
    labels = batch["text"].clamp(min=0)
    lm = model.decoder(torch.nn.functional.pad(labels, (1, 0)))
    scores = model.joint_network(am.unsqueeze(2), lm.unsqueeze(1))
    torch.testing.assert_close(scores.exp().sum(-1), torch.ones(scores.shape[:-1]))
    lengths = lens, batch["text_lengths"]
    expected = full_sum_loss(scores, labels, *lengths, topology, backend="reference")
    torch.testing.assert_close(loss.squeeze(), expected.mean())
    fused = gradients(model_of(**options, loss_backend="fused"), batch)
    dense = gradients(model, batch)
    assert fused.keys() == dense.keys()
    for name, gradient in dense.items():
        torch.testing.assert_close(fused[name], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("context_size", [None, 2])
@pytest.mark.parametrize("emission", ["sigmoid", "softmax"])
def test_the_search_interface_gives_the_joints_scores(emission, context_size):
    model = model_of(emission=emission, context_size=context_size).eval()
    decoder, labels = model.decoder, torch.tensor([[2, 1, 4], [3, 3, 1]])
    frames = torch.randn(2, 8, generator=torch.Generator().manual_seed(3))
    outputs = decoder(torch.nn.functional.pad(labels, (1, 0)))
    state = decoder.search_start(2)
    for u in range(4):
        scores, _ = decoder.search_scores(frames, state)
        torch.testing.assert_close(scores, model.joint_network(frames, outputs[:, u]))
        blank = torch.zeros(2, dtype=torch.long)
        state = decoder.search_advance(state, torch.arange(2), blank)
        if u < 3:
            state = decoder.search_advance(state, torch.arange(2), labels[:, u])


def test_a_stateless_network_forgets_what_is_outside_its_context():
    decoder = model_of(context_size=2).eval().decoder
    one = decoder(torch.tensor([[0, 1, 2, 3]]))[0, -1]
    other = decoder(torch.tensor([[0, 4, 2, 3]]))[0, -1]
    assert torch.equal(one, other)
    assert not torch.equal(one, decoder(torch.tensor([[0, 1, 4, 3]]))[0, -1])


def test_a_beam_of_one_is_greedy_search_without_recurrence_too():
    model, batch = model_of(context_size=1).eval(), tiny_batch()
    am, lengths = model.encode(batch["speech"], batch["speech_lengths"])
    beams = TimeSyncSearch(model.decoder, beam_size=1)(am, lengths)
    greedy = greedy_search(model.decoder, am, lengths)
    assert [beam[0].labels for beam in beams] == [g.labels for g in greedy]


def test_an_rnnt_model_is_decoded_as_one():
    """With room for all hypotheses, a score is the full sum of the RNN-T topology."""
    model, batch = model_of(4, topology="rnnt").eval(), tiny_batch(4)
    am, _ = model.encode(batch["speech"], batch["speech_lengths"])
    lengths = torch.tensor([2, 2])
    beams = build_search(model, 200, {"max_symbols": 3}, ()).batch(am[:, :2], lengths)
    lm = model.decoder(torch.tensor([[0, 1, 2]] * 2))
    scores = model.joint_network(am[:, :2].unsqueeze(2), lm.unsqueeze(1))
    labels = torch.tensor([[1, 2]] * 2)
    nll = full_sum_loss(scores, labels, lengths, torch.tensor([2, 2]), "rnnt")
    for beam, expected in zip(beams, nll.tolist()):
        found = {tuple(hypothesis.yseq[1:]): hypothesis.score for hypothesis in beam}
        assert found[1, 2] == pytest.approx(-expected, rel=1e-5)


def test_reproduction_is_the_squared_distance_of_stacked_input_frames():
    batch = tiny_batch()
    options = {"weight": 0.5, "reduction": 2, "features": 8}
    plain, model = model_of().eval(), model_of(reproduction=options).eval()
    frames, _ = model.encode_frames(batch["speech"], batch["speech_lengths"])
    loss, stats, _ = model(**batch)
    expected = 0.0
    predicted = model.reproduction.output(frames)
    for b, length in enumerate((14, 9)):
        for n in range(length):
            part = predicted[b, n // 2].view(2, 8)[n % 2]
            expected += (part - batch["speech"][b, n]).square().mean() / 2
    torch.testing.assert_close(stats["loss_reproduction"][0], expected.detach() / 2)
    torch.testing.assert_close(
        loss.squeeze(), plain(**batch)[0].squeeze() + 0.5 * expected / 2
    )
    zero = gradients(model_of(reproduction={**options, "weight": 0.0}), batch)
    absent = gradients(model_of(), batch)
    assert all(torch.equal(zero[name], absent[name]) for name in absent)
    with pytest.raises(ValueError, match="missing: features"):
        model_of(reproduction={"weight": 1.0})


def branchformer(**options):
    frontend = {"type": "vgg", "conv_channels": [2, 2, 2]}
    sizes = {"output_size": 8, "attention_heads": 2, "cgmlp_linear_units": 8}
    sizes.update(cgmlp_conv_kernel=3, num_blocks=2, frontend=frontend)
    return FrontendEBranchformer(8, dropout_rate=0.0, **sizes, **options)


def test_e_branchformer_trains_behind_our_frontend_with_auxiliary_ctc():
    aux = {"layers": [1], "form": "ff"}
    model = model_of(encoder=branchformer(), aux_ctc=aux)
    batch = tiny_batch()
    _, lengths = model.encode_frames(batch["speech"], batch["speech_lengths"])
    assert lengths.tolist() == [4, 3]
    found = gradients(model, batch)
    assert found["encoder.frontend.convolutions.0.weight"].abs().sum() > 0
    assert found["ctc_heads.heads.1.weight"].abs().sum() > 0


def test_e_branchformer_does_not_depend_on_padding_of_a_whole_number_of_frames():
    torch.manual_seed(0)
    encoder, x = branchformer().eval(), torch.randn(2, 16, 8)
    together, lengths, _ = encoder(x, torch.tensor([16, 8]))
    alone, _, _ = encoder(x[1:, :8], torch.tensor([8]))
    torch.testing.assert_close(together[1:, : int(lengths[1])], alone)
    (last, [(number, inner)]), _, _ = encoder(x, torch.tensor([16, 8]), aux_layers=[1])
    assert torch.equal(last, together) and number == 1 and inner.shape == last.shape


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="topology 'ctc'"):
        model_of(topology="ctc")
    with pytest.raises(ValueError, match="emission 'both'"):
        model_of(emission="both")
    with pytest.raises(ValueError, match="context_size 0"):
        model_of(context_size=0)
    with pytest.raises(ValueError, match="input_layer"):
        branchformer(input_layer="conv2d")
