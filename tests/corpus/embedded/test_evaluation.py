"""NIST's own scorer reads the references: a perfect hypothesis has no error."""

import os
import re
import shutil
import subprocess

import pytest

from espnet_ext.corpus.stm import merged, read_stm, repaired

pytestmark = pytest.mark.slow

REFERENCES = {
    "hub5e_00": "LDC2002T43/2000_hub5_eng_eval_tr/reference/*.stm",
    "hub5e_01": "LDC2002S13/hub5e_01/data/transcr/*.stm",
    "rt03s": "LDC2007S10/data/references/eval03/english/cts/*.stm",
}
GLMS = {
    "hub5e_00": "LDC2002T43/2000_hub5_eng_eval_tr/reference/en20000405_hub5.glm",
    "hub5e_01": "LDC2002T43/2000_hub5_eng_eval_tr/reference/en20000405_hub5.glm",
    "rt03s": "LDC2007S10/data/trans_rules/en20030506.glm",
}


def perfect_ctm(root, set_name):
    """Every word that is said, from the sidecar; fragments need not be recognised."""
    lines = []
    table = (root / "alignment/word_times.tsv").read_text(encoding="utf-8")
    for row in table.splitlines()[1:]:
        name, recording, words, start, end = row.split("\t")
        if name == set_name:
            call, side = recording.rsplit("-", 1)
            parts = words.split()
            step = (float(end) - float(start)) / len(parts)
            for index, word in enumerate(parts):
                if not word.endswith("-"):
                    time = float(start) + index * step
                    lines.append(f"{call} {side} {time:.3f} {step:.3f} {word}")
    return lines


def score(root, set_name, folder, ctm):
    """Sum of words and errors that hubscr counts."""
    if shutil.which("sctk") is None:
        message = "sctk is not installed: the references were NOT given to hubscr"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    stm = repaired(
        merged(read_stm(path) for path in sorted(root.glob(REFERENCES[set_name])))
    )
    (folder / "ref.stm").write_text(stm.to_text(), encoding="utf-8")
    (folder / "hyp.ctm").write_text("\n".join(ctm) + "\n", encoding="utf-8")
    shutil.copyfile(root / GLMS[set_name], folder / "rules.glm")
    command = "sctk hubscr.pl -V -l english -h hub5 -g rules.glm -r ref.stm hyp.ctm"
    result = subprocess.run(command.split(), cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    report = (folder / "hyp.ctm.filt.raw").read_text(encoding="utf-8")
    numbers = re.search(r"\| Sum +\|([ \d]+)\|([ \d]+)\|", report)
    segments, words = map(int, numbers.group(1).split())
    errors = int(numbers.group(2).split()[4])
    return words, errors


@pytest.mark.parametrize("set_name", sorted(REFERENCES))
def test_a_perfect_hypothesis_has_no_error_in_hubscr(tiny, tmp_path, set_name):
    ctm = perfect_ctm(tiny, set_name)
    words, errors = score(tiny, set_name, tmp_path, ctm)
    assert words >= 30
    assert errors == 0


def test_a_wrong_word_is_one_error(tiny, tmp_path):
    """Otherwise the test above could pass because everything is optional."""
    ctm = perfect_ctm(tiny, "rt03s")
    position = next(i for i, line in enumerate(ctm) if line.endswith(" my"))
    ctm[position] = ctm[position][:-3] + " wrong"
    assert score(tiny, "rt03s", tmp_path, ctm)[1] == 1
