"""Named random streams: independent of each other, restored, attached by name."""

import random
from typing import Optional

import numpy
import pytest
import torch

from espnet_ext.streams import (
    STREAMS,
    Streams,
    attach,
    on_device,
    utterance_generator,
)


def draw(streams, name):
    return torch.rand(3, generator=streams.generator(name)).tolist()


def test_the_same_seed_gives_the_same_numbers_in_every_stream():
    first = {name: draw(Streams(7), name) for name in STREAMS}
    second = {name: draw(Streams(7), name) for name in STREAMS}
    assert first == second


def test_streams_differ_from_each_other_and_between_seeds():
    drawn = [tuple(draw(Streams(seed), name)) for seed in (1, 2) for name in STREAMS]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("name", STREAMS)
def test_ranks_share_only_the_order_of_the_data_and_the_first_parameters(name):
    same = draw(Streams(1, rank=0), name) == draw(Streams(1, rank=1), name)
    assert same == (name in ("init", "data"))


def test_drawing_from_one_stream_leaves_the_others_alone():
    streams = Streams(3)
    draw(streams, "noise")
    drawn = draw(streams, "augment")
    assert drawn == draw(Streams(3), "augment")


def test_a_restored_stream_goes_on_where_it_was():
    streams = Streams(5)
    for name in STREAMS:
        draw(streams, name)
    state = streams.state_dict()
    expected = {name: draw(streams, name) for name in STREAMS}
    other = Streams(99)
    other.load_state_dict(state)
    assert {name: draw(other, name) for name in STREAMS} == expected


def test_torch_layers_draw_from_the_dropout_stream():
    dropout = torch.nn.Dropout(0.5)
    streams = Streams(1)
    state = streams.state_dict()
    first = dropout(torch.ones(20))
    streams.load_state_dict(state)
    assert torch.equal(first, dropout(torch.ones(20)))


def test_attach_reaches_modules_inside_of_others():
    class Noisy(torch.nn.Module):
        random_stream = "noise"
        generator: Optional[torch.Generator] = None

    model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Sequential(Noisy()))
    streams = Streams(1)
    attach(model, streams)
    assert model[1][0].generator is streams.generator("noise")


def test_an_utterance_draws_by_seed_epoch_name_and_purpose_alone():
    def draws(*key):
        return utterance_generator(*key).random(2).tolist()

    key = (1, 2, "sw02001-A", "speed")
    assert draws(*key) == draws(*key)
    others = [(0, *key[1:]), (1, 3, *key[2:]), (1, 2, "x", "speed"), (*key[:3], "bpe")]
    assert all(draws(*other) != draws(*key) for other in others)


def test_the_generators_of_other_peoples_code_are_seeded_and_restored():
    streams = Streams(4)
    state = streams.state_dict()
    drawn = random.random(), numpy.random.rand()
    Streams(5)
    assert (random.random(), numpy.random.rand()) != drawn
    streams.load_state_dict(state)
    assert (random.random(), numpy.random.rand()) == drawn


def test_a_stream_serves_other_devices_by_seeding_a_generator_of_theirs(monkeypatch):
    twins = [torch.Generator().manual_seed(1) for _ in range(2)]
    assert on_device(None, "cpu") is None and on_device(twins[0], "cpu") is twins[0]
    made = torch.Generator
    # where there is no GPU: a generator of the CPU stands in for one of it
    monkeypatch.setattr(torch, "Generator", lambda device: made())
    seeds = [[on_device(t, "cuda").initial_seed() for _ in range(2)] for t in twins]
    assert seeds[0] == seeds[1] and seeds[0][0] != seeds[0][1]
