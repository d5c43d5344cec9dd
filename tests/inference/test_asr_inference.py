"""The decoding command: batches, n-best, times, language models, failures."""

import argparse
import json

import numpy as np
import pytest
import torch
import yaml
from espnet2.bin import asr_inference as stock
from espnet2.tasks.lm import LMTask

from espnet_ext.asr.search.greedy import greedy_search
from espnet_ext.bin import asr_inference
from espnet_ext.errors import OptionError
from espnet_ext.files import read_lines
from espnet_ext.inference.results import KINDS
from espnet_ext.inference.speech2text import Speech2Text
from tests.inference.models import LOG_MEL, TOKENS, noise, saved_model, write_wavs
from tests.inference.test_scales import ngram


def decode(transducer, scp, out, *more) -> int:
    data = f"{scp},speech,sound"
    words = ["--data_path_and_name_and_type", data, "--output_dir", str(out)]
    return asr_inference.main([*transducer.options(), *words, "--ngpu", "0", *more])


def table(path) -> dict:
    return dict(line.partition(" ")[::2] for line in read_lines(path))


@pytest.fixture(scope="module")
def scp(tmp_path_factory):
    return write_wavs(tmp_path_factory.mktemp("wavs"), u1=8000, u2=5000, u3=6500)


def test_a_batch_gives_the_results_of_one_by_one(transducer, scp, tmp_path):
    more = ("--beam_size", "4", "--nbest", "2")
    for size in ("1", "2", "3"):
        out = tmp_path / size
        assert decode(transducer, scp, out, *more, "--batch_size", size) == 0
    for rank in (1, 2):
        for kind in ("text", "token", "token_int"):
            tables = [
                table(tmp_path / size / f"{rank}best_recog" / kind) for size in "123"
            ]
            assert tables[0] == tables[1] == tables[2]
            assert list(tables[0]) == ["u1", "u2", "u3"]
    scores = [table(tmp_path / s / "1best_recog" / "score") for s in "13"]
    assert scores[0] == scores[1]


def test_words_have_the_times_of_their_labels_frames(transducer, scp, tmp_path):
    assert decode(transducer, scp, tmp_path, "--beam_size", "1") == 0
    texts = table(tmp_path / "1best_recog" / "text")
    times = table(tmp_path / "1best_recog" / "word_times")
    model = transducer.model
    samples = noise(8000, 0)
    speech = torch.from_numpy(samples).unsqueeze(0)
    am, lengths = model.encode(speech, torch.tensor([8000]))
    labels = greedy_search(model.decoder, am.detach(), lengths)[0].labels
    assert labels, "the random weights emit nothing"
    # the tokens are characters here, so that all labels without space are one word
    assert len(texts["u1"].split()) == len(times["u1"].split()) == 1
    start, duration, confidence = map(float, times["u1"].split(",")[:3])
    shift_s = 6 * 0.01
    assert start / shift_s == pytest.approx(round(start / shift_s), abs=0.02)
    assert start + duration <= int(lengths[0]) * shift_s + 1e-6
    assert confidence == 1.0  # a beam of one


def test_a_broken_file_is_named_and_the_rest_is_decoded(transducer, tmp_path, capsys):
    scp = write_wavs(tmp_path, u1=8000, u2=8000, short=200)
    (tmp_path / "u2.wav").write_bytes(b"no audio")
    out = tmp_path / "out"
    assert decode(transducer, scp, out, "--beam_size", "1", "--batch_size", "3") == 1
    message = capsys.readouterr().err
    assert "u2" in message and "short" in message and "2 utterances" not in message
    failed = table(out / "failed")
    assert set(failed) == {"u2", "short"}
    assert "too short for one frame" in failed["short"]
    texts = table(out / "1best_recog" / "text")
    assert texts["u1"] and texts["u2"] == texts["short"] == ""
    allowed = ("--beam_size", "1", "--max_failures", "2")
    assert decode(transducer, scp, tmp_path / "again", *allowed) == 0
    assert set(table(tmp_path / "again" / "failed")) == {"u2", "short"}


def test_facts_of_the_decoding_are_written(transducer, scp, tmp_path):
    more = ("--beam_size", "2", "--ilm_type", "zero", "--ilm_weight", "0.2")
    assert decode(transducer, scp, tmp_path, *more) == 0
    facts = json.loads((tmp_path / "decoding.json").read_text())
    assert facts["weights"] == {"ilm_weight": 0.2, "penalty": 0.0}
    assert facts["samples"] == 8000 + 5000 + 6500 and facts["rate_hz"] == 8000
    assert facts["seconds"] > 0


def test_the_internal_lm_changes_scores_and_weight_zero_does_not(transducer):
    wave = noise(8000)

    def result(**options):
        recognizer = Speech2Text(**transducer.files(), beam_size=4, **options)
        return [(h[2], float(h[3].score)) for h in recognizer(wave)]

    plain = result()
    assert result(ilm_type="zero", ilm_weight=0.0) == plain
    assert result(ilm_type="zero", ilm_weight=1.0) != plain
    assert result(ilm_type="hat", ilm_weight=1.0)[0][1] == pytest.approx(
        result(ilm_type="zero", ilm_weight=1.0)[0][1], abs=1e-5
    )
    assert result(penalty=0.0) == plain and result(penalty=1.0) != plain


def test_options_of_our_search_are_refused_for_other_models(tmp_path):
    ctc = saved_model(tmp_path, model="ctc", decoder=None, decoder_conf={})
    with pytest.raises(OptionError, match="ilm_type zero is for full_sum_transducer"):
        Speech2Text(**ctc.files(), ctc_weight=1.0, ilm_type="zero")
    with pytest.raises(OptionError, match="trained without windows"):
        Speech2Text(**ctc.files(), ctc_weight=1.0, chunked=True)


def saved_lm(folder, seed=0):
    """Configuration and weights of a random LSTM LM, as options of Speech2Text."""
    args = LMTask.get_parser().parse_args(
        ["--output_dir", str(folder), "--token_type", "char"]
    )
    lm_conf = {"unit": 5, "nlayers": 1}
    values = {**vars(args), "token_list": TOKENS, "lm": "seq_rnn", "lm_conf": lm_conf}
    torch.manual_seed(seed)
    model = LMTask.build_model(argparse.Namespace(**values))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0)
    config, weights = folder / "lm.yaml", folder / "lm.pth"
    config.write_text(yaml.safe_dump(values), encoding="utf-8")
    torch.save(model.state_dict(), weights)
    return str(config), str(weights)


@pytest.mark.parametrize("kind", ["lm", "ngram"])
def test_source_models_are_subtracted_as_others_are_added(kind, transducer, tmp_path):
    """Density ratio and LODR: the same model with the same weight cancels out."""
    wave = noise(6000)

    def result(**options):
        recognizer = Speech2Text(**transducer.files(), beam_size=4, nbest=4, **options)
        return {tuple(h[2]): float(h[3].score) for h in recognizer(wave)}

    if kind == "lm":
        config, weights = saved_lm(tmp_path)
        target = {"lm_train_config": config, "lm_file": weights, "lm_weight": 0.7}
    else:
        ngram(tmp_path / "2.arpa")
        target = {"ngram_file": str(tmp_path / "2.arpa"), "ngram_weight": 0.7}
    source = {f"source_{name}": value for name, value in target.items()}
    plain, both = result(), result(**target, **source)
    assert plain.keys() == both.keys()
    for labels, score in plain.items():
        assert both[labels] == pytest.approx(score, abs=1e-4)
    added, taken = result(**target), result(**source)
    shared = set(plain) & set(added) & set(taken)
    assert shared and added != plain
    for labels in shared:
        difference = added[labels] - plain[labels]
        assert taken[labels] - plain[labels] == pytest.approx(-difference, abs=0.05)


@pytest.mark.parametrize("frontend", ["gammatone", "default"])
def test_stock_inference_gives_our_greedy_result(frontend, tmp_path):
    options = {} if frontend == "gammatone" else {"frontend_conf": LOG_MEL}
    saved = saved_model(tmp_path, frontend=frontend, **options)
    wave = noise(8000)
    search = {"search_type": "default"}
    theirs = stock.Speech2Text(**saved.files(), beam_size=1, transducer_conf=search)
    ours = Speech2Text(**saved.files(), beam_size=1)
    _, tokens, labels, _ = theirs(wave)[0]
    assert labels and (tokens, labels) == ours(wave)[0][1:3]


def test_pieces_of_subword_nmt_are_joined_to_words(tmp_path):
    tokens = ["<blank>", "h@@", "ouse", "a", "<unk>", "<sos/eos>"]
    saved = saved_model(tmp_path, token_list=tokens, token_type="word")
    recognizer = Speech2Text(**saved.files(), beam_size=4)
    text, found, labels, _ = recognizer(noise(8000))[0]
    assert labels and found == [tokens[k] for k in labels]
    expected = " ".join(found).replace("@@ ", "").removesuffix("@@")
    assert text == expected
    ((_, words),) = recognizer.transcribe([noise(8000)])
    assert [word.word for word in words] == text.split()


def test_the_frame_shift_is_that_of_features_and_encoder(transducer, tmp_path):
    recognizer = Speech2Text(**transducer.files(), beam_size=1)
    assert recognizer.shift.seconds == pytest.approx(0.06)
    model = transducer.model
    count = int(model.encode(torch.zeros(1, 80000), torch.tensor([80000]))[1][0])
    assert count * recognizer.shift.seconds == pytest.approx(10.0, abs=0.1)


def test_an_empty_list_of_utterances_is_refused(transducer, tmp_path, capsys):
    (tmp_path / "wav.scp").write_text("")
    assert decode(transducer, tmp_path / "wav.scp", tmp_path / "out") == 1
    assert "there is no utterance" in capsys.readouterr().err


def test_confidences_are_posteriors_of_the_beam():
    from espnet_ext.inference.word_times import confidences

    hypotheses = [["a", "b"], ["a"], ["c", "b"]]
    scores = [np.log(0.3), np.log(0.15), np.log(0.15)]
    assert confidences(hypotheses, scores) == pytest.approx([0.75, 0.75])


def test_every_kind_of_result_is_there_for_each_utterance(transducer, scp, tmp_path):
    assert decode(transducer, scp, tmp_path, "--beam_size", "1") == 0
    for kind in KINDS:
        assert list(table(tmp_path / "1best_recog" / kind)) == ["u1", "u2", "u3"]


MLP_DECODER = {
    "embedding_size": 3,
    "hidden_size": 4,
    "key_size": 3,
    "readout_size": 6,
}
OTHER_MODELS = {
    "ctc": {"decoder": None, "decoder_conf": {}},
    "attention_encoder_decoder": {
        "decoder": "mlp_attention_lstm",
        "decoder_conf": MLP_DECODER,
    },
    "framewise": {"decoder": None, "decoder_conf": {}},
    "framewise_transducer": {
        "decoder": "extended_transducer",
        "decoder_conf": {
            **{"bottleneck_size": 5, "embedding_size": 3, "hidden_size": 4},
            **{"symbol_embedding_size": 3, "fast_size": 4, "readout_size": 6},
        },
    },
}


@pytest.mark.parametrize("name", OTHER_MODELS)
def test_a_batch_of_other_models_gives_the_results_of_one_by_one(name, scp, tmp_path):
    saved = saved_model(tmp_path, model=name, **OTHER_MODELS[name])
    with torch.no_grad():
        if name == "ctc":
            saved.model.ctc.ctc_lo.weight.mul_(20.0)
        if name == "framewise":
            saved.model.framewise_output.weight.mul_(20.0)
        if name == "framewise_transducer":
            saved.model.decoder.emission_output.bias.fill_(4.0)
    torch.save(saved.model.state_dict(), saved.weights)
    more = ("--beam_size", "3", "--nbest", "2", "--maxlenratio", "0.5")
    for size in ("1", "3"):
        out = tmp_path / size
        assert decode(saved, scp, out, *more, "--batch_size", size) == 0
    tokens = [table(tmp_path / s / "1best_recog" / "token_int") for s in "13"]
    assert tokens[0] == tokens[1] and any(tokens[0].values())
    if name == "attention_encoder_decoder":  # the end is no label of an attention model
        assert all("5" not in line.split() for line in tokens[0].values())
    scores = [table(tmp_path / s / "2best_recog" / "score") for s in "13"]
    for key, score in scores[0].items():
        assert float(scores[1][key]) == pytest.approx(float(score), abs=1e-4)


def test_ctc_without_collapse_keeps_repeated_labels(tmp_path):
    saved = saved_model(tmp_path, model="ctc", **OTHER_MODELS["ctc"])
    with torch.no_grad():
        saved.model.ctc.ctc_lo.bias[2] = 20.0  # the same label in every frame
    torch.save(saved.model.state_dict(), saved.weights)
    wave = noise(8000)
    collapsed = Speech2Text(**saved.files(), beam_size=3)(wave)[0][2]
    original = Speech2Text(
        **saved.files(), beam_size=3, transducer_conf={"collapse": False}
    )(wave)[0][2]
    assert collapsed == [2] and set(original) == {2} and len(original) > 5


def test_texts_are_recombined_with_the_model_s_own_tokens(transducer):
    config = {"recombine_by": "text", "length_normalization": True}
    ours = Speech2Text(**transducer.files(), beam_size=4, transducer_conf=config)
    assert ours(noise(8000))[0][3].score > -10.0


def test_an_unknown_option_of_the_search_is_refused(transducer):
    with pytest.raises(OptionError, match="transducer_conf: .*beams"):
        Speech2Text(**transducer.files(), transducer_conf={"beams": 3})
