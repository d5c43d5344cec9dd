"""Self-attention against loops over heads, queries and keys."""

import itertools
import math

import pytest
import torch

from espnet_ext.asr.encoder.self_attention import (
    AttentionOptions,
    SelfAttention,
    window_mask,
)
from espnet_ext.layers.gradient_scale import distance_factors
from espnet_ext.layers.relative_positions import sinusoid_table

SIZE, HEADS, HEAD = 8, 2, 4


def attention(seed=0, **options):
    torch.manual_seed(seed)
    layer = SelfAttention(SIZE, HEADS, AttentionOptions(**options))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    return layer


def naive(layer, x, length, shaw):
    """Scores and sums written out, one number at a time."""
    table = sinusoid_table(len(x), SIZE)
    out = torch.zeros(len(x), SIZE)
    for h in range(HEADS):
        rows = slice(3 * HEAD * h, 3 * HEAD * (h + 1))
        qkv = x @ layer.qkv.weight[rows].T
        if layer.qkv.bias is not None:
            qkv = qkv + layer.qkv.bias[rows]
        q, k, v = qkv.split(HEAD, dim=1)
        for t in range(len(x)):
            scores = torch.empty(length)
            for s in range(length):
                if shaw:
                    row = layer.position_table[max(min(s - t, 2), -2) + 2]
                    score = q[t] @ k[s] + q[t] @ row
                else:
                    block = slice(HEAD * h, HEAD * (h + 1))
                    p = layer.linear_pos.weight[block] @ table[s - t + len(x) - 1]
                    score = (q[t] + layer.pos_bias_u[h]) @ k[s]
                    score = score + (q[t] + layer.pos_bias_v[h]) @ p
                scores[s] = score / math.sqrt(HEAD)
            out[t, HEAD * h : HEAD * (h + 1)] = scores.softmax(0) @ v[:length]
    return layer.proj(out)


@pytest.mark.parametrize("positions", ["relative", "shaw"])
def test_attention_equals_the_formula(positions):
    shaw = positions == "shaw"
    layer = attention(
        positions=positions, position_clip=2, bias=not shaw, position_rows="all"
    )
    x = torch.randn(2, 5, SIZE)
    y = layer(x, torch.tensor([5, 3]), sinusoid_table(5, SIZE))
    for row, length in enumerate((5, 3)):
        expected = naive(layer, x[row], length, shaw)
        torch.testing.assert_close(y[row], expected, rtol=1e-4, atol=1e-4)


def test_without_lengths_padding_is_attended_to():
    layer, x = attention(), torch.randn(1, 5, SIZE)
    table = sinusoid_table(5, SIZE)
    every = layer(x, None, table)
    torch.testing.assert_close(every, layer(x, torch.tensor([5]), table))
    assert not torch.allclose(every, layer(x, torch.tensor([3]), table))


def loss_of_scores(layer, x, scores_HTT):
    """Sum of squares of the output, from scores that are given."""
    qkv = (x @ layer.qkv.weight.T + layer.qkv.bias).unflatten(1, (HEADS, -1))
    v_HTK = qkv.chunk(3, dim=2)[2].transpose(0, 1)
    y = (scores_HTT.softmax(2) @ v_HTK).transpose(0, 1).flatten(1)
    return layer.proj(y).square().sum()


def score(layer, x, h, t, s):
    """One score by the formula of the original."""
    q, k, _ = (
        (x @ layer.qkv.weight.T + layer.qkv.bias)
        .unflatten(1, (HEADS, -1))[:, h]
        .chunk(3, dim=1)
    )
    own = slice(HEAD * h, HEAD * (h + 1))
    p = (
        layer.linear_pos.weight[own]
        @ sinusoid_table(len(x), SIZE).double()[s - t + len(x) - 1]
    )
    content = (q[t] + layer.pos_bias_u[h]) @ k[s]
    return (content + (q[t] + layer.pos_bias_v[h]) @ p) / math.sqrt(HEAD)


@pytest.mark.parametrize("dropout, reset", [(0.0, 0.0), (0.4, 0.0), (0.4, 0.4)])
def test_scaled_gradients_equal_finite_differences_times_the_factors(dropout, reset):
    """dL/du_h = sum over t, s of factor dL/dscore dscore/du, both by differences
    (attscaledist, attscaledist2); the value is that without scaling."""
    options = {"gradient_decay": 0.3, "gradient_dropout": dropout}
    layer = attention(**options, gradient_reset=reset).double()
    frames, step = 4, 1e-5
    x = torch.randn(frames, SIZE, dtype=torch.float64)
    table = sinusoid_table(frames, SIZE).double()
    torch.manual_seed(7)
    y = layer(x.unsqueeze(0), None, table)
    plain = attention().double()
    assert torch.equal(y, plain(x.unsqueeze(0), None, table))
    y.square().sum().backward()
    torch.manual_seed(7)
    factors = distance_factors(frames, 0.3, dropout, reset).double()
    places = list(itertools.product(range(HEADS), range(frames), range(frames)))
    expected = torch.zeros(HEADS, HEAD, dtype=torch.float64)
    with torch.no_grad():
        scores = torch.empty(HEADS, frames, frames, dtype=torch.float64)
        for place in places:
            scores[place] = score(layer, x, *place)
        for h, t, s in places:
            sides = []
            for sign in (1, -1):
                moved = scores.clone()
                moved[h, t, s] += sign * step
                sides.append(loss_of_scores(layer, x, moved))
            slope = (sides[0] - sides[1]) / (2 * step)
            for i in range(HEAD):
                sides = []
                for change in (step, -2 * step):
                    layer.pos_bias_u[h, i] += change
                    sides.append(score(layer, x, h, t, s))
                layer.pos_bias_u[h, i] += step
                inner = (sides[0] - sides[1]) / (2 * step)
                expected[h, i] += factors[t, s] * slope * inner
    torch.testing.assert_close(layer.pos_bias_u.grad, expected, rtol=1e-5, atol=1e-7)
    assert (factors < 1.0).any()


@pytest.mark.parametrize("positions", ["relative", "shaw"])
def test_the_gradient_within_a_window_equals_finite_differences(positions):
    options = {"positions": positions, "bias": positions != "shaw"}
    layer = attention(window_size=2, window="always", **options).double()
    x = torch.randn(2, 4, SIZE, dtype=torch.float64, requires_grad=True)
    table, lengths = sinusoid_table(4, SIZE).double(), torch.tensor([4, 2])
    assert torch.autograd.gradcheck(lambda v: layer(v, lengths, table), x)


def test_dropout_removes_keys_for_all_queries_heads_and_sequences():
    layer = attention(dropout=0.5)
    seen = []
    layer.dropout.register_forward_hook(lambda _, args, out: seen.append(out))
    layer(torch.randn(2, 40, SIZE), None, sinusoid_table(40, SIZE))
    zero_keys = (seen[0] == 0).all(dim=(0, 1, 2))
    assert torch.equal((seen[0] == 0).any(dim=(0, 1, 2)), zero_keys)
    assert 0 < int(zero_keys.sum()) < 40


def test_window_lets_each_query_see_that_many_keys():
    assert window_mask(5, 3).int().tolist() == [
        [0, 0, 1, 1, 1],
        [0, 0, 0, 1, 1],
        [1, 0, 0, 0, 1],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
    ]
    assert int((~window_mask(50, 10)[25]).sum()) == 10


def test_the_ineffective_window_sees_everything_and_the_others_do_not():
    x, lengths = torch.randn(1, 9, SIZE), torch.tensor([9])
    table = sinusoid_table(9, SIZE)

    def output(training, **options):
        layer = attention(**options).train(training)
        return layer(x, lengths, table)

    plain = output(True)
    assert torch.equal(output(True, window_size=3), plain)
    in_training = dict(window_size=3, window="training")
    assert not torch.allclose(output(True, **in_training), plain)
    assert torch.equal(output(False, **in_training), output(False))
    always = dict(window_size=3, window="always")
    assert torch.equal(output(False, **always), output(True, **in_training))
    assert torch.equal(output(True, window_size=40, window="always"), plain)


def test_queries_beyond_the_end_stay_finite_with_a_window():
    layer = attention(window_size=2, window="always")
    y = layer(torch.randn(2, 9, SIZE), torch.tensor([9, 1]), sinusoid_table(9, SIZE))
    assert torch.isfinite(y).all()


def test_growing_heads_by_head_or_by_block_use_different_rows():
    for parts, rows in (("blocks", [0, 1, 2, 3, 8, 9]), ("heads", [0, 1, 4, 5, 8, 9])):
        layer = attention(growth_parts=parts)
        sizes = {"model": 4, "head": 2}
        index = layer.qkv.used_index("weight", sizes)[0].flatten().tolist()
        assert index[:6] == rows


@pytest.mark.parametrize(
    "options, message",
    [
        ({"positions": "absolute"}, "positions 'absolute'"),
        ({"window": "never"}, "attention_window 'never'"),
        ({"window_size": 0}, "attention_window_size 0"),
        ({"position_rows": "some"}, "position_rows 'some'"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        attention(**options)


def test_a_size_that_no_head_divides_is_named():
    with pytest.raises(ValueError, match="not a multiple of 3 heads"):
        SelfAttention(8, 3, AttentionOptions())
