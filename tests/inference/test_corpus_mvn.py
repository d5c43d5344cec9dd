"""Each utterance is decoded and aligned with the statistics of its corpus."""

import numpy as np
import pytest
import torch

from espnet_ext.alignment.outputs import get_output
from espnet_ext.corpus_ids import Corpora
from espnet_ext.corpus_statistics import CorpusStatistics
from espnet_ext.inference.speech2text import Speech2Text
from espnet_ext.inference.streaming import check_streamable
from espnet_ext.layers.corpus_mvn import choose_corpus, utterances_are
from tests.inference.models import GAMMATONE, noise, saved_model, write_wavs
from tests.inference.test_asr_inference import decode, table

FEATURES = GAMMATONE["channels"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Two corpora: utterances u*, and v* with other statistics."""
    folder = tmp_path_factory.mktemp("corpora")
    rows = np.stack([np.full(FEATURES, 0.5), np.linspace(-1.0, 2.0, FEATURES)])
    corpora = Corpora.parse("calls= studio=v")
    squares = np.square(rows) + np.array([[0.1], [2.0]])
    file = folder / "corpus_stats.npz"
    CorpusStatistics(corpora, np.ones(2), rows, squares).write(file)
    return saved_model(
        folder, normalize="corpus_mvn", normalize_conf={"stats_file": str(file)}
    )


@pytest.fixture(scope="module")
def scp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wavs")
    return write_wavs(folder, u1=8000, v1=8000, v2=6500, u2=6500)


def scores(model, scp, out, *more):
    assert decode(model, scp, out, "--beam_size", "3", *more) == 0
    return table(out / "1best_recog" / "score")


@pytest.mark.parametrize("more", [("1",), ("4",), ("4", "--batch_encoder", "true")])
def test_ids_decide_in_a_batch_of_several_corpora(model, scp, tmp_path, more):
    by_id = scores(model, scp, tmp_path / "ids", "--batch_size", *more)
    calls, studio = (
        scores(model, scp, tmp_path / name, "--corpus", name, "--batch_size", *more)
        for name in ("calls", "studio")
    )
    for key, score in by_id.items():
        right, wrong = (calls, studio) if key[0] == "u" else (studio, calls)
        assert score == right[key] and score != wrong[key], key


def test_frames_of_an_alignment_follow_the_ids(model):
    output = get_output(model.model)
    speech = torch.from_numpy(np.stack([noise(4000)] * 2))
    lengths = torch.tensor([4000, 4000])
    with torch.no_grad():
        with utterances_are(output.model, ["u1", "v1"]):
            mixed, _ = output.frames(speech, lengths)
        with utterances_are(output.model, ["u1", "u1"]):
            same, _ = output.frames(speech, lengths)
    assert torch.equal(mixed[0], same[0]) and not torch.allclose(mixed[1], same[1])


def test_a_recognizer_takes_a_corpus_for_recordings_without_id(model):
    wave = noise(8000)
    by_name = [
        Speech2Text(**model.files(), beam_size=3, corpus=corpus)(wave)[0][3].score
        for corpus in (None, "calls", "studio")
    ]
    assert by_name[0] == by_name[1] != by_name[2]


def test_it_can_be_streamed(model, tmp_path):
    conf = {"stats_file": str(model.config.parent / "corpus_stats.npz")}
    chunked = saved_model(
        tmp_path,
        encoder={"chunk_size": 4},
        normalize="corpus_mvn",
        normalize_conf=conf,
    ).model
    choose_corpus(chunked, "studio")
    check_streamable(chunked)
