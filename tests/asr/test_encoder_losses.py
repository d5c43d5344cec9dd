"""Encoder options through the loss of a model, against computations by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from espnet_ext.asr.encoder.conv_blstm import ConvBlstmEncoder
from espnet_ext.asr.encoder.self_attention import SelfAttention
from espnet_ext.asr.encoder.staged_conformer import StagedConformerEncoder
from espnet_ext.layers.relative_positions import sinusoid_table
from tests.asr.test_transducer_options import V, branchformer, model_of
from tests.asr.tiny import tiny_batch

SIZE, HEADS = 8, 2


def conformer(**options):
    """Two layers that halve time in front, without randomness."""
    torch.manual_seed(0)
    frontend = {"type": "vgg", "conv_channels": [2, 2, 2], "time_strides": [1, 2, 1]}
    rates = {"dropout": 0.0, "attention_dropout": 0.0, "input_dropout": 0.0}
    sizes = {"model_size": SIZE, "num_heads": HEADS, "num_layers": 2}
    sizes |= {"feed_forward_size": 8, "conv_kernel_size": 3, "conv_norm": "layer_norm"}
    return StagedConformerEncoder(8, frontend=frontend, **rates, **sizes, **options)


def blstm():
    """Two layers that halve time."""
    torch.manual_seed(0)
    return ConvBlstmEncoder(
        8, [2], [2], num_layers=2, hidden_size=3, time_pooling=[2], dropout=0.0
    )


def batch():
    """Without the last label, which some auxiliary losses take for blank."""
    given = tiny_batch(V)
    given["text"] = given["text"].clamp(max=V - 3)
    return given


def main_loss(model, frames, lengths, given):
    """Mean transducer loss of encoder frames."""
    am = model.joint_network.project_frames(frames, lengths)
    labels = given["text"], given["text_lengths"]
    return model.transducer_nll(am, lengths, *labels).mean()


def looped(self, x, lengths, positions, window=None):
    """Self-attention one query and key at a time; the keys of a query are s with
    t - window // 2 <= s < t - window // 2 + window."""
    table = sinusoid_table(x.size(1), SIZE)
    size = SIZE // HEADS
    rows = []
    for b in range(len(x)):
        heads = []
        for h in range(HEADS):
            part = slice(3 * size * h, 3 * size * (h + 1))
            qkv = x[b] @ self.qkv.weight[part].T + self.qkv.bias[part]
            q, k, v = qkv.split(size, dim=1)
            own = slice(size * h, size * (h + 1))
            p = table @ self.linear_pos.weight[own].T
            outputs = []
            for t in range(x.size(1)):
                keys = list(range(int(lengths[b])))
                first = -math.inf if window is None else t - window // 2
                last = math.inf if window is None else first + window
                keys = [s for s in keys if first <= s < last] or keys
                scores = [
                    ((q[t] + self.pos_bias_u[h]) @ k[s])
                    + (q[t] + self.pos_bias_v[h]) @ p[s - t + x.size(1) - 1]
                    for s in keys
                ]
                weights = (torch.stack(scores) / math.sqrt(size)).softmax(0)
                outputs.append(weights @ v[keys])
            heads.append(torch.stack(outputs))
        rows.append(torch.cat(heads, dim=1))
    return self.proj(torch.stack(rows))


@pytest.mark.parametrize(
    "form, training, window",
    [
        ("ineffective", True, None),  # winN as it was
        ("training", True, 3),
        ("training", False, None),
        ("always", False, 3),
    ],
)
def test_the_loss_with_a_window_is_that_of_loops_over_its_keys(
    form, training, window, monkeypatch
):
    options = {"attention_window_size": 3, "attention_window": form}
    model = model_of(encoder=conformer(**options)).train(training)
    loss = model(**batch())[0]
    monkeypatch.setattr(
        SelfAttention, "forward", lambda self, *a: looped(self, *a, window=window)
    )
    torch.testing.assert_close(loss, model(**batch())[0])
    other = 3 if window is None else None
    monkeypatch.setattr(
        SelfAttention, "forward", lambda self, *a: looped(self, *a, window=other)
    )
    assert not torch.allclose(loss, model(**batch())[0], rtol=1e-4)


@pytest.mark.parametrize("size, stride", [(4, 4), (4, 2), (4, 3), (3, 1)])
@pytest.mark.parametrize("tail", ["zero", "covered"])
def test_the_loss_of_windows_is_that_of_the_mean_of_their_outputs(size, stride, tail):
    encoder = conformer(chunk_size=size, chunk_stride=stride, chunk_tail=tail)
    model, given = model_of(encoder=encoder).train(), batch()
    loss = model(**given)[0]
    x, lengths = encoder.frontend(given["speech"], given["speech_lengths"])
    left = (size - 1) // 2
    frames = torch.zeros(2, x.size(1), SIZE)
    for b, length in enumerate(lengths.tolist()):
        count = -(-length // stride)
        if tail == "covered":
            while (count - 1) * stride - left + size < length:
                count += 1
            # not one more than it takes
            count = next(
                n
                for n in range(1, count + 1)
                if (n - 1) * stride - left + size >= length
            )
        outputs = [[] for _ in range(x.size(1))]
        for c in range(count):
            window = torch.zeros(1, size, x.size(2))
            inside = [n for n in range(size) if 0 <= c * stride - left + n < x.size(1)]
            for n in inside:
                window[0, n] = x[b, c * stride - left + n]
            y = encoder._conformer(window, None, ())[0][1][0]
            for n in inside:
                outputs[c * stride - left + n].append(y[n])
        for t, found in enumerate(outputs):
            if found:
                frames[b, t] = torch.stack(found).mean(0)
    torch.testing.assert_close(loss.view(()), main_loss(model, frames, lengths, given))


ENCODERS = {"conformer": conformer, "E-Branchformer": branchformer}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("blank", ["separate", "last_label"])
@pytest.mark.parametrize("top_layer", [True, False])
def test_auxiliary_ctc_adds_the_costs_of_its_layers(name, top_layer, blank):
    """All four forms: values by torch's own CTC on the layers' outputs."""
    options = {"layers": [1, 2], "top_layer": top_layer, "blank": blank, "weight": 0.3}
    model = model_of(encoder=ENCODERS[name](), aux_ctc=options).eval()
    given = batch()
    loss, stats, _ = model(**given)
    x = given["speech"], given["speech_lengths"]
    (frames, outputs), lengths, _ = model.encoder(*x, aux_layers=[1, 2])
    expected = main_loss(model, frames, lengths, given)
    # class of a label, and of blank: see aux_ctc
    shift, blank_class = (0, 0) if blank == "separate" else (1, V - 3)
    for layer, output in outputs if top_layer else outputs[:1]:
        head = model.ctc_heads.heads[str(layer)]
        assert head.out_features == V - shift
        nll = F.ctc_loss(
            head(output).log_softmax(-1).transpose(0, 1),
            (given["text"] - shift).clamp(min=0),
            lengths,
            given["text_lengths"],
            blank=blank_class,
            reduction="none",
        )
        torch.testing.assert_close(stats[f"loss_ctc_{layer}"].view(()), nll.mean())
        expected = expected + 0.3 * nll.mean()
    torch.testing.assert_close(loss.view(()), expected)
    assert ("loss_ctc_2" in stats) is top_layer


def test_the_top_layer_is_that_of_the_growing_stage():
    """``auxL`` without f: a layer has its loss when there is one above it."""
    growth = {"layers": [1], "epochs": [1], "width": False}
    for form, first in (("aux", []), ("f", [1]), ("ff", [1])):
        encoder = conformer(growth=growth)
        model = model_of(encoder=encoder, aux_ctc={"layers": [1, 2], "form": form})
        for epoch, layers in ((1, first), (2, [1] if form == "aux" else [1, 2])):
            model.set_epoch(epoch)
            _, stats, _ = model(**batch())
            assert [n for n in (1, 2) if f"loss_ctc_{n}" in stats] == layers


@pytest.mark.parametrize("encoder", [conformer, branchformer, blstm])
def test_reproduction_predicts_the_input_of_every_encoder(encoder):
    model = model_of(
        encoder=encoder(), reproduction={"weight": 0.5, "features": 8}
    ).eval()
    given = batch()
    loss, stats, _ = model(**given)
    frames, lengths = model.encode_frames(given["speech"], given["speech_lengths"])
    step = model.reproduction.reduction
    assert step == -(-14 // frames.size(1))
    cost = torch.zeros(())
    for b, length in enumerate((14, 9)):
        predicted = model.reproduction.output(frames[b]).view(-1, 8)  # R frames each
        for n in range(length):
            cost = cost + (predicted[n] - given["speech"][b, n]).square().mean() / 2
    torch.testing.assert_close(stats["loss_reproduction"].view(()), cost.detach() / 2)
    expected = main_loss(model, frames, lengths, given) + 0.5 * cost / 2
    torch.testing.assert_close(loss.view(()), expected)
    loss.backward()
    assert model.reproduction.output.weight.grad.abs().sum() > 0
