"""The Conformer in our model classes: transducer with auxiliary CTC, and pure CTC."""

import pytest
import torch

from espnet_ext.asr.ctc_model import CtcModel
from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
from espnet_ext.asr.encoder.staged_conformer import StagedConformerEncoder
from espnet_ext.asr.transducer_model import TransducerModel
from espnet_ext.errors import OptionError
from tests.asr.tiny import model_parts, tiny_batch

ENCODER = dict(
    frontend={"type": "blstm", "hidden_size": 3, "time_pooling": [2, 1]},
    num_layers=4,
    model_size=8,
    feed_forward_size=8,
    num_heads=2,
    conv_kernel_size=3,
    input_dropout=0.0,
    dropout=0.0,
    attention_dropout=0.0,
    growth={"layers": [2], "epochs": [1]},
)


def build(kind, vocab_size=6, decoder=None, **options):
    torch.manual_seed(0)
    encoder = StagedConformerEncoder(8, **ENCODER)
    common = {**model_parts(encoder, vocab_size), **options}
    if kind == "ctc":
        return CtcModel(decoder=None, **common)
    return TransducerModel(
        decoder=LstmTransducerDecoder(
            vocab_size,
            encoder.output_size(),
            embedding_size=3,
            hidden_size=4,
            embedding_dropout=0.0,
            joint={
                "readout_size": 8,
                "attention": {"key_size": 3, "key_dropout": 0, "weight_dropout": 0},
                "input_dropout": 0.0,
                "label_dropout": 0.0,
            },
            **(decoder or {}),
        ),
        **common,
    )


AUX = {"layers": [2, 4], "form": "ff"}


@pytest.mark.parametrize("kind", ["ctc", "transducer"])
def test_the_loss_is_the_sum_of_all_its_parts(kind):
    model = build(kind, aux_ctc={**AUX, "weight": 0.3}, loss_reduction="sum")
    loss, stats, weight = model(**tiny_batch())
    main = stats["loss_ctc"] if kind == "ctc" else stats["loss_transducer"]
    parts = main + 0.3 * (stats["loss_ctc_2"] + stats["loss_ctc_4"])
    torch.testing.assert_close(loss.view(1), int(weight) * parts.view(1))
    torch.testing.assert_close(stats["loss"], parts)


@pytest.mark.parametrize("kind", ["ctc", "transducer"])
def test_heads_appear_with_their_layers(kind):
    model = build(kind, aux_ctc=AUX)
    model.set_epoch(1)
    assert "loss_ctc_4" not in model(**tiny_batch())[1]
    model.set_epoch(2)
    assert "loss_ctc_4" in model(**tiny_batch())[1]


@pytest.mark.parametrize("kind", ["ctc", "transducer"])
def test_one_update_changes_what_is_in_use(kind):
    model = build(kind, aux_ctc=AUX)
    model.set_epoch(1)
    batch = tiny_batch()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model(**batch)[0].backward()
    optimizer.step()
    masks = model.used_entries()
    for name, parameter in model.named_parameters():
        if name in masks:
            unused = ~masks[name]
            assert torch.equal(parameter[unused], before[name][unused]), name
    weight = "encoder.layers.0.ffn1.linear_ff.weight"
    assert not torch.equal(dict(model.named_parameters())[weight], before[weight])


def test_columns_that_meet_features_of_later_stages_get_no_gradient():
    model = build("transducer", aux_ctc=AUX)
    model.set_epoch(1)
    model(**tiny_batch())[0].backward()
    weight = model.joint_network.readout_am.weight
    used = model.used_entries()["decoder.joint_network.readout_am.weight"]
    # frame and context, half of the 8 features each
    assert used[0].tolist() == ([True] * 4 + [False] * 4) * 2
    assert (weight.grad[~used] == 0).all() and (weight.grad[used] != 0).any()


def test_only_auxiliary_ctc_is_trained_before_the_transducer_starts():
    """transdN without CTC on the encoder's output."""
    model = build("transducer", aux_ctc=AUX, transducer_start_epoch=3)
    model.set_epoch(2)
    loss, stats, _ = model(**tiny_batch())
    expected = stats["loss_ctc_2"] + stats["loss_ctc_4"]
    torch.testing.assert_close(loss.view(1), expected.view(1))
    loss.backward()
    assert all(p.grad is None for p in model.decoder.parameters())
    model.set_epoch(3)
    assert "loss_transducer" in model(**tiny_batch())[1]


def test_smoothing_changes_gradients_alone_and_follows_its_schedule():
    batch = tiny_batch()

    def run(epoch, **options):
        model = build("transducer", **options)
        model.set_epoch(epoch)
        loss = model(**batch)[0]
        loss.backward()
        return loss.detach(), model.joint_network.label_output.weight.grad

    plain = run(2)
    zero = run(2, label_smoothing={"type": "lsxx", "scale": 0.0})
    smooth = run(2, label_smoothing={"type": "lsxx", "scale": 0.1})
    assert torch.equal(plain[1], zero[1]) and torch.equal(plain[0], smooth[0])
    assert not torch.allclose(plain[1], smooth[1])
    warming = {"type": "lsxx", "scale": 0.1, "schedule": "warmup"}
    half = run(30, label_smoothing=warming)
    expected = run(2, label_smoothing={"type": "lsxx", "scale": 0.05})
    torch.testing.assert_close(half[1], expected[1])
    growing = {"type": "lsxx", "scale": 0.1, "schedule": "growth"}
    assert torch.equal(run(1, label_smoothing=growing)[1], run(1)[1])
    torch.testing.assert_close(run(2, label_smoothing=growing)[1], smooth[1])


def test_wrong_smoothing_options_are_named():
    with pytest.raises(OptionError, match="schedule 'linear'"):
        build("transducer", label_smoothing={"schedule": "linear"})
    with pytest.raises(ValueError, match="apply 'target'"):
        build("transducer", label_smoothing={"apply": "target"})
    with pytest.raises(ValueError, match="aux_ctc.*layer"):
        build("transducer", aux_ctc={"layer": [2]})
    with pytest.raises(ValueError, match="aux_ctc form 'fff'"):
        build("transducer", aux_ctc={"layers": [2], "form": "fff"})


def test_forms_of_the_experiments_stand_for_two_options():
    for form, top, classes in (("aux", False, 5), ("f", True, 5), ("ff", True, 6)):
        heads = build("ctc", aux_ctc={"layers": [4], "form": form}).ctc_heads
        assert heads.top_layer is top
        assert heads.heads["4"].out_features == classes


def test_pure_ctc_gives_frames_to_espnets_searches():
    model = build("ctc").eval()
    batch = tiny_batch()
    frames, lengths = model.encode(batch["speech"], batch["speech_lengths"])
    assert frames.shape == (2, 7, 8) and lengths.tolist() == [7, 5]
    assert model.decoder is None and not model.use_transducer_decoder
    log_probs = model.ctc.log_softmax(frames)
    nll = torch.nn.functional.ctc_loss(
        log_probs.transpose(0, 1),
        batch["text"].clamp(min=0),
        lengths,
        batch["text_lengths"],
        reduction="none",
    )
    torch.testing.assert_close(model(**batch)[1]["loss_ctc"].view(()), nll.mean())


def test_switchout_replaces_labels_at_its_rate_by_any_label_but_blank():
    decoder = build("transducer", decoder={"label_switchout": 0.2}).decoder
    torch.manual_seed(0)
    labels = torch.full((100, 200), 3)
    switched = decoder._switch_out(labels)
    # a fifth of the replacements draws the same label again: 0.2 * 4 / 5
    share = float((switched != labels).float().mean())
    assert abs(share - 0.16) < 4 * (0.16 * 0.84 / 20_000) ** 0.5
    assert set(switched.unique().tolist()) == {1, 2, 3, 4, 5}
    assert torch.equal(decoder.eval()._switch_out(labels), labels)


@pytest.mark.parametrize(
    "options, joint, parameters",
    [
        ({}, {}, 7_974_243),
        ({"hidden_size": 512}, {}, 3_790_179),
        ({"hidden_size": 512, "embedding_size": 64}, {}, 3_199_011),
        ({"hidden_size": 512, "embedding_size": 64}, None, 2_661_211),
        ({"zoneout": {}}, {}, 7_974_243),
    ],
    ids=["base", "declstmd512", "decemb64", "decnoatt", "declstmz"],
)
def test_decoder_parameter_counts_are_those_of_the_original(options, joint, parameters):
    """reference/models.md (e); ours has one embedding row more, for blank."""
    with torch.device("meta"):
        decoder = LstmTransducerDecoder(
            1031, 384, joint={"attention": joint}, **options
        )
    extra = options.get("embedding_size", 256)
    assert sum(p.numel() for p in decoder.parameters()) - extra == parameters


def test_ctc_models_take_smoothing_weight_and_a_late_start():
    batch = tiny_batch()
    plain = build("ctc", aux_ctc=AUX).eval()
    smoothed = build("ctc", aux_ctc=AUX, label_smoothing={"type": "lsx", "scale": 0.2})
    values = []
    for part in (plain, smoothed.eval()):
        loss, _, _ = part(**batch)
        loss.backward()
        values.append((loss.detach(), part.ctc.ctc_lo.bias.grad))
    torch.testing.assert_close(values[0][0], values[1][0])
    assert not torch.allclose(values[0][1], values[1][1])
    half = build("ctc", ctc_weight=0.5).eval()
    torch.testing.assert_close(half(**batch)[0], 0.5 * build("ctc").eval()(**batch)[0])
    late = build("ctc", aux_ctc=AUX, transducer_start_epoch=2).train()
    late.set_epoch(1)
    assert "loss_ctc" not in late(**batch)[1]
    with pytest.raises(ValueError, match="expected type ls or lsx"):
        build("ctc", label_smoothing={"type": "lsxx", "scale": 0.1})
    with pytest.raises(ValueError, match="ctc_weight 0.0"):
        build("ctc", ctc_weight=0.0)
