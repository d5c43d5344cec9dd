"""Each fault damages what it says it does."""

import shutil

import pytest

from espnet_ext.corpus.audio import audio_info
from espnet_ext.corpus.corpora import roots_below
from espnet_ext.corpus.embedded.faults import FAULTS, audio_of, inject, transcript_of
from espnet_ext.corpus.prepare import prepare
from espnet_ext.corpus.swbd import read_transcript
from espnet_ext.corpus.validation import validate_data_dir
from espnet_ext.errors import (
    AudioError,
    FormatError,
    MissingInputError,
    OptionError,
    UserError,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(tiny, tmp_path):
    """A copy of the tree that may be damaged."""
    return shutil.copytree(tiny, tmp_path / "tree", symlinks=True)


def contents(root):
    return {
        path.relative_to(root): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_fault_changes_the_place_that_it_names(tiny, copy, name):
    path = inject(name, copy)
    before, after = contents(tiny), contents(copy)
    changed = [p for p in before.keys() | after.keys() if before.get(p) != after.get(p)]
    assert changed
    if path.exists():
        assert changed == [path.relative_to(copy)]


@pytest.mark.parametrize(
    "name", ["truncated_audio", "truncated_header", "empty_audio", "web_page_as_audio"]
)
def test_damaged_audio_cannot_be_read(copy, name):
    path = inject(name, copy)
    with pytest.raises(AudioError) as error:
        audio_info(path)
    assert path.name in str(error.value)


def test_a_shorten_header_is_still_a_sphere_header(copy):
    path = inject("shorten_header", copy)
    from espnet_ext.corpus.sphere import read_header

    assert read_header(path).compression == "shorten"


@pytest.mark.parametrize(
    "name, error",
    [
        ("empty_transcript", FormatError),
        ("broken_transcript_line", FormatError),
        ("segment_backwards", FormatError),
        ("transcript_not_utf8", FormatError),
        ("transcript_missing", MissingInputError),
    ],
)
def test_damaged_transcripts_cannot_be_read(copy, name, error):
    path = inject(name, copy)
    with pytest.raises(error):
        read_transcript(path)


def test_the_segment_past_the_end_is_past_the_end(copy):
    path = inject("segment_past_the_end", copy)
    last = read_transcript(path)[-1]
    assert last.end_s > audio_info(audio_of(copy)).duration_s + 5
    assert path == transcript_of(copy)


def test_an_unknown_fault_names_the_nearest(tmp_path):
    with pytest.raises(OptionError, match="truncated_audio"):
        inject("truncate_audio", tmp_path)


# a file that is not there is named by what needed it
NAMED_BY_OTHERS = {
    "audio_missing": "transcript without audio: 2, first sw02001-A",
    "transcript_missing": "audio without transcript: 1, first sw02001-A",
    "dictionary_missing": "no sw-ms98-dict.text",
    "audio_folder_missing": "hub5e_00 needs audio and transcripts",
    "dangling_link": "transcript without audio",
    "glm_missing": "hub5e_00: no GLM found",
    "segment_past_the_end": "past the end of the audio: 1, first sw02001-A",
}


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_the_preparation_finds_each_fault_and_names_its_place(copy, tmp_path, name):
    path = inject(name, copy)
    try:
        report = prepare(roots_below(copy), tmp_path / "data", say=lambda line: None)
        found = "\n".join(report.warnings)
    except UserError as error:
        found = error.message()
    assert NAMED_BY_OTHERS.get(name, path.name) in found


def test_a_corpus_without_faults_raises_no_false_alarm(tiny, tmp_path):
    report = prepare(roots_below(tiny), tmp_path / "data", say=lambda line: None)
    assert report.warnings == []
    for folder in sorted((tmp_path / "data").iterdir()):
        if (folder / "wav.scp").exists():
            assert validate_data_dir(folder, rate=8000).problems == []
