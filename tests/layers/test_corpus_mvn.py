"""Normalisation by corpus: against its formula, ESPnet's global_mvn, and per model."""

import numpy as np
import pytest
import torch
from espnet2.layers.global_mvn import GlobalMVN

from espnet_ext.corpus_ids import Corpora
from espnet_ext.corpus_statistics import CorpusStatistics
from espnet_ext.errors import OptionError
from espnet_ext.layers.corpus_mvn import (
    CorpusMVN,
    choose_corpus,
    follow_utterances,
    utterances_are,
)
from tests.asr.tiny import tiny_batch, tiny_model

FEATURES = 8
MEANS, DEVIATIONS = (1.0, -2.0), (2.0, 0.5)


def layer(folder, corpora="a=a- b=b-", **options):
    """Corpus n has mean MEANS[n] and standard deviation DEVIATIONS[n]."""
    names = Corpora.parse(corpora)
    rows = len(names.names)
    mean = np.repeat(np.array(MEANS[:rows])[:, None], FEATURES, 1)
    square = mean**2 + np.array(DEVIATIONS[:rows])[:, None] ** 2
    statistics = CorpusStatistics(names, np.full(rows, 10.0), 10 * mean, 10 * square)
    statistics.write(folder / "corpus_stats.npz")
    return CorpusMVN(folder / "corpus_stats.npz", **options)


def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 5, FEATURES, generator=generator), torch.tensor([5, 3, 4])


class Holder(torch.nn.Module):
    def __init__(self, normalize):
        super().__init__()
        self.normalize = normalize

    def forward(self, x, lengths, **kwargs):
        return self.normalize(x, lengths)[0]


def test_each_utterance_has_the_statistics_of_its_corpus_and_padding_is_zero(tmp_path):
    normalize = layer(tmp_path)
    x, lengths = batch()
    with utterances_are(Holder(normalize), ["b-1", "a-1", "sp0.9-b-1"]):
        y, same = normalize(x, lengths)
    assert torch.equal(same, lengths)
    for row, corpus in enumerate((1, 0, 1)):
        length = int(lengths[row])
        expected = (x[row, :length] - MEANS[corpus]) / DEVIATIONS[corpus]
        torch.testing.assert_close(y[row, :length], expected)
        assert (y[row, length:] == 0).all()


def test_one_corpus_is_global_mvn_bit_for_bit(tmp_path):
    normalize, (x, lengths) = layer(tmp_path, "all="), batch()
    statistics = CorpusStatistics.read(tmp_path / "corpus_stats.npz")
    np.savez(
        tmp_path / "feats_stats.npz",
        count=statistics.count_N[0],
        sum=statistics.sum_NF[0],
        sum_square=statistics.sum_square_NF[0],
    )
    stock = GlobalMVN(tmp_path / "feats_stats.npz")
    assert torch.equal(normalize(x, lengths)[0], stock(x.clone(), lengths)[0])


def test_means_and_variances_can_be_left_out(tmp_path):
    x, lengths = batch()
    lengths[:] = 5
    neither = layer(tmp_path, norm_means=False, norm_vars=False).eval()
    assert torch.equal(neither(x, lengths)[0], x)
    means = layer(tmp_path, norm_vars=False).eval()
    torch.testing.assert_close(means(x, lengths)[0], x - MEANS[0])


def test_utterances_without_id_are_of_the_first_corpus_or_the_chosen_one(tmp_path):
    model, (x, lengths) = Holder(layer(tmp_path)).eval(), batch()
    first = model(x, lengths)
    with utterances_are(model, ["a-1"] * 3):
        assert torch.equal(model(x, lengths), first)
    choose_corpus(model, "b")
    with utterances_are(model, ["a-1"] * 3):
        chosen = model(x, lengths)
    torch.testing.assert_close(chosen[0], (x[0] - MEANS[1]) / DEVIATIONS[1])
    with pytest.raises(OptionError, match="knows no corpus 'c'"):
        choose_corpus(model, "c")
    with pytest.raises(OptionError, match="does not normalise by corpus"):
        choose_corpus(Holder(None), "a")


def test_training_must_tell_ids_and_an_unknown_one_is_named(tmp_path):
    model, (x, lengths) = Holder(layer(tmp_path)), batch()
    follow_utterances(model)
    with pytest.raises(OptionError, match="has not told the ids"):
        model(x, lengths)
    with pytest.raises(OptionError, match="c-1 belongs to no corpus"):
        model(x, lengths, utt_id=["c-1", "a-1", "a-1"])
    assert model.normalize.present is None  # also after an error
    model(x, lengths, utt_id=["b-1", "a-1", "a-1"])
    assert model.normalize.present is None


def test_the_loss_of_a_model_is_that_of_features_normalised_before(tmp_path):
    normalize = layer(tmp_path)
    plain, given = tiny_model().eval(), tiny_batch()
    model = tiny_model().eval()
    model.normalize = normalize
    follow_utterances(model)
    given["utt_id"] = ["b-1", "a-1"]
    loss = model(**given)[0]
    with utterances_are(model, given["utt_id"]):
        speech, _ = normalize(given["speech"], given["speech_lengths"])
    torch.testing.assert_close(plain(**{**given, "speech": speech})[0], loss)
    swapped = model(**{**given, "utt_id": ["a-1", "b-1"]})[0]
    assert not torch.allclose(swapped, loss)


def test_statistics_are_part_of_the_checkpoint(tmp_path):
    state = layer(tmp_path).state_dict()
    assert sorted(state) == ["mean_NF", "std_NF"]
    other = layer(tmp_path)
    other.mean_NF.zero_()
    other.load_state_dict(state)
    torch.testing.assert_close(other.mean_NF[:, 0], torch.tensor(MEANS))
