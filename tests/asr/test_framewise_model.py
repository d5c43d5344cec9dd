"""Training on given alignments: cost, chunks, auxiliary outputs, what does not fit."""

import pytest
import torch
from espnet2.asr.ctc import CTC

from espnet_ext.asr.encoder.staged_conformer import StagedConformerEncoder
from espnet_ext.asr.framewise_model import FramewiseModel
from espnet_ext.errors import FormatError, OptionError
from tests.asr.tiny import tiny_batch

V = 6
PLAIN = {
    **{"dropout": 0.0, "attention_dropout": 0.0, "input_dropout": 0.0},
    **{"num_layers": 2, "model_size": 8, "feed_forward_size": 8, "num_heads": 2},
    **{"conv_kernel_size": 3, "conv_norm": "layer_norm", "padding": "zero"},
}


def framewise_model(vocab_size=V, encoder_options=(), **options):
    torch.manual_seed(0)
    frontend = {"type": "swish_conv", "conv_channels": [2] * 4}
    frontend["time_strides"] = [1, 1, 3, 1]
    options_of_encoder = {**PLAIN, "frontend": frontend, **dict(encoder_options)}
    encoder = StagedConformerEncoder(8, **options_of_encoder)
    tokens = ["<blank>", *(f"t{i}" for i in range(1, vocab_size - 1)), "<sos/eos>"]
    return FramewiseModel(
        vocab_size=vocab_size,
        token_list=tokens[-vocab_size:],
        frontend=None,
        specaug=None,
        normalize=None,
        preencoder=None,
        encoder=encoder,
        postencoder=None,
        ctc=CTC(vocab_size, encoder.output_size()),
        **options,
    )


def aligned_batch(vocab_size=V):
    """Two utterances of 14 and 9 features: 5 and 3 frames at a reduction of 3."""
    alignment = torch.tensor([[0, 2, 2, 0, 3], [1, 0, 4, -1, -1]]).clamp(max=V - 1)
    alignment = alignment.clamp(max=vocab_size - 1)
    batch = tiny_batch(max(vocab_size, 3))
    lengths = torch.tensor([5, 3])
    return {**batch, "alignment": alignment, "alignment_lengths": lengths}


def probabilities(model, batch):
    frames, lengths = model.encode(batch["speech"], batch["speech_lengths"])
    assert lengths.tolist() == [5, 3]
    return model.ctc.ctc_lo(frames).softmax(-1)


@pytest.mark.parametrize("focal", [0.0, 2.0])
def test_loss_is_the_focal_cross_entropy_of_the_valid_frames(focal):
    model, batch = framewise_model(focal_factor=focal).eval(), aligned_batch()
    loss, stats, weight = model(**batch)
    p_BTV = probabilities(model, batch)
    expected, wrong = 0.0, 0
    for b, length in enumerate((5, 3)):
        for t in range(length):
            target = int(batch["alignment"][b, t])
            p = p_BTV[b, t, target]
            expected -= (1 - p) ** focal * p.log()
            wrong += int(p_BTV[b, t].argmax()) != target
    torch.testing.assert_close(loss.squeeze(), expected / 2)
    assert float(stats["fer"]) == pytest.approx(wrong / 8)
    assert int(weight) == 2


def test_auxiliary_outputs_predict_the_same_targets():
    options = {"aux_framewise": {"layers": [1], "weight": 0.5}}
    model, batch = framewise_model(**options).eval(), aligned_batch()
    loss, stats, _ = model(**batch)
    frames = 8 / 2
    expected = stats["loss_framewise"] + 0.5 * stats["loss_framewise_1"]
    torch.testing.assert_close(loss, frames * expected)
    model.train()(**batch)[0].backward()
    assert model.aux_heads["1"].weight.grad.abs().sum() > 0


def test_chunks_are_sequences_of_their_own_in_training_only():
    batch = aligned_batch()
    whole, cut = framewise_model(), framewise_model(chunk={"size": 2, "hop": 1})
    torch.testing.assert_close(whole.eval()(**batch)[0], cut.eval()(**batch)[0])
    loss = cut.train()(**batch)[0]
    expected = 0.0
    for b, (frames, inputs) in enumerate(((5, 14), (3, 9))):
        for start in range(frames):
            size = min(2, frames - start)
            piece = {
                "speech": batch["speech"][b : b + 1, 3 * start : 3 * (start + size)],
                "speech_lengths": torch.tensor([min(3 * size, inputs - 3 * start)]),
                "alignment": batch["alignment"][b : b + 1, start : start + size],
                "alignment_lengths": torch.tensor([size]),
                "text": batch["text"][:1],
                "text_lengths": batch["text_lengths"][:1],
            }
            piece["speech"] = piece["speech"][:, : int(piece["speech_lengths"])]
            expected = expected + whole.train()(**piece)[0]
    torch.testing.assert_close(loss, expected / 2)


def test_label_smoothing_changes_the_gradient_and_not_the_loss():
    batch = aligned_batch()
    gradients = []
    for smoothing in (None, {"type": "ls", "scale": 0.0}, {"type": "ls", "scale": 0.1}):
        model = framewise_model(label_smoothing=smoothing)
        loss = model(**batch)[0]
        loss.backward()
        gradients.append((loss.detach(), model.ctc.ctc_lo.weight.grad))
    assert all(torch.equal(*pair) for pair in zip(gradients[0], gradients[1]))
    torch.testing.assert_close(gradients[0][0], gradients[2][0])
    assert not torch.allclose(gradients[0][1], gradients[2][1])


def test_an_alignment_of_another_frame_rate_is_refused_by_name():
    batch = aligned_batch()
    batch["alignment_lengths"] = torch.tensor([5, 1])
    with pytest.raises(FormatError, match="b: an alignment of 1 frames for 3 frames"):
        framewise_model()(**batch)
    batch["alignment_lengths"] = torch.tensor([4, 3])  # one is tolerated
    assert torch.isfinite(framewise_model()(**batch)[0])


def test_a_batch_without_alignments_says_how_to_give_them():
    with pytest.raises(OptionError, match="FILE,alignment,kaldi_ark"):
        framewise_model()(**tiny_batch())


def test_it_trains_with_a_vocabulary_of_one_symbol():
    loss = framewise_model(1)(**aligned_batch(1))[0]
    loss.backward()
    assert float(loss) == 0.0


def test_unknown_options_are_refused():
    with pytest.raises(OptionError, match="model_conf chunk"):
        framewise_model(chunk={"hop": 2})
    with pytest.raises(ValueError, match="aux_framewise"):
        framewise_model(aux_framewise={"layer": [1]})
    with pytest.raises(ValueError, match="expected type ls or lsx"):
        framewise_model(label_smoothing={"type": "lsxx", "scale": 0.1})
