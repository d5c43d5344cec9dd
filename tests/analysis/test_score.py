import csv
import shutil

import pytest

from espnet_ext.analysis import score as score_module
from espnet_ext.analysis.kaldi_text import CoverageError
from espnet_ext.analysis.score import ScorersDisagree, score_experiment, score_set
from espnet_ext.errors import MissingInputError, OptionError
from tests.analysis.nist import nist_programs
from tests.shared import shared_file

SETS = ["hub", "plain"]


def run(root, **more):
    return score_experiment(root / "exp/asr_x", "decode", root / "data", SETS, **more)


def numbers(scores):
    return [(r.name, r.metric, r.counts, r.interval) for s in scores for r in s.rows()]


def test_both_scorers_give_the_same_rows(experiment):
    nist_programs()
    tokens = {"tokenize": lambda text: text.replace(" ", "_")}
    own = run(experiment, scorer="builtin", **tokens)
    nist = run(experiment, scorer="sclite", **tokens)
    assert {s.main.scorer for s in own + nist} == {"builtin", "sclite"}
    assert numbers(own) == numbers(nist)
    assert [list(s.main.segments) for s in own] == [list(s.main.segments) for s in nist]


@pytest.mark.parametrize("name", ["eval2000", "eval2001", "rt03"])
def test_both_scorers_agree_on_the_ldc_shaped_sets(tmp_path, name):
    nist_programs()
    source = shared_file(f"data/ldc-mini-expected/{name}/stm").parent
    data = tmp_path / name
    shutil.copytree(source, data)
    for path in data.iterdir():
        path.chmod(0o644)
    texts = dict(
        (line.split(None, 1) + [""])[:2]
        for line in (data / "text").read_text().splitlines()
    )
    (data / "text").unlink()
    ids = [line.split()[0] for line in (data / "segments").read_text().splitlines()]
    clean = str.maketrans("", "", "(){}/")
    hyp = [" ".join(texts.get(i, "").translate(clean).lower().split()[1:]) for i in ids]
    (data / "text").write_text("".join(f"{i} {t}\n" for i, t in zip(ids, hyp)))
    scores = []
    for scorer in ("builtin", "sclite"):
        decoded = tmp_path / scorer / name
        decoded.mkdir(parents=True)
        (decoded / "text").write_text((data / "text").read_text())
        scores.append(score_set(data, decoded, scorer=scorer))
    own, nist = scores
    assert own.hub5.total.words > 10 and own.hub5.total.errors > 0
    assert list(own.hub5.segments) == list(nist.hub5.segments)
    assert own.wer.total == nist.wer.total


def test_the_expected_errors_are_counted(experiment):
    hub, plain = run(experiment, scorer="builtin")
    # he is (uh) here / he was here; well known fact / facts; { it is } left out: & <x>
    total = hub.hub5.total
    assert (total.substitutions, total.deletions, total.insertions) == (2, 2, 0)
    assert (plain.wer.total.words, plain.wer.total.errors) == (4, 3)


def test_a_hesitation_counts_by_the_original_rules_alone(experiment):
    """Recognised: "he was here uh" for "he is (uh) here", and a "th-" too many."""
    kaldi, rwth = (
        run(experiment, scorer="builtin", word_rules=rules)[0].hub5
        for rules in ("kaldi", "rwth")
    )
    assert rwth.total.insertions == kaldi.total.insertions + 2
    assert "rwth rules" in rwth.version and "kaldi rules" in kaldi.version
    with pytest.raises(OptionError, match="kaldi or rwth"):
        run(experiment, scorer="builtin", word_rules="sclite")


def test_letters_in_fishers_way_equal_the_dotted_ones_of_the_reference(experiment):
    hub = experiment / "data/hub"
    stm = (
        (hub / "stm")
        .read_text()
        .replace("HE IS (%HESITATION) HERE", "THE U. S. T. V.S")
    )
    (hub / "stm").write_text(stm)
    hyp = experiment / "exp/asr_x/decode/hub/text"
    hyp.write_text(hyp.read_text().replace("he was here uh", "the u._s. t._v.s"))
    for scorer in ("builtin", "sclite"):
        if scorer == "sclite":
            nist_programs()
        hub_score, _ = run(experiment, scorer=scorer)
        first = [s for s in hub_score.hub5.segments if s.speaker == "en_1_a"]
        assert [(s.counts.words, s.counts.errors) for s in first] == [(5, 0)]


def test_both_scorers_side_by_side_give_nists_figures_or_stop(experiment, monkeypatch):
    nist_programs()
    both = run(experiment, scorer="both")
    assert {part.scorer for s in both for part in (s.wer, s.cer)} == {"sclite"}
    assert numbers(both) == numbers(run(experiment, scorer="sclite"))

    def wrong(transcripts):
        changed = {key: "zz" for key in transcripts.hypotheses}
        return score_transcripts(transcripts._replace(hypotheses=changed))

    score_transcripts = score_module.wer.score_transcripts
    monkeypatch.setattr(score_module.wer, "score_transcripts", wrong)
    with pytest.raises(ScorersDisagree, match="en_1-A_000000-000200: sclite"):
        run(experiment, scorer="both")


def test_speakers_have_a_table_with_nists_counts(experiment):
    nist_programs()
    run(experiment, scorer="sclite")
    decode = experiment / "exp/asr_x/decode"
    with open(decode / "speakers.csv", newline="") as file:
        records = list(csv.DictReader(file))
    raw = (decode / "hub/score_hub5/hyp.ctm.filt.raw").read_text().splitlines()
    rows = [line.replace("|", " ").split() for line in raw]
    table = {
        row[0]: row[1:7] for row in rows if row and row[0][:5] in ("en_1_", "sw_2_")
    }
    names = "sentences words correct substitutions deletions insertions".split()
    found = {
        r["speaker"]: [r[name] for name in names]
        for r in records
        if (r["set"], r["metric"]) == ("hub", "hub5")
    }
    assert found == table and len(table) == 3
    (allison,) = [r for r in records if r["speaker"] == "allison"]
    assert (allison["words"], allison["errors"]) == ("4", "3")


def test_espnets_files_are_written(experiment, capsys):
    run(experiment, scorer="builtin", note="synthetic speech")
    exp = experiment / "exp/asr_x"
    for metric in ("wer", "cer"):
        folder = exp / f"decode/plain/score_{metric}"
        assert {p.name for p in folder.iterdir()} == {
            "ref.trn", "hyp.trn", "result.txt"
        }  # fmt: skip
        result = (folder / "result.txt").read_text()
        assert "SPKR" in result and "Sum/Avg" in result
    trn = (exp / "decode/plain/score_wer/ref.trn").read_text()
    assert trn.splitlines()[0] == "press one (allison-u1)"
    assert "# RESULTS" in (exp / "RESULTS.md").read_text()
    assert "synthetic speech" in (exp / "index.html").read_text()
    with open(exp / "results.csv", newline="") as file:
        records = list(csv.DictReader(file))
    assert {r["set"] for r in records} == set(SETS)
    assert all(r["exp"] == "asr_x" and r["git_hash"] for r in records)
    printed = capsys.readouterr().out
    assert "hub.swb" in printed and "hub.ch" in printed and "plain" in printed


def test_auto_falls_back_with_a_notice(experiment, monkeypatch, capsys):
    monkeypatch.setattr(score_module.sclite, "find_sctk", lambda: None)
    scores = run(experiment)
    assert {score.wer.scorer for score in scores} == {"builtin"}
    assert "notice: sclite is not installed" in capsys.readouterr().err


def test_a_missing_hypothesis_stops_before_any_result(experiment):
    hyp = experiment / "exp/asr_x/decode/hub/text"
    hyp.write_text("".join(hyp.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(CoverageError):
        run(experiment, scorer="builtin")
    assert not (experiment / "exp/asr_x/RESULTS.md").exists()


def test_what_is_missing_or_wrong_is_named(experiment):
    with pytest.raises(OptionError, match="scorer"):
        run(experiment, scorer="magic")
    with pytest.raises(MissingInputError, match="none"):
        score_experiment(
            experiment / "exp/asr_x", "decode", experiment / "data", ["none"]
        )
    (experiment / "data/hub/glm").unlink()
    with pytest.raises(MissingInputError, match="STM without a GLM"):
        run(experiment, scorer="builtin")
