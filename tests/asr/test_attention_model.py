"""The attention encoder-decoder: gradients, search interface, smoothing."""

import pytest
import torch

from espnet_ext.asr.attention_model import AttentionModel
from espnet_ext.asr.decoder.mlp_attention import MlpAttentionDecoder
from espnet_ext.asr.encoder.staged_conformer import StagedConformerEncoder
from espnet_ext.errors import OptionError
from tests.asr.test_conformer_models import ENCODER
from tests.asr.tiny import model_parts, tiny_batch

SIZES = dict(embedding_size=3, hidden_size=4, key_size=5, readout_size=6)


def decoder(vocab_size=6, encoder_size=8, **options):
    torch.manual_seed(0)
    options = {"label_dropout": 0.0, **options}
    return MlpAttentionDecoder(vocab_size, encoder_size, **SIZES, **options)


def model(vocab_size=6, **options):
    torch.manual_seed(0)
    encoder = StagedConformerEncoder(8, **ENCODER)
    return AttentionModel(
        **model_parts(encoder, vocab_size),
        decoder=decoder(vocab_size),
        aux_ctc={"layers": [2], "form": "ff"},
        **options,
    )


@pytest.mark.parametrize("zoneout", [None, {"cell": 0.15, "output": 0.05}])
def test_gradients_through_the_loop_are_those_of_finite_differences(zoneout):
    network = decoder(4, 2, zoneout=zoneout).double().eval()
    frames = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    lengths, inputs = torch.tensor([3, 2]), torch.tensor([[3, 1], [3, 2]])
    for parameter in (network.feedback.weight, network.fertility.weight):
        assert parameter.requires_grad
    assert torch.autograd.gradcheck(
        lambda x, *_: network.label_logits(x, lengths, inputs),
        (frames, *network.parameters()),
        fast_mode=True,
    )


def test_steps_of_the_search_interface_equal_the_training_forward():
    network = decoder().eval()
    frames = torch.randn(1, 5, 8)
    inputs = torch.tensor([[5, 2, 3]])
    expected, _ = network(frames, torch.tensor([5]), inputs, torch.tensor([3]))
    state = network.init_state(frames[0])
    for position in range(3):
        scores, state = network.score(inputs[0, : position + 1], state, frames[0])
        torch.testing.assert_close(scores, expected[0, position])
    assert scores[0] == float("-inf")
    torch.testing.assert_close(scores.exp().sum(), torch.tensor(1.0))


def test_padding_is_not_attended_to():
    network = decoder().eval()
    frames = torch.randn(1, 5, 8)
    inputs, length = torch.tensor([[5, 2]]), torch.tensor([3])
    whole = network.label_logits(frames, length, inputs)
    alone = network.label_logits(frames[:, :3], length, inputs)
    torch.testing.assert_close(whole, alone)


def test_cost_counts_labels_and_the_end_and_nothing_after_it():
    network, batch = model().eval(), tiny_batch()
    frames, lengths = network.encode(batch["speech"], batch["speech_lengths"])
    labels = batch["text"]
    cost = network.cross_entropy(frames, lengths, labels, batch["text_lengths"])
    text = labels[1, :2].tolist()
    log_probs, _ = network.decoder(
        frames[1:], lengths[1:], torch.tensor([[5, *text]]), torch.tensor([3])
    )
    for position, target in enumerate([*text, 5]):
        torch.testing.assert_close(cost[1, position], -log_probs[0, position, target])
    assert cost[1, 3] == 0


def test_smoothing_the_gradient_leaves_the_value_alone_and_equals_that_of_the_target():
    """reference/losses.md 6.2: for cross entropy both have the same gradient."""
    results = {}
    for apply in ("target", "gradient"):
        network = model(label_smoothing={"scale": 0.1, "apply": apply})
        loss = network(**tiny_batch())[0]
        loss.backward()
        results[apply] = (loss.detach(), network.decoder.output.weight.grad)
    plain = model()(**tiny_batch())[0].detach()
    torch.testing.assert_close(results["gradient"][0], plain)
    assert not torch.allclose(results["target"][0], plain)
    torch.testing.assert_close(results["target"][1], results["gradient"][1])


def test_parameter_count_is_that_of_the_original():
    """models.md (g): 12,606,333; ours has one embedding row more, for blank."""
    with torch.device("meta"):
        network = MlpAttentionDecoder(1031, 384)
    assert sum(p.numel() for p in network.parameters()) - 621 == 12_606_333


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="inverse_fertility 'log'"):
        decoder(inverse_fertility="log")
    with pytest.raises(OptionError, match="apply 'both'"):
        model(label_smoothing={"apply": "both"})


def test_one_mask_of_the_recurrent_matrix_serves_all_labels(monkeypatch):
    part = decoder(recurrent_weight_dropout=0.5).train()
    drawn = []
    original = part.lstm.recurrent_weight
    monkeypatch.setattr(
        part.lstm, "recurrent_weight", lambda: drawn.append(1) or original()
    )
    frames, lengths = torch.randn(1, 4, 8), torch.tensor([4])
    inputs = torch.tensor([[5, 1, 2, 3]])
    torch.manual_seed(1)
    first = part.label_logits(frames, lengths, inputs)
    assert len(drawn) == 1
    torch.manual_seed(2)
    assert not torch.allclose(part.label_logits(frames, lengths, inputs), first)
    plain = decoder().eval()
    torch.testing.assert_close(
        part.eval().label_logits(frames, lengths, inputs),
        plain.label_logits(frames, lengths, inputs),
    )


def test_labels_are_switched_in_training_alone():
    part = decoder(label_switchout=0.9).train()
    plain = decoder().train()
    frames, lengths = torch.randn(1, 4, 8), torch.tensor([4])
    inputs = torch.tensor([[5, 1, 2, 3]])
    wanted = plain.label_logits(frames, lengths, inputs)
    assert not torch.allclose(part.label_logits(frames, lengths, inputs), wanted)
    part.eval()
    torch.testing.assert_close(part.label_logits(frames, lengths, inputs), wanted)


def test_a_ctc_loss_stands_beside_the_cross_entropy_which_may_start_later():
    batch = tiny_batch()
    with_ctc = model(ctc_weight=0.5, transducer_start_epoch=3).train()
    with_ctc.set_epoch(2)
    _, stats, _ = with_ctc(**batch)
    assert "loss_att" not in stats and {"loss_ctc", "loss_ctc_2"} <= set(stats)
    with_ctc.set_epoch(3)
    loss, stats, _ = with_ctc(**batch)
    expected = stats["loss_att"] + 0.5 * stats["loss_ctc"] + stats["loss_ctc_2"]
    torch.testing.assert_close(loss.detach(), expected)
    with pytest.raises(ValueError, match="transducer_start_epoch 3 needs"):
        bare = model(ctc_weight=0.0)
        bare.ctc_heads = None
        bare.transducer_start_epoch = 3
        bare.check_start(False)
