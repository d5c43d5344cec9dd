"""Each awkward line of the embedded corpus becomes what a person wrote down."""

import re
from pathlib import Path

import pytest

from espnet_ext.corpus.corpora import roots_below
from espnet_ext.corpus.embedded.special import EVAL_CASES, TRAIN_CASES
from espnet_ext.corpus.kaldi_dir import hundredths, read_data_dir
from espnet_ext.corpus.prepare import prepare
from espnet_ext.corpus.settings import Settings
from espnet_ext.files import read_lines

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
MS98 = "LDC97S62/transcriptions/swb_ms98_transcriptions"
STM = (
    "LDC2002T43/2000_hub5_eng_eval_tr/reference/hub5e00.english.000405.stm",
    re.compile(r"^(\S+) ([AB]) \S+ (\S+) (\S+) <\S+> ?(.*)$"),
)


def expected(name):
    """Column texts by the first column; ``=`` repeats the column before."""
    rows = {}
    for line in read_lines(HERE / name):
        if not line.startswith("#"):
            first, *texts = line.split("\t")
            for n in range(1, len(texts)):
                texts[n] = texts[n - 1] if texts[n] == "=" else texts[n]
            rows[first] = ["" if text == "-" else text for text in texts]
    return rows


TRAINING = expected("expected_training.tsv")
EVALUATION = expected("expected_evaluation.tsv")


@pytest.fixture(scope="module", params=["plain", "rwth", "kaldi"])
def prepared(tiny, tmp_path_factory, request):
    """Profile, tree and data directories."""
    folder = tmp_path_factory.mktemp(request.param)
    settings = Settings(profile=request.param)
    prepare(roots_below(tiny), folder, settings=settings, say=lambda line: None)
    return request.param, tiny, folder


def test_the_tables_cover_every_awkward_line():
    assert set(TRAINING) == {line for lines in TRAIN_CASES.values() for line in lines}
    written = {case.stm for cases in EVAL_CASES.values() for case in cases if case.stm}
    assert written <= set(EVALUATION)
    assert len(EVALUATION) == sum(len(cases) for cases in EVAL_CASES.values()) - 1


def test_training_lines_become_the_text_of_the_profile(prepared):
    profile, tree, folder = prepared
    column = ["plain", "rwth", "kaldi"].index(profile)
    texts = {
        u.utterance_id: u.text
        for name in ("train", "dev")
        for u in read_data_dir(folder / name)
    }
    seen = set()
    for path in sorted((tree / MS98).rglob("*-trans.text")):
        for line in read_lines(path):
            name, start, end, words = line.split(None, 3)
            if words not in TRAINING:
                continue
            seen.add(words)
            times = f"{hundredths(float(start)):06d}-{hundredths(float(end)):06d}"
            utterance = f"sw0{name[2:6]}-{name[6]}_{times}"
            wanted = TRAINING[words][column]
            assert texts.get(utterance, "") == wanted, words
            assert (utterance in texts) == bool(wanted)
    assert seen == set(TRAINING)


def test_references_become_one_plain_reading(prepared):
    profile, tree, folder = prepared
    path, row = STM
    texts = {u.utterance_id: u.text for u in read_data_dir(folder / "hub5e_00")}
    seen = set()
    for line in read_lines(tree / path):
        match = row.match(line)
        if match is None or match[5] not in EVALUATION:
            continue
        seen.add(match[5])
        times = [hundredths(float(match[n])) for n in (3, 4)]
        utterance = f"{match[1]}-{match[2]}_{times[0]:06d}-{times[1]:06d}"
        wanted = EVALUATION[match[5]][profile == "kaldi"]
        assert texts.get(utterance, "none") == wanted
    assert seen == set(EVALUATION)
