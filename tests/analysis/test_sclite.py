import pytest

from espnet_ext.analysis import hub5, sclite
from espnet_ext.analysis.hub5 import CtmError
from espnet_ext.analysis.sclite import ScliteError, read_sgml
from espnet_ext.errors import FormatError, ToolMissingError
from tests.analysis.nist import nist_programs
from tests.shared import shared_file

GLM = ";; test\nUH => %HESITATION / [ ] __ [ ]\n"
STM = "f A s 0 1 a b\nf B t 0 1 c\n"


def files(tmp_path, stm=STM, ctm="f A 0.1 0.2 a 0.9\n", glm=GLM):
    paths = []
    for name, text in (("stm", stm), ("ctm", ctm), ("glm", glm)):
        (tmp_path / name).write_text(text)
        paths.append(tmp_path / name)
    return paths


def test_hubscr_gives_nists_published_figures(tmp_path):
    nist_programs()
    names = ("lvc_refe.stm", "lvc_hyp.ctm", "example.glm")
    inputs = [shared_file(f"data/sctk/{name}") for name in names]
    score = sclite.score_hub5(*inputs, tmp_path / "a folder ü")
    assert (score.total.errors, score.total.words) == (883, 1676)
    assert score.version.startswith("sclite 2.")
    assert (tmp_path / "a folder ü" / "hyp.ctm.filt.lur").is_file()


@pytest.mark.parametrize(
    "stm, ctm, error, message",
    [
        ("f A s 0 1 <ZZ> a\n", "f A 0 1 a\n", FormatError, "label 'zz'"),
        (STM, "f A 0 1 a\ng A 0 1 a\n", CtmError, "lacks"),
        ("f A s 0 1 (a b\n", "f A 0 1 a\n", FormatError, "stm line 1: the parenth"),
    ],
)
def test_known_defects_are_named(tmp_path, stm, ctm, error, message):
    nist_programs()
    with pytest.raises(error, match=message):
        sclite.score_hub5(*files(tmp_path, stm, ctm), tmp_path / "out")


def test_reports_of_an_earlier_run_do_not_survive_a_failure(tmp_path):
    nist_programs()
    out = tmp_path / "out"
    sclite.score_hub5(*files(tmp_path), out)
    assert (out / "hyp.ctm.filt.raw").exists()
    with pytest.raises(CtmError):
        sclite.score_hub5(*files(tmp_path, ctm="g A 0 1 a\n"), out)
    assert not (out / "hyp.ctm.filt.raw").exists()


def test_a_hypothesis_without_any_error_is_scored(tmp_path):
    """sclite 2.10 dies while drawing the DET curve of such a set."""
    nist_programs()
    ctm = "f A 0.1 0.2 a 0.99\nf A 0.5 0.2 b 0.99\nf B 0.1 0.2 c 0.99\n"
    inputs = files(tmp_path, ctm=ctm)
    assert sclite.score_hub5(*inputs, tmp_path / "out").total.errors == 0


@pytest.mark.parametrize("ctm", ["", ";; nothing\n"])
def test_no_words_at_all_are_deletions(tmp_path, ctm):
    nist_programs()
    inputs = files(tmp_path, ctm=ctm)
    nist = sclite.score_hub5(*inputs, tmp_path / "out")
    assert nist.total.deletions == 3
    assert nist.segments == hub5.score_hub5(*inputs).segments


def test_odd_characters_in_words_are_read_back(tmp_path):
    nist_programs()
    stm = 'f A s 0 9 "quo"te a:b c,d e\\f x;y é (um) C,"x"\n'
    words = ['"quo"te', "a:b", "c,d", "e\\f", "é", "z:S,", "9"]
    ctm = "".join(f"f A {n}.0 0.5 {word} 0.99\n" for n, word in enumerate(words))
    inputs = files(tmp_path, stm, ctm)
    nist = sclite.score_hub5(*inputs, tmp_path / "out")
    assert nist.segments == hub5.score_hub5(*inputs).segments


def test_an_unreadable_report_is_an_error_not_a_score(tmp_path):
    report = tmp_path / "x.sgml"
    report.write_text('<PATH id="(s-0)" word_cnt="1" sequence="0">\nC,"a",b\n</PATH>\n')
    with pytest.raises(ScliteError, match="not understood"):
        read_sgml(report)
    with pytest.raises(ScliteError, match="no alignments"):
        read_sgml(tmp_path / "none.sgml")


def test_absent_programs_are_named_with_the_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sclite.find_sctk() is None
    with pytest.raises(ToolMissingError, match="apt-get install sctk"):
        sclite.require_sctk()
