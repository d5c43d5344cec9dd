"""One corpus in the layouts that sites have: the same sets come out of each."""

import os
import shutil
from pathlib import Path

import pytest
import soundfile

from espnet_ext.corpus.audio import read_segment
from espnet_ext.corpus.corpora import roots_below
from espnet_ext.corpus.kaldi_dir import read_data_dir
from espnet_ext.corpus.prepare import prepare
from espnet_ext.corpus.settings import Settings
from tests.shared import shared_file

SETS = ("train_nodup", "train_dev", "hub5e_00", "hub5e_01", "rt03s")
SETTINGS = Settings(split="kaldi", dev_utterances=8)


def prepared(roots, folder):
    prepare(roots, folder, settings=SETTINGS, say=lambda line: None)
    return {
        name: {
            u.utterance_id: (u.text, u.speaker_id, u.start_s, u.end_s)
            for u in read_data_dir(folder / name)
        }
        for name in SETS
    }


@pytest.fixture
def tree(tmp_path):
    source = shared_file("data/ldc-mini/ORIGIN.md").parent
    return shutil.copytree(source, tmp_path / "tree")


def upper_case_names(tree: Path) -> Path:
    for path in sorted(tree.rglob("*"), key=lambda p: -len(p.parts)):
        path.rename(path.with_name(path.name.upper()))
    return tree


def lower_case_names_one_level_down(tree: Path) -> Path:
    (tree / "ldc").mkdir()
    for path in sorted(tree.glob("LDC*")):
        path.rename(tree / "ldc" / f"corpus_{path.name.lower()}_v1")
    return tree


def links_in_one_folder(tree: Path) -> Path:
    flat = tree / "flat"
    for release in sorted(tree.glob("LDC*")):
        target = flat / release.name
        target.mkdir(parents=True)
        for path in sorted(release.rglob("*")):
            if path.is_file():
                os.symlink(path, target / path.name)
    return flat


def both_sides_in_a_wav(tree: Path) -> Path:
    for path in sorted(tree.rglob("*.sph")):
        samples, rate = soundfile.read(path, dtype="int16")
        soundfile.write(path.with_suffix(".wav"), samples, rate, subtype="ULAW")
        path.unlink()
    return tree


def each_side_in_a_flac(tree: Path) -> Path:
    names = ("{}-A {}-B", "{}_a {}_b", "{}.1 {}.2")
    for number, path in enumerate(sorted(tree.rglob("*.sph"))):
        samples, rate = soundfile.read(path, dtype="int16")
        for side, name in enumerate(names[number % 3].split()):
            target = path.with_name(f"{name.format(path.stem)}.flac")
            soundfile.write(target, samples[:, side], rate)
        path.unlink()
    return tree


def short_names_of_calls(tree: Path) -> Path:
    for path in sorted(tree.rglob("sw0*.sph")):
        path.rename(path.with_name(f"sw{path.name[3:]}"))
    return tree


LAYOUTS = (
    upper_case_names,
    lower_case_names_one_level_down,
    links_in_one_folder,
    both_sides_in_a_wav,
    each_side_in_a_flac,
    short_names_of_calls,
)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
def test_the_same_sets_come_out_of_each_layout(layout, tree, tmp_path):
    source = shared_file("data/ldc-mini/ORIGIN.md").parent
    expected = prepared(roots_below(source), tmp_path / "expected")
    roots = roots_below(layout(tree))
    assert len(roots) == 7
    assert prepared(roots, tmp_path / "data") == expected
    for name in SETS:
        wanted = {
            u.utterance_id: u for u in read_data_dir(tmp_path / "expected" / name)
        }
        for u in read_data_dir(tmp_path / "data" / name):
            original = wanted[u.utterance_id]
            samples, rate = read_segment(u.audio_path, u.channel, u.start_s, u.end_s)
            same, _ = read_segment(
                original.audio_path, original.channel, u.start_s, u.end_s
            )
            assert rate == 8000 and (samples == same).all()


def test_transcripts_apart_from_the_audio(tree, tmp_path):
    source = shared_file("data/ldc-mini/ORIGIN.md").parent
    expected = prepared(roots_below(source), tmp_path / "expected")
    folder = tree / "LDC97S62" / "transcriptions"
    folder.rename(tmp_path / "ms98")
    roots = {**roots_below(tree), "swbd_trans": tmp_path / "ms98"}
    assert prepared(roots, tmp_path / "data") == expected


def test_a_number_with_further_digits_is_another_release(tmp_path):
    (tmp_path / "LDC97S621").mkdir()
    (tmp_path / "LDC2002S09").mkdir()
    assert list(roots_below(tmp_path)) == ["eval2000_audio"]
