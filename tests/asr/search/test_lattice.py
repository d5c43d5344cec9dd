"""Lattices against the scores of the search and against all paths."""

import collections
import math

import pytest
import torch

from espnet_ext.asr.search.lattice import Lattice, read_lattices, write_lattices
from espnet_ext.asr.search.time_sync import TimeSyncSearch
from espnet_ext.errors import FormatError
from tests.asr.search.test_time_sync import FRAMES, FULL, alone, toy


def paths(lattice):
    """Symbols and score of every path from the start to a final state."""
    leaving = collections.defaultdict(list)
    for arc in lattice.arcs:
        leaving[arc.start].append(arc)
    waiting = [(0, (), 0.0)]
    while waiting:
        state, symbols, score = waiting.pop()
        if state in lattice.finals:
            yield symbols, score
        for arc in leaving[state]:
            waiting.append((arc.end, (*symbols, arc.symbol), score + arc.score))


def lattice_of(search, am_TR):
    return search.lattices(am_TR.unsqueeze(0), torch.tensor([am_TR.size(0)]))[0]


@pytest.mark.parametrize("recombination", ["none", "sum"])
def test_at_full_beam_the_lattice_has_every_path_with_its_score(recombination):
    decoder, am_TR = toy(1)
    lattice = lattice_of(TimeSyncSearch(decoder, FULL, recombination), am_TR)
    found = dict(paths(lattice))
    every = alone(TimeSyncSearch(decoder, FULL, "none"), am_TR)
    assert set(found) == {tuple(entry.symbols) for entry in every}
    for entry in every:
        assert found[tuple(entry.symbols)] == pytest.approx(entry.score, abs=1e-4)


def test_a_cut_beam_holds_the_result_and_nothing_that_ends_early():
    decoder, am_TR = toy(2)
    search = TimeSyncSearch(decoder, 4)
    lattice = lattice_of(search, am_TR)
    mass = collections.defaultdict(float)
    for symbols, score in paths(lattice):
        assert len(symbols) == FRAMES
        mass[tuple(k for k in symbols if k)] += math.exp(score)
    for entry in alone(search, am_TR):
        assert mass[tuple(entry.labels)] == pytest.approx(math.exp(entry.score), 1e-4)


def test_a_lattice_comes_back_from_its_file(tmp_path):
    decoder, am_TR = toy(0)
    lattices = {
        "utt-1": lattice_of(TimeSyncSearch(decoder, 3), am_TR),
        "utt-2": lattice_of(TimeSyncSearch(decoder, 3), am_TR[:0]),
    }
    write_lattices(tmp_path / "lat.txt", lattices)
    back = read_lattices(tmp_path / "lat.txt")
    assert back["utt-2"] == Lattice([], [0])
    assert back["utt-1"].finals == lattices["utt-1"].finals
    for read, made in zip(back["utt-1"].arcs, sorted(lattices["utt-1"].arcs)):
        assert read[:3] == made[:3]
        assert read.score == pytest.approx(made.score, abs=1e-6)


def test_a_line_that_is_no_arc_is_named(tmp_path):
    (tmp_path / "lat.txt").write_text("utt\n0 1 2\n")
    with pytest.raises(FormatError, match="line 2"):
        read_lattices(tmp_path / "lat.txt")
