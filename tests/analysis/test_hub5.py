import pytest

from espnet_ext.analysis import hub5, sclite
from espnet_ext.analysis.hub5 import CtmError, score_hub5
from espnet_ext.analysis.sclite import read_raw
from espnet_ext.analysis.tables import system_table
from espnet_ext.errors import FormatError
from tests.analysis.cases import WORDS, glm_sources, write_case
from tests.analysis.nist import nist_programs
from tests.shared import shared_file

GLM = ";; test\nUH => %HESITATION / [ ] __ [ ]\n[X] => []\n"


def score_of(tmp_path, stm, ctm, glm=GLM):
    for name, text in (("stm", stm), ("ctm", ctm), ("glm", glm)):
        (tmp_path / name).write_text(text)
    return score_hub5(tmp_path / "stm", tmp_path / "ctm", tmp_path / "glm")


def test_nists_own_example_gives_its_published_figures():
    score = score_hub5(
        shared_file("data/sctk/lvc_refe.stm"),
        shared_file("data/sctk/lvc_hyp.ctm"),
        shared_file("data/sctk/example.glm"),
    )
    assert (score.total.errors, score.total.words) == (883, 1676)
    assert f"{score.total.error_rate:.1f}" == "52.7"
    raw = shared_file("data/sctk/test1-expected/lvc_hyp.ctm.filt.raw")
    assert score.total == read_raw(raw)
    table = {}
    for line in raw.read_text().splitlines():
        fields = line.replace("|", " ").split()
        if fields and fields[0][:4] in ("2347", "3129"):
            table[fields[0]] = tuple(int(n) for n in fields[1:])
    assert len(table) == 4
    for speaker, counts in score.by_speaker().items():
        values = counts.values()
        assert table[speaker] == (*values[:6], counts.errors, values[6])


@pytest.mark.parametrize("name", ["lvc_hyp.ctm", "lvc_hyp2.ctm"])
def test_percentages_by_speaker_are_those_of_nists_recorded_report(name):
    score = score_hub5(
        shared_file("data/sctk/lvc_refe.stm"),
        shared_file(f"data/sctk/{name}"),
        shared_file("data/sctk/example.glm"),
    )
    report = shared_file(f"data/sctk/test1-expected/{name}.filt.sys").read_text()

    def rows(text):
        lines = [line.replace("|", " ").split() for line in text.splitlines()]
        names = ("2347-", "3129-", "Sum/A")
        return [line for line in lines if line and line[0][:5] in names]

    assert rows(system_table(score, name)) == rows(report)
    assert len(rows(report)) == 5


def test_the_tiny_case_gives_the_recorded_figures_by_category():
    score = score_hub5(
        *(shared_file(f"data/sctk/tiny/t.{end}") for end in ("stm", "ctm", "glm"))
    )
    assert score.total == read_raw(shared_file("data/sctk/tiny/t.ctm.filt.raw"))
    labels = {k: (v.words, v.errors) for k, v in score.by_label().items()}
    assert labels == {
        "o": (25, 3), "en": (16, 2), "sw": (9, 1), "f": (15, 2), "m": (10, 1)
    }  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_random_cases_align_exactly_as_nists_programs_do(tmp_path, seed):
    nist_programs()
    glm = shared_file("data/sctk/glm/en20030506.glm")
    vocabulary = list(WORDS) * 20 + glm_sources(glm)
    write_case(tmp_path, seed, 300, vocabulary)
    files = tmp_path / "ref.stm", tmp_path / "hyp.ctm", glm
    own = score_hub5(*files)
    nist = sclite.score_hub5(*files, tmp_path / "nist")
    assert len(own.segments) > 200
    assert own.total == nist.total
    assert list(own.segments) == list(nist.segments)
    assert own.by_label() == nist.by_label()


def test_a_word_belongs_to_the_segment_that_holds_its_middle(tmp_path):
    stm = "f A s 0 1 a\nf A s 1 2 b\nf A s 3 4 c\n"
    ctm = "f A 0.5 1.2 b\nf A 0.1 0.2 a\nf A 2.2 0.2 c\n"
    score = score_of(tmp_path, stm, ctm)
    assert score.total.errors == 0


@pytest.mark.parametrize("end", ["1.0", "1.1", "2.3", "16.7"])
def test_a_word_whose_middle_is_the_boundary_is_assigned_as_nist_does(tmp_path, end):
    """The end is kept in single precision there, so 1.1 lies a little behind 1.1."""
    nist_programs()
    stm = f"f A s 0 {end} a b\nf A s {end} 99 c\n"
    ctm = f"f A 0.0 0.2 a\nf A {float(end) - 0.5:.1f} 1.0 b\nf A 90 1 c\n"
    own = score_of(tmp_path, stm, ctm)
    files = [tmp_path / name for name in ("stm", "ctm", "glm")]
    nist = sclite.score_hub5(*files, tmp_path / "out")
    assert own.segments == nist.segments


def test_words_in_ignored_time_are_not_scored(tmp_path):
    stm = "f A s 0 1 a\nf A s 1 2 IGNORE_TIME_SEGMENT_IN_SCORING\n"
    score = score_of(tmp_path, stm, "f A 0.1 0.2 a\nf A 1.2 0.2 zz\n")
    assert (score.total.sentences, score.total.errors) == (1, 0)


def test_a_silent_side_counts_as_deletions(tmp_path):
    score = score_of(tmp_path, "f A s 0 1 a b\nf B t 0 1 c\n", "f A 0.1 0.1 a\n")
    assert (score.total.deletions, score.total.words) == (2, 3)


def test_words_for_a_side_without_reference_are_an_error(tmp_path):
    with pytest.raises(CtmError, match="channel 'b'"):
        score_of(tmp_path, "f A s 0 1 a\n", "f B 0.1 0.2 a\n")


def test_a_rule_that_deletes_a_hypothesis_word_is_an_error(tmp_path):
    with pytest.raises(FormatError, match="deletes the whole word"):
        score_of(tmp_path, "f A s 0 1 a\n", "f A 0.1 0.2 x 0.99\n")


def test_an_undefined_label_is_an_error(tmp_path):
    with pytest.raises(FormatError, match="label 'zz'"):
        score_of(
            tmp_path,
            ';; LABEL "O" "Overall" ""\nf A s 0 1 <O,ZZ> a\n',
            "f A 0.1 0.2 a\n",
        )


@pytest.mark.parametrize("line", ["f A x 0.2 a", "f A 0.1", "f A 0.1 0.2"])
def test_a_malformed_ctm_line_is_named(tmp_path, line):
    with pytest.raises(FormatError, match="ctm line 1"):
        score_of(tmp_path, "f A s 0 1 a\n", line + "\n")


def test_a_thousand_segments_take_seconds_at_most(tmp_path):
    """A ceiling against quadratic slips, far above the usual time."""
    import time

    write_case(tmp_path, 5, 1000)
    (tmp_path / "glm").write_text(";; none\nX => Y\n")
    started = time.process_time()
    hub5.score_hub5(tmp_path / "ref.stm", tmp_path / "hyp.ctm", tmp_path / "glm")
    assert time.process_time() - started < 5
