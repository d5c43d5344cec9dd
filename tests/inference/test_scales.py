"""N-best lists, tuning on the selection set, rescoring, perplexity."""

import itertools
import json
import math

import numpy as np
import pytest
import yaml

from espnet_ext.bin import asr_inference, perplexity, rescore, tune_scales
from espnet_ext.errors import OptionError
from espnet_ext.files import read_lines
from espnet_ext.inference.fusion import Fused
from espnet_ext.inference.nbest import (
    Hypothesis,
    ScoredList,
    read_nbest,
    score_lists,
)
from espnet_ext.inference.scale_tuning import (
    best_point,
    parse_grid,
    refuse_test_set,
    tune,
)
from espnet_ext.lm.arpa import write_arpa
from espnet_ext.lm.kneser_ney import estimate, vocabulary
from tests.inference.models import TOKENS, write_wavs


def ngram(path, order=2):
    words = vocabulary(TOKENS[1:-1])
    rng = np.random.default_rng(3)
    ids = [words.index(token) for token in TOKENS[1:4]]
    sentences = [rng.choice(ids, size=n % 5 + 1) for n in range(40)]
    model = estimate(sentences, words, order)[0]
    write_arpa(model, path)
    return model


@pytest.fixture(scope="module")
def decoded(transducer, tmp_path_factory):
    """A development set decoded with 4-best lists without a language model."""
    folder = tmp_path_factory.mktemp("decoded")
    scp = write_wavs(folder, u1=3000, u2=2500, u3=3600)
    out = folder / "dev"
    words = ["--data_path_and_name_and_type", f"{scp},speech,sound", "--ngpu", "0"]
    more = ["--output_dir", str(out), "--beam_size", "8", "--nbest", "4"]
    assert asr_inference.main([*transducer.options(), *words, *more]) == 0
    data = folder / "data" / "dev"
    data.mkdir(parents=True)
    # the reference is the third best, so that scales can make a difference
    lists = read_nbest(out)
    text = "".join(f"{key} {h[2].text}\n" for key, h in lists.items())
    (data / "text").write_text(text, encoding="utf-8")
    return folder


def test_nbest_lists_are_read_in_the_order_of_their_ranks(decoded):
    lists = read_nbest(decoded / "dev")
    assert list(lists) == ["u1", "u2", "u3"]
    for hypotheses in lists.values():
        assert len(hypotheses) == 4
        scores = [h.score for h in hypotheses]
        assert scores == sorted(scores, reverse=True)


class Counts:
    """A label scorer that gives each label its number."""

    def start(self):
        return np.arange(6.0), None

    def step(self, labels, states):
        return [np.arange(6.0)] * len(labels), [None] * len(labels)


def test_scores_of_the_first_pass_are_taken_out():
    lists = {"u": [Hypothesis("a", [1, 3], -1.0), Hypothesis("b", [2], -2.0)]}
    fused = [Fused("lm_weight", Counts(), 0.5)]
    scored = score_lists(lists, fused, {"lm_weight": 0.5})["u"]
    assert scored.models_NK.tolist() == [[4.0], [2.0]]
    assert scored.recognizer_N.tolist() == [-3.0, -3.0]


def random_lists(seed=0):
    rng = np.random.default_rng(seed)
    lists, references = {}, {}
    for n in range(6):
        texts = [" ".join(rng.choice(list("abc"), 4)) for _ in range(5)]
        references[f"u{n}"] = texts[int(rng.integers(5))]
        hypotheses = [Hypothesis(text, [], 0.0) for text in texts]
        scores = rng.normal(size=5), rng.normal(size=(5, 2))
        lists[f"u{n}"] = ScoredList(hypotheses, *scores)
    return lists, references


def test_tuning_finds_the_fewest_errors_of_all_combinations():
    lists, references = random_lists()
    grid = {"lm_weight": [0.0, 0.5, 1.0], "ilm_weight": [0.0, 0.4]}
    points, words = tune(lists, references, list(grid), grid)
    assert words == 24 and len(points) == 6
    expected = {}
    for lm, ilm in itertools.product(*grid.values()):
        errors = 0
        for key, scored in lists.items():
            totals = [
                scored.recognizer_N[n]
                + lm * scored.models_NK[n, 0]
                - ilm * scored.models_NK[n, 1]
                for n in range(5)
            ]
            best = scored.hypotheses[totals.index(max(totals))].text.split()
            # all texts have four words: sclite's and Levenshtein's counts
            errors += edit_distance(best, references[key].split())
        expected[lm, ilm] = errors
    assert {p.weights: p.errors for p in points} == expected
    best = best_point(points)
    assert best.errors == min(expected.values())
    smallest = min(sum(w) for w, e in expected.items() if e == best.errors)
    assert sum(best.weights) == smallest


def edit_distance(a, b):
    """By the textbook's table."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            previous, row[j] = row[j], min(
                row[j] + 1, row[j - 1] + 1, previous + (x != y)
            )
    return row[-1]


@pytest.mark.parametrize("name", ["hub5e_00", "rt03s", "my_test", "eval2000_test"])
def test_test_sets_are_refused_by_their_names(name, tmp_path):
    (tmp_path / name).mkdir()
    with pytest.raises(OptionError, match="test set"):
        refuse_test_set(tmp_path / name)


def test_a_set_with_scoring_files_is_refused_and_a_validation_set_is_not(tmp_path):
    (tmp_path / "dev").mkdir()
    refuse_test_set(tmp_path / "dev")
    (tmp_path / "dev" / "stm").touch()
    with pytest.raises(OptionError, match="it has stm"):
        refuse_test_set(tmp_path / "dev")


def test_grids_are_ranges_or_lists():
    grid = parse_grid(["lm_weight=0:0.3:0.1", "penalty=-1,2"])
    assert grid == {"lm_weight": [0.0, 0.1, 0.2, 0.3], "penalty": [-1.0, 2.0]}
    for wrong in ("lm=0:1:0.1", "lm_weight=", "lm_weight=0:1", "lm_weight=1:0:0.1"):
        with pytest.raises(OptionError, match="is no grid"):
            parse_grid([wrong])


def test_the_command_writes_the_chosen_scales_and_all_others(
    decoded, transducer, tmp_path, capsys
):
    ngram(tmp_path / "2gram.arpa")
    base = tmp_path / "decode.yaml"
    base.write_text("beam_size: 8\n")
    output = tmp_path / "tuned.yaml"
    options = [
        *("--nbest_dir", str(decoded / "dev"), "--inference_config", str(base)),
        *("--ngram_file", str(tmp_path / "2gram.arpa"), "--ilm_type", "zero"),
        *("--grid", "ngram_weight=0:1:0.5", "ilm_weight=0,0.3"),
        *("--output", str(output), *transducer.options()),
    ]
    data = ("--data_dir", str(decoded / "data" / "dev"))
    assert tune_scales.main([*options, *data]) == 0
    config = yaml.safe_load(output.read_text())
    assert config["beam_size"] == 8 and config["ilm_type"] == "zero"
    rows = [line.split("\t") for line in read_lines(output.with_suffix(".tsv"))]
    assert rows[0] == "ngram_weight ilm_weight penalty errors words wer".split()
    assert len(rows) == 1 + 3 * 2
    chosen = [str(config[name]) for name in rows[0][:3]]
    errors = {tuple(map(float, row[:3])): int(row[3]) for row in rows[1:]}
    assert errors[tuple(map(float, chosen))] == min(errors.values())
    # the decoding command takes the file as it is
    scp = decoded / "wav.scp"
    words = ["--data_path_and_name_and_type", f"{scp},speech,sound", "--ngpu", "0"]
    out = tmp_path / "out"
    more = ["--config", str(output), "--output_dir", str(out)]
    assert asr_inference.main([*transducer.options(), *words, *more]) == 0
    weights = json.loads((out / "decoding.json").read_text())["weights"]
    assert weights == {name: config[name] for name in rows[0][:3]}
    capsys.readouterr()
    assert tune_scales.main([*options, "--data_dir", str(tmp_path / "rt03s")]) == 1
    assert "test set" in capsys.readouterr().err


def test_rescoring_gives_what_the_search_with_the_same_model_gives(
    decoded, transducer, tmp_path
):
    """With a beam that holds all that matters, first and second pass agree."""
    ngram(tmp_path / "2gram.arpa")
    lm = ("--ngram_file", str(tmp_path / "2gram.arpa"), "--ngram_weight", "0.4")
    out = tmp_path / "rescored"
    options = ["--nbest_dir", str(decoded / "dev"), "--output_dir", str(out)]
    assert rescore.main([*options, *transducer.options(), *lm]) == 0
    scores = dict(line.split() for line in read_lines(out / "score"))
    scp = decoded / "wav.scp"
    words = ["--data_path_and_name_and_type", f"{scp},speech,sound", "--ngpu", "0"]
    fused = tmp_path / "fused"
    more = [*lm, "--output_dir", str(fused), "--beam_size", "8", "--nbest", "8"]
    assert asr_inference.main([*transducer.options(), *words, *more]) == 0
    first_pass = read_nbest(fused)
    labels = dict(line.partition(" ")[::2] for line in read_lines(out / "token_int"))
    compared = 0
    for key, hypotheses in first_pass.items():
        same = {" ".join(map(str, h.labels)): h.score for h in hypotheses}
        if labels[key] in same:
            # paths that one of the beams lost make the small difference
            assert float(scores[key]) == pytest.approx(same[labels[key]], abs=0.05)
            compared += 1
    assert compared
    # rescoring what was decoded with the model, with the same weight, changes nothing
    options = ["--nbest_dir", str(fused), "--output_dir", str(tmp_path / "same")]
    assert rescore.main([*options, *transducer.options(), *lm]) == 0
    best = read_lines(fused / "1best_recog" / "text")
    assert read_lines(tmp_path / "same" / "text") == best


def test_lists_with_scores_of_an_unknown_model_are_refused(
    decoded, transducer, tmp_path, capsys
):
    ngram(tmp_path / "2gram.arpa")
    lm = ("--ngram_file", str(tmp_path / "2gram.arpa"))
    scp = decoded / "wav.scp"
    words = ["--data_path_and_name_and_type", f"{scp},speech,sound", "--ngpu", "0"]
    fused = tmp_path / "fused"
    more = [*lm, "--output_dir", str(fused), "--beam_size", "2"]
    assert asr_inference.main([*transducer.options(), *words, *more]) == 0
    options = ["--nbest_dir", str(fused), "--output_dir", str(tmp_path / "x")]
    assert rescore.main([*options, *transducer.options()]) == 1
    assert "decoded with ngram_weight 0.9" in capsys.readouterr().err


def test_perplexities_are_those_of_the_models(transducer, tmp_path):
    model = ngram(tmp_path / "2gram.arpa")
    text = tmp_path / "text"
    # character tokens of TOKENS: only c is a token by itself, the rest is unknown
    text.write_text("u1 c cc\nu2\nu3 ccc\n", encoding="utf-8")
    options = ["--text", str(text), "--json", str(tmp_path / "ppl.json")]
    options += ["--ngram_file", str(tmp_path / "2gram.arpa"), "--ilm_type", "zero"]
    assert perplexity.main([*options, *transducer.options()]) == 0
    result = json.loads((tmp_path / "ppl.json").read_text())
    sentences = [["c", "<unk>", "c", "c"], ["c", "c", "c"]]
    expected = model.perplexity(sentences)
    assert result["ngram"]["per_token"] == pytest.approx(expected.value, rel=1e-5)
    per_word = math.exp(-expected.log_prob / (3 + 2))
    assert result["ngram"]["per_word"] == pytest.approx(per_word, rel=1e-5)
    assert result["ilm"]["per_token"] > 1.0
