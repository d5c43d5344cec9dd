"""With the rules, NIST's filter makes one word of a letter with and without dot."""

import pytest

from espnet_ext.corpus.letter_rules import with_letter_rules
from tests.analysis.nist import csrfilt
from tests.shared import shared_file

LETTERS = "WE WATCHED C. N. N. ON T. V.S AT A. T. AND T. OR P. C.'S I. B. M."
PLAIN = "we watched c n n on t vs at a t and t or p c's i b m"


def filtered(glm, text):
    line = f"x A x_A 0 1 <O> {text}\n"
    return csrfilt(line, glm, "stm", "ref").split("<O>")[1].split()


@pytest.mark.parametrize(
    "name",
    [
        "data/sctk/glm/en20030506.glm",
        "data/sctk/example.glm",
        "data/ldc-mini/LDC2007S10/data/trans_rules/en20030506.glm",
    ],
)
def test_references_and_plain_letters_are_filtered_to_the_same_words(name, tmp_path):
    release = shared_file(name)
    assert filtered(release, LETTERS) != filtered(release, PLAIN)
    extended = tmp_path / "glm"
    text = release.read_text(encoding="latin-1")
    extended.write_text(with_letter_rules(text), encoding="latin-1")
    assert filtered(extended, LETTERS) == filtered(extended, PLAIN)
    assert len(filtered(extended, LETTERS)) == len(filtered(release, LETTERS))
    for other in ("OKAY I'M ALRIGHT", "UH-HUH WELL-KNOWN", "{ GONNA / GOING TO } (UH)"):
        assert filtered(extended, other) == filtered(release, other)


def test_rules_are_added_once_and_room_is_made_for_them():
    glm = "* name \"x\"\n* max_nrules = '2'\nUH => %HESITATION / [ ] __ [ ]\n"
    once = with_letter_rules(glm)
    assert with_letter_rules(once) == once
    assert once.splitlines()[-1] == glm.splitlines()[-1]
    assert f"* max_nrules = '{26 * 3 + 1}'" in once
