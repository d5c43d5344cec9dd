"""Whole models: every output aligns, failures are named, batches change nothing."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from espnet_ext.alignment.aligner import ALL_METHODS
from espnet_ext.alignment.batches import batches
from espnet_ext.alignment.outputs import get_output, outputs_of
from espnet_ext.alignment.prior import PriorSum, load_log_prior
from espnet_ext.alignment.run import Aligner, add_prior, align_all
from espnet_ext.alignment.store import (
    AlignmentInfo,
    merge_sets,
    read_set,
    write_set,
)
from espnet_ext.asr.loss import full_sum_loss
from espnet_ext.errors import FormatError, MissingInputError, OptionError
from tests.alignment.cases import same
from tests.asr.tiny import tiny_model

# even, because pooling by two takes a padded frame into the last window of odd ones
LENGTHS = {"a": 22, "b": 16, "c": 30, "d": 10}


def data(labels=None):
    generator = np.random.default_rng(3)
    return {
        key: {
            "speech": generator.standard_normal((frames, 8), dtype=np.float32),
            "text": np.array((labels or {}).get(key, [1, 2, 2])),
        }
        for key, frames in LENGTHS.items()
    }


def aligner_of(model, output="auto", method="exact", topology=None, prior=None):
    chosen = get_output(model.eval(), output)
    tokens = tuple(model.token_list)
    name = topology or chosen.topology
    info = AlignmentInfo(name, tokens, 0.02, method=method, output=chosen.name)
    return Aligner(chosen, info, prior)


def test_the_score_of_a_transducer_alignment_is_that_of_its_log_probabilities():
    """The joint's own full distribution, walked along the path one frame at a time."""
    model = tiny_model().eval()
    load = data().__getitem__
    made = align_all(aligner_of(model), LENGTHS, load, batch_samples=1)
    assert list(made.aligned) == list(LENGTHS) and not made.failed
    for key, entry in made.aligned.items():
        speech = torch.from_numpy(data()[key]["speech"])[None]
        am, lengths = model.encode(speech, torch.tensor([len(speech[0])]))
        labels = torch.from_numpy(data()[key]["text"])[None]
        lm = model.decoder(F.pad(labels, (1, 0)))
        table = model.joint_network(am.unsqueeze(2), lm.unsqueeze(1))[0]
        score, position = 0.0, 0
        for t, symbol in enumerate(entry.symbols.tolist()):
            score += float(table[t, position, symbol])
            position += symbol != 0
        assert position == 3 and entry.score == pytest.approx(score, abs=1e-4)
        nll = full_sum_loss(table[None], labels, lengths, torch.tensor([3]))
        assert entry.full_sum == pytest.approx(-float(nll), abs=1e-4)
        assert entry.score <= entry.full_sum


@pytest.mark.parametrize("topology", ["rna", "rnnt", "label_loop"])
def test_a_transducer_aligns_with_other_topologies(topology):
    model = tiny_model()
    made = align_all(aligner_of(model, topology=topology), ["a"], data().__getitem__)
    assert made.aligned["a"].labels.tolist() == [1, 2, 2]
    assert made.aligned["a"].steps(made.info)


@pytest.mark.parametrize("output", ["transducer", "ctc"])
@pytest.mark.parametrize("method", ALL_METHODS)
def test_batches_of_any_size_give_the_same_alignments(output, method):
    model = tiny_model(ctc_weight=0.5)
    # the original's attention sees padding, so that its scores depend on the batch
    model.joint_network.attention.padding = "zero"
    aligner = aligner_of(model, output, method)
    one = align_all(aligner, LENGTHS, data().__getitem__, batch_samples=1)
    all_ = align_all(aligner, LENGTHS, data().__getitem__, batch_samples=10**6)
    assert list(one.aligned) == list(all_.aligned) == sorted(LENGTHS)
    for key, entry in one.aligned.items():
        other = all_.aligned[key]
        assert entry.symbols.tolist() == other.symbols.tolist()
        assert entry.score == pytest.approx(other.score, abs=1e-4)
        assert entry.full_sum == pytest.approx(other.full_sum, abs=1e-4)


def test_the_time_of_each_part_is_told():
    spent = {}
    aligner = aligner_of(tiny_model())._replace(seconds=spent)
    align_all(aligner, LENGTHS, data().__getitem__)
    assert list(spent) == ["reading", "encoder", "lattice"] and min(spent.values()) > 0


def test_outputs_are_those_that_were_trained():
    assert outputs_of(tiny_model()) == ["transducer"]
    assert outputs_of(tiny_model(ctc_weight=0.1)) == ["transducer", "ctc"]
    with pytest.raises(OptionError, match="expected: transducer, ctc"):
        get_output(tiny_model(ctc_weight=0.1), "aux:3")


def test_every_failure_is_named_with_its_reason_and_the_others_are_aligned():
    stored = data({"d": [1, 2] * 20})
    del stored["b"]
    stored["e"] = {"speech": np.zeros((0, 8), np.float32), "text": np.array([1])}
    stored["f"] = {"speech": np.full((20, 8), np.nan, np.float32), "text": [1, 2]}
    made = align_all(aligner_of(tiny_model()), [*LENGTHS, "e", "f"], stored.__getitem__)
    assert list(made.aligned) == ["a", "c"]
    assert set(made.failed) == {"b", "d", "e", "f"}
    assert "KeyError" in made.failed["b"]
    assert "no rna alignment: 40 labels" in made.failed["d"]
    assert "no samples" in made.failed["e"]


def test_an_utterance_that_breaks_the_model_does_not_take_others_with_it():
    model = tiny_model()
    stored = data()
    stored["b"]["text"] = np.array([99])  # no such token: the embedding has no row
    made = align_all(aligner_of(model), LENGTHS, stored.__getitem__)
    assert list(made.aligned) == ["a", "c", "d"] and list(made.failed) == ["b"]


def test_a_prior_is_the_average_distribution_and_is_subtracted(tmp_path):
    model = tiny_model(ctc_weight=0.5)
    output = get_output(model.eval(), "ctc")
    made = add_prior(output, LENGTHS, data().__getitem__, batch_samples=1)
    rows = []
    for entry in data().values():
        speech = torch.from_numpy(entry["speech"])[None]
        frames, _ = model.encode_frames(speech, torch.tensor([speech.size(1)]))
        rows.append(model.ctc.ctc_lo(frames)[0].softmax(-1))
    expected = torch.cat(rows).mean(0).detach().numpy()
    made.save(tmp_path / "prior.npz")
    loaded = load_log_prior(tmp_path / "prior.npz", output, 0.5)
    np.testing.assert_allclose(loaded.exp() ** 2, expected, rtol=1e-4)
    with_prior = align_all(
        aligner_of(model, "ctc", prior=loaded), ["a"], data().__getitem__
    ).aligned["a"]
    log_probs = rows[0].log() - 0.5 * torch.from_numpy(expected).log()
    symbols = torch.from_numpy(with_prior.symbols).long()
    score = log_probs.gather(1, symbols[:, None]).sum()
    assert with_prior.score == pytest.approx(float(score), abs=1e-3)
    assert load_log_prior("unused", output, 0.0) is None
    with pytest.raises(MissingInputError):
        load_log_prior(tmp_path / "no.npz", output, 1.0)


def test_a_transducer_has_no_prior():
    output = get_output(tiny_model())
    with pytest.raises(OptionError, match="--output ctc"):
        PriorSum(output)


def test_batches_keep_within_their_size_and_lose_nobody():
    utterances = {str(n): {"speech": np.zeros(n + 1), "text": [1]} for n in range(40)}
    failed = {}
    groups = list(batches(utterances, utterances.__getitem__, 60, failed, window=200))
    sizes = [len(g) * max(len(u.speech) for u in g) for g in groups]
    assert max(sizes) <= 60 and len(groups) < 25 and not failed
    assert sorted(u.id for g in groups for u in g) == sorted(utterances)


def test_a_stored_set_is_read_back_and_shards_are_merged(tmp_path):
    stored = data({"d": [1] * 30})
    made = align_all(aligner_of(tiny_model()), LENGTHS, stored.__getitem__)
    for number, keys in enumerate((["a", "d"], ["b", "c"])):
        part = align_all(aligner_of(tiny_model()), keys, stored.__getitem__)
        write_set(part, tmp_path / str(number) / "alignment.npz")
    merged = merge_sets(read_set(tmp_path / str(n)) for n in (1, 0))
    assert same(merged, made, scores=False) and merged.failed == made.failed
    write_set(made, tmp_path / "all.npz")
    assert same(read_set(tmp_path / "all.npz"), made)
    assert read_set(tmp_path / "all.npz").info == made.info
    with pytest.raises(FormatError, match="in two shards"):
        merge_sets([merged, made])
    with pytest.raises(MissingInputError, match="--stage align"):
        read_set(tmp_path / "nowhere")
