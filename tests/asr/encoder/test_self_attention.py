"""Self-attention against loops over heads, queries and keys."""

import math

import pytest
import torch

from espnet_ext.asr.encoder.self_attention import (
    AttentionOptions,
    SelfAttention,
    window_mask,
)
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


def test_gradient_decay_leaves_the_value_alone_and_changes_the_gradient():
    x = torch.randn(1, 5, SIZE)
    table = sinusoid_table(5, SIZE)
    results = []
    for decay in (0.0, 0.1):
        layer = attention(gradient_decay=decay)
        y = layer(x, None, table)
        y.square().sum().backward()
        results.append((y, layer.qkv.weight.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert not torch.allclose(results[0][1], results[1][1])


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
