"""Recombination by text, against joining the texts of all hypotheses."""

import itertools
import math

import pytest
import torch

from espnet_ext.asr.search.recombination import log_add, merge_groups
from espnet_ext.asr.search.surface import SurfaceKeys, extend_keys
from espnet_ext.asr.search.time_sync import TimeSyncSearch
from tests.asr.search.test_time_sync import FRAMES, FULL, alone, toy

PIECES = ["<blank>", "a@@", "a", "aa", "b", "aa@@"]
TOKENS = ["<blank>", "a@@", "a", "aa"]  # VOCABULARY of the toy


def spelled(labels, tokens):
    """The text with what follows it: ``a@@`` and ``a`` differ."""
    if not labels:
        return ""
    return (" ".join(tokens[k] for k in labels) + " ").replace("@@ ", "")


def test_keys_are_equal_exactly_where_texts_are():
    keys = SurfaceKeys(PIECES)
    found = {}
    for length in range(5):
        for labels in itertools.product(range(1, len(PIECES)), repeat=length):
            key = torch.zeros(1, dtype=torch.long)
            for label in labels:
                key = keys.extend(key, torch.tensor([label]))
            found.setdefault(int(key), set()).add(spelled(labels, PIECES))
    assert all(len(texts) == 1 for texts in found.values())
    texts = [next(iter(x)) for x in found.values()]
    assert len(set(texts)) == len(texts)
    assert len(texts) < sum(5**n for n in range(5))  # some were merged


def test_blank_adds_nothing_to_a_text():
    keys = SurfaceKeys(PIECES)
    before = torch.tensor([12345])
    assert torch.equal(keys.extend(before, torch.tensor([0])), before)


def test_keys_of_label_sequences_are_all_different():
    seen = set()
    for length in range(6):
        for labels in itertools.product(range(1, 6), repeat=length):
            key = torch.zeros(1, dtype=torch.long)
            for label in labels:
                key = extend_keys(key, torch.tensor([label]))
            seen.add(int(key))
    assert len(seen) == sum(5**n for n in range(6))


@pytest.mark.parametrize("rule", ["sum", "max"])
def test_groups_keep_their_best_entry_with_the_score_of_all(rule):
    keys = torch.tensor([[5, 7, 5, 5, 7, 9]])
    scores = torch.tensor([[-3.0, -1.0, -2.0, -math.inf, -1.0, -4.0]]).double()
    merged = merge_groups(keys, scores, rule)[0].tolist()
    five = -2.0 + math.log1p(math.exp(-1.0)) if rule == "sum" else -2.0
    seven = -1.0 + math.log(2.0) if rule == "sum" else -1.0
    expected = [-math.inf, seven, five, -math.inf, -math.inf, -4.0]
    assert merged == pytest.approx(expected)


def test_log_add_is_that_of_torch_at_infinities_too():
    values = torch.tensor([-math.inf, -800.0, -1.0, 0.0, 3.0]).double()
    a, b = torch.meshgrid(values, values, indexing="ij")
    torch.testing.assert_close(log_add(a, b), torch.logaddexp(a, b))


@pytest.mark.parametrize("seed", range(3))
def test_full_beam_by_text_gives_the_mass_of_every_text(seed):
    """Every path of a text is in the full beam; merged ones go on with one state.

    The state of the best of a group goes on, so later frames are exact only where the
    state does not matter: with a decoder that does not listen to labels.
    """
    decoder, am_TR = toy(seed)
    with torch.no_grad():
        decoder.joint_network.readout_lm.weight.zero_()
    plain = alone(TimeSyncSearch(decoder, FULL, recombination="none"), am_TR)
    mass = {}
    for entry in plain:
        text = spelled(entry.labels, TOKENS)
        mass[text] = mass.get(text, 0.0) + math.exp(entry.score)
    search = TimeSyncSearch(decoder, FULL, recombine_by="text", token_list=TOKENS)
    entries = alone(search, am_TR)
    assert len(entries) == len(mass)
    for entry in entries:
        expected = math.log(mass[spelled(entry.labels, TOKENS)])
        assert entry.score == pytest.approx(expected, abs=1e-4)
        assert len(entry.symbols) == FRAMES


def test_scores_are_divided_by_the_number_of_frames():
    decoder, am_TR = toy(1)
    plain = alone(TimeSyncSearch(decoder, 4), am_TR)
    divided = alone(TimeSyncSearch(decoder, 4, length_normalization=True), am_TR)
    assert [e.labels for e in divided] == [e.labels for e in plain]
    assert [e.score * FRAMES for e in divided] == pytest.approx(
        [e.score for e in plain]
    )
