"""Bits of a result do not depend on what else is in the batch."""

import pytest
import torch

from espnet_ext.asr.decoder.stateless_transducer import StatelessTransducerDecoder
from espnet_ext.asr.search.greedy import greedy_search
from espnet_ext.asr.search.products import RowProduct
from espnet_ext.asr.search.rnnt import RnntSearch, rnnt_greedy
from espnet_ext.asr.search.time_sync import TimeSyncSearch
from tests.asr.tiny import tiny_decoder

LENGTHS = [12, 3, 0, 9, 12, 1]
TOKENS = ["<blank>", "a", "b@@", "ab", "a@@", "b", "<sos/eos>"]
SEARCHES = {
    "sum": {},
    "max": {"recombination": "max"},
    "none": {"recombination": "none", "bos": "skip"},
    "text": {
        "recombine_by": "text",
        "token_list": TOKENS,
        "length_normalization": True,
    },
}
DECODERS = {
    "LSTM": {},
    "zoneout": {"zoneout": {"cell": 0.15, "output": 0.05}},
    "stateless": {"kind": StatelessTransducerDecoder},
    "one softmax": {"joint": {"emission": "softmax"}},
}


def batch_of(decoder, seed=0):
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randn(len(LENGTHS), max(LENGTHS), 6, generator=generator)
    am = decoder.joint_network.project_frames(frames).detach()
    return am, torch.tensor(LENGTHS)


def one_by_one(search, am, lengths):
    """Each sequence alone, once without padding and once before frames of noise."""
    for row, length in enumerate(lengths.tolist()):
        own = am[row : row + 1, :length]
        yield row, search(own, lengths[row : row + 1])[0]
        noise = torch.full((1, 4, am.size(2)), 1e4)
        yield row, search(torch.cat([own, noise], dim=1), lengths[row : row + 1])[0]


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("beam", [1, 5])
@pytest.mark.parametrize("kind", DECODERS)
def test_batched_beam_search_equals_one_by_one_bit_for_bit(name, beam, kind):
    decoder = tiny_decoder(7, seed=beam, **DECODERS[kind])
    am, lengths = batch_of(decoder)
    search = TimeSyncSearch(decoder, beam, **SEARCHES[name])
    together = search(am, lengths)
    for row, result in one_by_one(search, am, lengths):
        assert result == together[row]


@pytest.mark.parametrize(
    "search",
    [
        lambda decoder: RnntSearch(decoder, 4),
        lambda decoder: lambda *x: greedy_search(decoder, *x),
        lambda decoder: lambda *x: rnnt_greedy(decoder, *x),
    ],
    ids=["rnnt", "greedy", "rnnt greedy"],
)
@pytest.mark.parametrize("kind", DECODERS)
def test_other_batched_searches_equal_one_by_one_bit_for_bit(search, kind):
    decoder = tiny_decoder(7, seed=2, **DECODERS[kind])
    am, lengths = batch_of(decoder)
    together = search(decoder)(am, lengths)
    for row, result in one_by_one(search(decoder), am, lengths):
        assert result == together[row]


@pytest.mark.parametrize("kind", ["LSTM", "stateless"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_decoder_of_real_size_has_the_same_bits_in_any_batch(threads, kind):
    sizes = {"encoder_size": 6, "joint": {"readout_size": 602}}
    decoder = tiny_decoder(501, seed=1, spread=1.0, **sizes, **DECODERS[kind])
    with torch.no_grad():
        decoder.joint_network.label_output.weight.mul_(8.0)
    am, lengths = batch_of(decoder)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        search = TimeSyncSearch(decoder, 12)
        together = search(am, lengths)
        for row, result in one_by_one(search, am, lengths):
            assert result == together[row]
    finally:
        torch.set_num_threads(before)


def test_the_original_s_extra_step_depends_on_the_batch():
    """So it is off unless asked for."""
    decoder = tiny_decoder(7, seed=2)
    am, lengths = batch_of(decoder)
    search = TimeSyncSearch(decoder, 4, padded_step=True)
    together = search(am, lengths)
    assert len(together[1][0].symbols) == LENGTHS[1] + 1
    assert len(together[0][0].symbols) == LENGTHS[0]
    assert search(am[1:2, :3], lengths[1:2])[0] != together[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(5, 3), (64, 130), (512, 1031)])
def test_rows_of_a_product_have_the_same_bits_wherever_they_are(dtype, shape):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape[1], shape[0], generator=generator, dtype=dtype)
    x = torch.randn(300, shape[0], generator=generator, dtype=dtype)
    product = RowProduct(weight, weight[:, 0])
    whole = product(x)
    exact = x.double() @ weight.double().t() + weight[:, 0].double()
    torch.testing.assert_close(whole.double(), exact, atol=2e-4, rtol=1e-5)
    for first, count in ((0, 1), (7, 2), (31, 12), (3, 16), (40, 257), (299, 1)):
        assert torch.equal(product(x[first : first + count]), whole[first:][:count])


def test_a_product_without_packed_weights_has_the_same_bits_too(monkeypatch):
    monkeypatch.setattr("espnet_ext.asr.search.products._packed", lambda _: None)
    monkeypatch.setattr(
        "espnet_ext.asr.search.products.rows_are_independent", lambda *_: False
    )
    test_rows_of_a_product_have_the_same_bits_wherever_they_are(
        torch.float32, (64, 130)
    )


def test_a_change_of_weights_is_seen_by_the_next_search():
    decoder = tiny_decoder(7, seed=3)
    am, lengths = batch_of(decoder)
    before = TimeSyncSearch(decoder, 3)(am, lengths)
    with torch.no_grad():
        decoder.lstm.weight_hh.mul_(-2.0)
    assert TimeSyncSearch(decoder, 3)(am, lengths) != before


@pytest.mark.parametrize("name", SEARCHES)
def test_frames_in_fixed_memory_give_the_same_bits(name):
    """What a GPU captures as a graph, run without one."""
    decoder = tiny_decoder(7, seed=4)
    am, lengths = batch_of(decoder)
    plain = TimeSyncSearch(decoder, 5, **SEARCHES[name])(am, lengths)
    fixed = TimeSyncSearch(decoder, 5, captured=True, **SEARCHES[name])
    assert fixed(am, lengths) == plain


def test_all_rows_stepped_as_on_a_gpu_give_the_same_bits(monkeypatch):
    from espnet_ext.asr.search import interface

    decoder = tiny_decoder(7, seed=4)
    am, lengths = batch_of(decoder)
    plain = TimeSyncSearch(decoder, 5)(am, lengths)
    monkeypatch.setattr(interface, "steps_only_what_emits", lambda _: False)
    assert TimeSyncSearch(decoder, 5, captured=True)(am, lengths) == plain
