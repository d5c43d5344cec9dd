import random

import pytest

from espnet_ext.analysis.glm import HYPOTHESIS, REFERENCE, filter_text, load_glm
from espnet_ext.analysis.hub5 import read_ctm
from espnet_ext.analysis.network import Word
from espnet_ext.errors import FormatError
from tests.analysis.cases import WORDS, glm_sources, random_reference
from tests.analysis.nist import csrfilt
from tests.shared import shared_file

HEAD = ";; test\n* case_sensitive = 'F'\n* unheard = 'x'\nNEVER => NEVER\n"


def glm_of(tmp_path, rules, side=REFERENCE, head=HEAD):
    path = tmp_path / "glm"
    path.write_text(head + rules)
    return load_glm(path, side)


def texts_of_stm(text):
    lines = [line for line in text.splitlines() if not line.startswith(";;")]
    return [" ".join(line.split()[5:]) for line in lines]


@pytest.mark.parametrize(
    "rules, text, expected",
    [
        (
            "UH => %HESITATION / [ ] __ [ ]\n",
            "uh duh Uh",
            "%HESITATION DUH %HESITATION",
        ),
        ("AD WEEK => ADWEEK\n", "an ad week", "AN ADWEEK"),
        ("[I'M] => [{I'M / I AM}] / [ ] __ [ ]\n", "i'm", "{I'M / I AM}"),
        ("B => X / [A ] __ [ C]\n", "a b c b", "A X C B"),
        ("AB => X\nA => Y\n", "ab a", "X Y"),
        ("A => B\nB => C\n", "a b", "B C"),
        ("", "well-known th- -out", "WELL KNOWN TH- -OUT"),
        ("", "(uh huh) ( th- )", "(UH) (HUH) (TH-)"),
        ("UH => %H / [ ] __ [ ]\n", "(uh)", "(%H)"),
    ],
)
def test_rules_are_applied_as_their_notation_says(tmp_path, rules, text, expected):
    assert filter_text(text, glm_of(tmp_path, rules)) == expected


def test_a_section_applies_to_its_side_only(tmp_path):
    rules = 'A => B\n;; INPUT_DEPENDENT_APPLICATION = "ctm"\nC => D\n'
    assert filter_text("a c", glm_of(tmp_path, rules, REFERENCE)) == "B C"
    assert filter_text("a c", glm_of(tmp_path, rules, HYPOTHESIS)) == "B D"


@pytest.mark.parametrize("name", ["lvc_refe.stm", "tiny/t.stm"])
def test_filtered_references_equal_nists_files(name):
    expected = name.replace("lvc", "test1-expected/lvc") + ".filt"
    glm_name = "tiny/t.glm" if "tiny" in name else "example.glm"
    glm = load_glm(shared_file(f"data/sctk/{glm_name}"), REFERENCE)
    given = texts_of_stm(shared_file(f"data/sctk/{name}").read_text())
    filtered = texts_of_stm(shared_file(f"data/sctk/{expected}").read_text())
    labelled = [
        text.partition("> ") if text[:1] == "<" else ("", "", text) for text in given
    ]
    assert [(a + b + filter_text(c, glm)).strip() for a, b, c in labelled] == [
        text.strip() for text in filtered
    ]


@pytest.mark.parametrize("name", ["lvc_hyp.ctm", "tiny/t.ctm"])
def test_filtered_hypotheses_equal_nists_files(name):
    expected = name.replace("lvc", "test1-expected/lvc") + ".filt"
    glm_name = "tiny/t.glm" if "tiny" in name else "example.glm"
    glm = load_glm(shared_file(f"data/sctk/{glm_name}"), HYPOTHESIS)
    given = [
        x.split() for x in shared_file(f"data/sctk/{name}").read_text().splitlines()
    ]
    given = [fields for fields in given if fields and not fields[0].startswith(";;")]
    want = [
        x.split() for x in shared_file(f"data/sctk/{expected}").read_text().splitlines()
    ]
    # NIST sorts each side by time; the words of both are compared as multisets a side
    got = sorted(
        (f[0], f[1], word) for f in given for word in filter_text(f[4], glm).split()
    )
    assert got == sorted((f[0], f[1], f[4]) for f in want)


def test_every_rule_of_the_rt03_glm_acts_on_references_as_in_nists_filter():
    path = shared_file("data/sctk/glm/en20030506.glm")
    sources = glm_sources(path)
    rng = random.Random(3)
    texts = [f"the {source} a ({source})".lower() for source in sources]
    texts += [random_reference(rng, sources + list(WORDS)) for _ in range(500)]
    lines = [f"f A s 0.0 1.0 {text}\n" for text in texts]
    glm = load_glm(path, REFERENCE)
    expected = texts_of_stm(csrfilt("".join(lines), path, "stm", "ref"))
    assert len(texts) > 1500
    assert [filter_text(text, glm) for text in texts] == expected


@pytest.mark.parametrize("confidence", ["", " 0.99"])
def test_every_rule_of_the_rt03_glm_acts_on_hypotheses_as_in_nists_filter(
    tmp_path, confidence
):
    path = shared_file("data/sctk/glm/en20030506.glm")
    words = [w.lower() for source in glm_sources(path) for w in source.split()]
    ctm = tmp_path / "ctm"
    ctm.write_text(
        "".join(f"f A {n}.0 0.6 {word}{confidence}\n" for n, word in enumerate(words))
    )
    own = []
    for timed in read_ctm(ctm, load_glm(path, HYPOTHESIS))["f", "a"]:
        element = timed.element
        if isinstance(element, Word):
            own.append(element.text)
            continue
        own.append("<alt_begin>")
        for number, part in enumerate(element):
            own += ["<alt>"] * (number > 0) + [word.text for word in part]
        own.append("<alt_end>")
    output = csrfilt(ctm.read_text(), path, "ctm", "hyp").lower().splitlines()
    assert len(words) > 1000 and own.count("<alt_begin>") > 500
    assert own == [line.split()[4] for line in output]


@pytest.mark.parametrize(
    "text, message",
    [
        ("no arrow here\n", "without an arrow"),
        (" => B\n", "nothing to replace"),
        ("   ;; indented\n", "indented comment"),
        ("* format = 'NIST2'\nA => B\n", "not supported"),
        ("* max_nrules = '1'\nA => B\nC => D\n", "max_nrules"),
        ("", "no rules"),
        ('* name "x\n', "without a quoted value"),
    ],
)
def test_what_is_not_supported_is_refused_not_ignored(tmp_path, text, message):
    with pytest.raises(FormatError, match=message):
        glm_of(tmp_path, text, head=";; test\n")


@pytest.mark.parametrize("text", ["(a", "a)", "((a)", "a ( b"])
def test_parentheses_that_do_not_pair_up_are_refused(tmp_path, text):
    with pytest.raises(FormatError, match="pair up"):
        filter_text(text, glm_of(tmp_path, ""))


def test_a_file_that_starts_with_an_option_line_has_no_options(tmp_path):
    """The first word is the comment mark, so case_sensitive is not read."""
    head = "* name \"x\"\n* case_sensitive = 'F'\n"
    glm = glm_of(tmp_path, "UH => %H / [ ] __ [ ]\nuh => never\n", head=head)
    assert glm.case_sensitive
    assert filter_text("uh", glm) == "%H"
