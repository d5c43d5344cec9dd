"""The text of language models: ids, sizes by source, overlap with test sets."""

import dataclasses

import pytest

from espnet_ext.corpus.fisher import find_transcripts
from espnet_ext.corpus.kaldi_dir import Utterance, write_data_dir
from espnet_ext.corpus.lm_text import write_lm_text
from espnet_ext.corpus.ms98 import PROFILES
from espnet_ext.files import read_lines

LETTERS = dataclasses.replace(PROFILES["rwth"], acronyms="letters")
LONG = "well i was born and raised in new jersey"


def write_set(folder, *texts):
    return write_data_dir(
        folder,
        [
            Utterance(f"sw{n}-A_0", f"sw{n}-A", f"sw{n}-A", text, "x.sph", 0, 0.0, 1.0)
            for n, text in enumerate(texts)
        ],
    )


@pytest.fixture
def made(tmp_path):
    """A data set of both sources, and what the user is told."""
    train = write_set(tmp_path / "train", "yeah yeah", "", "okay")
    fisher = tmp_path / "fisher"
    fisher.mkdir()
    (fisher / "fe_03_00001.txt").write_text(
        f"# fe_03_00001.sph\n\n1.0 2.0 A: u._s. [noise]\n2.0 9.0 B: {LONG}\n"
        "2.0 9.0 A: (( yeah )) okay\n9.0 9.5 A: [laugh]\n"
    )
    calls = find_transcripts([fisher])
    tests = [write_set(tmp_path / "hub5e_00", LONG, "okay", LONG + " there")]
    tests.append(write_set(tmp_path / "rt03s", "yeah"))
    result = write_lm_text(tmp_path / "lm", train, calls, LETTERS, tests)
    return tmp_path / "lm", result


def test_both_sources_are_there_with_ids_and_their_words(made):
    assert read_lines(made[0] / "text") == [
        "sw0-A_0 yeah yeah",
        "sw2-A_0 okay",
        "fe_03_00001-A_000100-000200 u s",
        f"fe_03_00001-B_000200-000900 {LONG}",
        "fe_03_00001-A_000200-000900 yeah okay",
    ]
    assert made[1]["found"] == {"Fisher transcripts": 1}


def test_the_readme_tells_sizes_by_source(made):
    text = (made[0] / "README.md").read_text()
    assert "| Switchboard | 2 | 3 | 2 | 2 |" in text
    assert "| Fisher | 3 | 13 | 13 | 11 |" in text
    assert "dropped, no words: 1" in text


def test_test_sentences_in_it_are_counted_and_warned_of(made):
    """Short sentences do not count: everybody says yeah."""
    text = (made[0] / "README.md").read_text()
    assert "- hub5e_00: 1 of 2" in text and "- rt03s: 0 of 0" in text
    (warning,) = made[1]["warnings"]
    assert warning.startswith("1 of 2 sentences of 8 or more words of hub5e_00")


def test_without_fisher_the_transcripts_alone_are_the_text(tmp_path):
    train = write_set(tmp_path / "train", "yeah")
    result = write_lm_text(tmp_path / "lm", train, {}, LETTERS)
    assert read_lines(tmp_path / "lm/text") == ["sw0-A_0 yeah"]
    assert result["found"] == {} and result["warnings"] == []
