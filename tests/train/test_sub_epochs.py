"""Batches of sub-epochs: the same for any workers, ranks together, resumed."""

import numpy
import pytest
import torch
from espnet2.train.collate_fn import CommonCollateFn

from espnet_ext.errors import OptionError
from espnet_ext.streams import utterance_generator
from espnet_ext.train.corpus_lengths import CorpusLengths
from espnet_ext.train.regime import BatchSize, parse_regime
from espnet_ext.train.sub_epochs import EpochTeller, Share, SubEpochs

ORIGINAL = {
    "segment_order": "shuffled_sorted_in_chunks",
    "segments_per_chunk": 12,
    "sub_epochs_per_epoch": 3,
    "max_sequences": 4,
}


def corpus(count=40, seed=0):
    random = numpy.random.RandomState(seed)
    frames = random.randint(5, 30, count)
    labels = random.randint(1, 12, count)
    ids = tuple(f"u{n:02d}" for n in range(count))
    return CorpusLengths(ids, frames * 80, frames, labels)


class Noisy:
    """Draws as our preprocessors do: from (seed, sub-epoch, utterance)."""

    def set_epoch(self, seed, epoch):
        self.drawn_from = seed, epoch

    def __call__(self, name):
        return utterance_generator(*self.drawn_from, name, "test").random()


class Utterances:
    """A dataset that remembers what was loaded."""

    def __init__(self, lengths):
        self.frames = dict(zip(lengths.ids, lengths.frames))
        labels = [0] * len(lengths) if lengths.labels is None else lengths.labels
        self.labels = dict(zip(lengths.ids, labels))
        self.preprocess = Noisy()
        self.loaded = []

    def __getitem__(self, name):
        self.loaded.append(name)
        speech = numpy.full(self.frames[name], self.preprocess(name))
        return name, {"speech": speech, "text": numpy.arange(self.labels[name])}


def factory(options=None, lengths=None, frames=60, **others):
    lengths = lengths or corpus()
    return SubEpochs(
        dataset=Utterances(lengths),
        corpus=lengths,
        regime=parse_regime(ORIGINAL if options is None else options),
        usual=BatchSize(1, frames, 2),
        collate_fn=CommonCollateFn(int_pad_value=-1),
        **others,
    )


def content(iterator):
    return [(ids, {k: v.tolist() for k, v in data.items()}) for ids, data in iterator]


def names_of(batches):
    return [name for batch in batches for name in batch]


def test_sub_epochs_of_an_epoch_hold_every_utterance_once():
    made = factory(seed=5)
    names = [name for epoch in (4, 5, 6) for name in names_of(made.batches(epoch))]
    assert sorted(names) == list(corpus().ids)
    assert made.batches(4) != made.batches(1)


def test_limits_hold_for_every_batch_and_lengths_rise_within_a_chunk():
    lengths = corpus()
    frames = dict(zip(lengths.ids, lengths.frames))
    for epoch in range(1, 4):
        batches = factory().batches(epoch)
        for batch in batches:
            longest = max(frames[name] for name in batch)
            assert len(batch) <= 4 and longest * len(batch) <= 60 or len(batch) == 1
        ordered = [frames[name] for name in names_of(batches)]
        for begin in range(0, len(ordered), 12 // 3):
            assert ordered[begin : begin + 4] == sorted(ordered[begin : begin + 4])


def test_too_many_labels_are_left_out_after_the_utterances_were_dealt_out():
    lengths = corpus()
    few = factory({**ORIGINAL, "max_labels": 6})
    labels = dict(zip(lengths.ids, lengths.labels))
    for epoch in (1, 2, 3):
        kept = [n for n in names_of(factory().batches(epoch)) if labels[n] <= 6]
        assert names_of(few.batches(epoch)) == kept


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_0_1_and_4_workers_give_the_same_batches():
    expected = content(factory(seed=3).build_iter(2))
    for workers in (1, 4):
        made = factory(seed=3, num_workers=workers)
        assert content(made.build_iter(2)) == expected
    assert len({batch["speech"][0][0] for _, batch in expected}) == len(expected)


def test_a_resumed_sub_epoch_gives_the_rest_and_loads_nothing_else():
    whole = content(factory().build_iter(3))
    made = factory()
    rest = content(made.build_iter(3, start_batch=2))
    assert rest == whole[2:]
    assert made.dataset.loaded == [name for ids, _ in rest for name in ids]
    assert content(made.build_iter(3, start_batch=len(whole))) == []


def test_loading_draws_nothing_from_the_default_generator():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    content(factory().build_iter(1))
    assert torch.equal(torch.rand(3), expected)


def test_what_an_utterance_draws_depends_on_seed_and_sub_epoch():
    def drawn(seed, epoch):
        made = factory({"max_sequences": 4}, seed=seed)
        return {
            ids[n]: batch["speech"][n][0]
            for ids, batch in content(made.build_iter(epoch))
            for n in range(len(ids))
        }

    assert drawn(1, 1) == drawn(1, 1)
    for other in (drawn(1, 2), drawn(2, 1)):
        assert all(other[name] != value for name, value in drawn(1, 1).items())


@pytest.mark.parametrize("options", [ORIGINAL, {"sub_epochs_per_epoch": 2}])
def test_two_ranks_together_have_the_batches_of_one_process(options):
    one = factory(options, frames=200).batches(1)
    ranks = [factory(options, frames=200, share=Share(r, 2)).batches(1) for r in (0, 1)]
    assert all(len(batch) >= 2 for batch in one)  # so none had to be joined
    together = [sorted(first + second) for first, second in zip(*ranks)]
    assert together == [sorted(batch) for batch in one]


def test_ranks_have_equally_many_batches_even_with_single_utterances():
    alone = factory({"max_sequences": 1}).batches(1)
    assert {len(batch) for batch in alone} == {1}
    ranks = [factory({"max_sequences": 1}, share=Share(r, 3)) for r in range(3)]
    made = [rank.batches(1) for rank in ranks]
    assert len({len(batches) for batches in made}) == 1
    assert sorted(n for b in made for n in names_of(b)) == list(corpus().ids)


def test_shuffled_per_process_each_has_all_data_in_its_own_order():
    made = [
        factory({"segment_order": ORIGINAL["segment_order"]}, share=Share(order=n))
        for n in range(3)
    ]
    orders = [names_of(one.batches(1)) for one in made]
    assert all(sorted(order) == list(corpus().ids) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_the_order_of_espnet_shuffles_batches_of_neighbours_in_length():
    lengths = corpus()
    made = factory({"max_sequences": 4, "sub_epochs_per_epoch": 2})
    both = [made.batches(1), made.batches(2)]
    assert sorted(names_of(both[0]) + names_of(both[1])) == list(lengths.ids)
    frames = dict(zip(lengths.ids, lengths.frames))
    rank = {n: i for i, n in enumerate(sorted(lengths.ids, key=frames.get))}
    for batch in both[0] + both[1]:
        places = [rank[name] for name in batch]
        assert places == list(range(places[0], places[0] + len(batch)))
    begins = [rank[batch[0]] for batch in both[0]]
    assert begins != sorted(begins)


def schedule(**more):
    entries = [
        {"from_epoch": 1, "max_frames": 120, "accum_grad": 1},
        {"from_epoch": 3, "max_frames": 60, "accum_grad": 4},
    ]
    return {**ORIGINAL, "batch_schedule": entries, **more}


def test_batch_size_and_accumulation_follow_the_schedule():
    made = factory(schedule())
    assert [made.accum_grad(epoch) for epoch in (1, 2, 3, 9)] == [1, 1, 4, 4]
    assert len(made.batches(2)) < len(made.batches(3))
    assert factory().accum_grad(7) == 2  # without schedule: accum_grad of ESPnet


def test_validation_is_sorted_whole_and_the_same_every_time():
    lengths = corpus()
    made = factory({**schedule(), "max_labels": 9}, train=False)
    frames = dict(zip(lengths.ids, lengths.frames))
    names = names_of(made.batches(3))
    allowed = [n for n, count in zip(lengths.ids, lengths.labels) if count <= 9]
    assert names == sorted(allowed, key=frames.get)
    assert made.batches(3) == made.batches(4)
    assert len(made.batches(1)) < len(made.batches(3))
    only = factory(schedule(batch_schedule_only_training=True), train=False)
    assert only.batches(1) == only.batches(3)


def test_joined_utterances_hold_the_data_of_both_and_count_as_one():
    options = {**ORIGINAL, "concatenation": {"probability": 0.5, "sequences": 2}}
    made = factory(options, frames=100)
    plain = factory().dataset
    plain.preprocess.set_epoch(0, 2)
    alone, joined = 0, 0
    for ids, batch in made.build_iter(2):
        assert len(ids) <= 4
        for row, name in enumerate(ids):
            parts = [plain[part][1] for part in name.split("+")]
            speech = numpy.concatenate([part["speech"] for part in parts])
            text = numpy.concatenate([part["text"] for part in parts])
            assert batch["speech_lengths"][row] == len(speech)
            assert numpy.allclose(batch["speech"][row, : len(speech)], speech)
            assert batch["text"][row, : len(text)].tolist() == text.tolist()
            alone, joined = alone + (len(parts) == 1), joined + (len(parts) == 2)
        assert batch["speech"].shape[1] * len(ids) <= 100 or len(ids) == 1
    assert alone and joined
    names = [part for n in names_of(made.batches(2)) for part in _parts(n)]
    assert sorted(names) == sorted(names_of(factory().batches(2)))


def _parts(name):
    return (name,) if isinstance(name, str) else name


def test_a_concatenation_probability_of_zero_equals_none():
    options = {**ORIGINAL, "concatenation": {"probability": 0.0}}
    assert factory(options).batches(1) == factory().batches(1)


@pytest.mark.parametrize(
    "options, frames, message",
    [
        ({**ORIGINAL, "max_labels": 0}, 60, "positive whole number"),
        ({"max_sequences": 2}, 4, "batches of 4 frames .10 ms. cannot hold"),
        (schedule(batch_schedule=[{"from_epoch": 1, "max_frames": 3}]), 60, "hold one"),
        ({"sub_epochs_per_epoch": 50}, 60, "sub-epoch 50 has no utterance"),
        ({"concatenation": {"probability": 2}}, 60, "probability from 0 to 1"),
    ],
)
def test_impossible_regimes_are_explained(options, frames, message):
    with pytest.raises(OptionError, match=message):
        factory(options, frames=frames).batches(50)


def test_no_utterance_short_enough_is_explained():
    lengths = corpus()
    lengths.labels[:] += 100
    with pytest.raises(OptionError, match="all 40 utterances have more than 75 labels"):
        factory({**ORIGINAL, "max_labels": 75}, lengths)
    without = CorpusLengths(lengths.ids, lengths.duration, lengths.frames)
    with pytest.raises(OptionError, match="needs the lengths of the texts"):
        factory({**ORIGINAL, "max_labels": 75}, without)


def test_espnets_own_factory_tells_the_preprocessor_its_epoch():
    class Stock:
        dataset = Utterances(corpus())

        def build_iter(self, epoch, shuffle=None):
            return epoch, shuffle

    assert EpochTeller(Stock(), 7).build_iter(3, shuffle=False) == (3, False)
    assert Stock.dataset.preprocess.drawn_from == (7, 3)


def test_batches_of_the_originals_size_are_nearly_free_of_padding():
    """37,842 utterances of 4.47 s in batches of 100 s: 1,692 without any padding."""
    random = numpy.random.RandomState(0)
    count = 227_047
    frames = random.gamma((447 / 350) ** 2, 350**2 / 447, count).clip(15, 2103)
    frames = frames.astype(int)
    ids = tuple(map(str, range(count)))
    regime = {**ORIGINAL, "segments_per_chunk": 6000, "sub_epochs_per_epoch": 6}
    made = SubEpochs(
        None,
        CorpusLengths(ids, frames, frames),
        parse_regime({**regime, "max_sequences": 200}),
        BatchSize(1, 10_000),
    )
    batches = made.batches(1)
    least = sum(frames[int(name)] for name in names_of(batches)) / 10_000
    assert len(names_of(batches)) == 37_842
    assert least < len(batches) < 1.12 * least
    # reference/parts.md 4: a batch has about 20 to 30 sequences
    assert 20 <= 37_842 / len(batches) <= 30


def test_utterances_without_a_frame_are_left_out_by_name(caplog):
    lengths = corpus()
    lengths.frames[:2] = 0
    made = factory({"max_sequences": 4}, lengths)
    assert (
        "2 utterances are too short for one frame and left out: u00 u01" in caplog.text
    )
    assert sorted(names_of(made.batches(1))) == list(lengths.ids[2:])
    lengths.frames[:] = 0
    with pytest.raises(OptionError, match="no utterance has a frame"):
        factory({"max_sequences": 4}, lengths)
