"""Your own data directories: checked, taken over, and decoded in the end."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_ext.corpus.kaldi_dir import read_data_dir
from espnet_ext.errors import FormatError, MissingInputError, OptionError
from espnet_ext.files import read_lines
from espnet_ext.recipe import cli
from espnet_ext.recipe.parse import parse, skipped_stages
from espnet_ext.recipe.stages import data
from tests.recipe.folders import RATE_HZ, SETS, context, make_recipe, run_stage
from tests.shared import REPOSITORY, shared_file

NAMES = ("--train_set", "train", "--valid_set", "dev", "--test_sets", "rt03s")
OWN = ("--skip_data_prep", "true", "--datadir", "theirs/data", *NAMES)
TINY = str(REPOSITORY / "tests" / "e2e" / "train_tiny.yaml")


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """Somebody's recipe folder beside ours: its paths are relative to itself."""
    (tmp_path / "theirs").mkdir()
    monkeypatch.chdir(tmp_path / "theirs")
    make_recipe(tmp_path / "theirs")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "theirs" / "data"


def contents(folder: Path) -> dict:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_sets_are_taken_over_and_theirs_stay_as_they_are(theirs):
    before = contents(theirs)
    (theirs / "rt03s/stm").write_text("x A x 0 1 yeah\n")
    (theirs / "rt03s/glm").write_text(";; none\n")
    before.update(contents(theirs / "rt03s"))
    facts = run_stage(1, *OWN)
    assert contents(theirs) == before and not Path("data").exists()
    assert "8 utterances" in facts["train"]
    for name in SETS:
        taken = read_data_dir(f"dump/data/{name}")
        original = read_data_dir(theirs / name)
        ids = [(u.utterance_id, u.text, u.start_s, u.channel) for u in taken]
        assert ids == [(u.utterance_id, u.text, u.start_s, u.channel) for u in original]
        assert all(Path(u.audio_path).is_file() for u in taken)
    assert (Path("dump/data/rt03s/stm")).read_text() == "x A x 0 1 yeah\n"


def test_joined_segments_and_a_selection_on_a_test_set_stay_what_they_are(theirs):
    first = read_data_dir(theirs / "dev")[0].utterance_id
    (theirs / "dev/utt2parts").write_text(f"{first} 0.00 0.20 0.30 0.50\n")
    (theirs / "dev/SELECTION_ON_TEST_SET").write_text("dev is a test set\n")
    run_stage(1, *OWN)
    run_stage(3, *OWN, only="dev")
    samples = dict(
        line.split() for line in read_lines("dump/raw/org/dev/utt2num_samples")
    )
    assert samples[first] == str(round(0.4 * 8000))
    assert Path("dump/raw/org/dev/SELECTION_ON_TEST_SET").is_file()


def test_the_later_stages_write_beside_the_dumped_data_only(theirs):
    perturbed = (*OWN, "--speed_perturb_factors", "0.9 1.0", "--dumpdir", "my dump")
    for number in range(1, 6):
        run_stage(number, *perturbed)
    assert not Path("data").exists() and not Path("dump").exists()
    assert Path("my dump/data/en_token_list/bpe_unigram22/tokens.txt").is_file()
    assert len(read_lines("my dump/raw/train_sp/text")) == 2 * SETS["train"]
    assert len(read_lines("my dump/raw/rt03s/wav.scp")) == SETS["rt03s"]


def test_only_local_data_sh_is_left_out_when_the_sets_are_given():
    assert not set(skipped_stages(parse(list(OWN)))) & {1, 3, 4, 5}
    assert {1, 2, 3, 4, 5} <= set(skipped_stages(parse(list(OWN[:2]))))


@pytest.mark.parametrize("missing", [0, 2, 4])
def test_sets_that_are_not_named_are_asked_for(missing):
    words = [*NAMES[:missing], *NAMES[missing + 2 :]]
    with pytest.raises(OptionError, match=NAMES[missing][2:]):
        parse(["--datadir", "theirs/data", *words])


def test_a_model_that_exists_needs_the_test_sets_alone(theirs):
    words = ("--datadir", "theirs/data", "--download_model", "m.zip")
    with pytest.raises(OptionError, match="test_sets"):
        parse(list(words))
    words += ("--test_sets", "rt03s")
    for number in (1, 3):
        facts = run_stage(number, *words)
        assert list(facts) == ["rt03s"]
    assert len(read_lines("dump/raw/rt03s/wav.scp")) == SETS["rt03s"]
    assert {2, 4, 5, 10, 11, 14} <= set(skipped_stages(parse(list(words))))


def test_a_set_that_is_not_there_names_those_that_are(theirs):
    with pytest.raises(MissingInputError, match="dev, rt03s, train") as caught:
        data.units(context(*OWN, "--train_set", "trian"))
    assert "did you mean train" in str(caught.value)


def test_a_faulty_table_is_named_with_its_line(theirs):
    lines = read_lines(theirs / "dev/text")
    (theirs / "dev/text").write_text("\n".join([lines[1], lines[0], *lines[2:]]) + "\n")
    with pytest.raises(FormatError, match="dev/text line 2"):
        run_stage(1, *OWN)


def test_a_segment_far_past_the_end_of_its_audio_is_an_error(theirs):
    path = theirs / "dev/segments"
    lines = [line.split() for line in read_lines(path)]
    lines[-1][3] = "99"
    path.write_text("".join(" ".join(line) + "\n" for line in lines))
    with pytest.raises(FormatError, match="ends at 99.0 s, the audio has 4.00 s"):
        run_stage(1, *OWN)


def test_one_bad_segment_in_many_is_left_out_and_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs").mkdir()
    monkeypatch.chdir(tmp_path / "theirs")
    make_recipe(tmp_path / "theirs", {"train": 250, "dev": 2, "rt03s": 2})
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "theirs/data/train/segments"
    first, *others = read_lines(path)
    name, recording, _, _ = first.split()
    path.write_text("\n".join([f"{name} {recording} 900 901", *others]) + "\n")
    assert "1 left out" in run_stage(1, *OWN)["train"]
    assert len(read_data_dir("dump/data/train")) == 249
    assert f"left out: {name}" in Path("exp/log/test.log").read_text()
    with pytest.raises(FormatError, match="starts at 900"):
        run_stage(1, *OWN, "--test_sets", "train", "--train_set", "dev")


def archived(folder: Path, **write) -> dict:
    """The recordings of a set put into a Kaldi archive; returns their samples."""
    from omniio.tools import kaldi

    samples = {}
    for line in read_lines(folder / "wav.scp"):
        name, _, audio = line.partition(" ")
        samples[name] = soundfile.read(folder.parents[1] / audio, dtype="int16")[0]
    (folder.parent / "arks").mkdir()
    kaldi.save_ark(
        str(folder.parent / "arks/audio.ark"),
        {name: (RATE_HZ, array) for name, array in samples.items()},
        scp=str(folder / "wav.scp"),
        **write,
    )
    return samples


@pytest.mark.parametrize(
    "write",
    [{}, {"write_function": "soundfile", "write_kwargs": {"format": "flac"}}],
    ids=["wav", "flac"],
)
def test_audio_in_kaldi_archives_is_unpacked_without_a_change(theirs, write):
    samples = archived(theirs / "dev", **write)
    run_stage(1, *OWN)
    run_stage(3, *OWN, only="dev")
    taken = read_data_dir("dump/data/dev")
    assert {u.recording_id for u in taken} == set(samples) and len(samples) == 2
    for u in taken:
        found, rate = soundfile.read(u.audio_path, dtype="int16")
        assert rate == RATE_HZ and np.array_equal(found, samples[u.recording_id])
    (unit,) = [u for u in data.units(context(*OWN)) if u.kind == "dev"]
    assert theirs / "arks/audio.ark" in [Path.cwd() / path for path in unit.inputs]


def test_archives_that_hold_no_audio_or_are_absent_are_named(theirs):
    from omniio.tools import kaldi

    path = theirs / "dev/wav.scp"
    a, b = [line.split()[0] for line in read_lines(path)]
    features = {a: np.ones((5, 3), dtype=np.float32)}
    kaldi.save_ark(str(theirs / "feats.ark"), features, scp=str(path))
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{b} /nowhere/b.ark:12\n")
    with pytest.raises(FormatError) as caught:
        run_stage(1, *OWN)
    message = str(caught.value)
    assert "features, not audio" in message and "/nowhere/b.ark:12" in message


def test_all_audio_that_is_missing_is_named_in_one_error(theirs):
    path = theirs / "dev/wav.scp"
    a, b = [line.split()[0] for line in read_lines(path)]
    path.write_text(f"{a} /nowhere/a.wav\n{b} /nowhere/b.wav\n")
    with pytest.raises(FormatError) as caught:
        run_stage(1, *OWN)
    assert "2 problem(s)" in str(caught.value) and "/nowhere/b.wav" in str(caught.value)


@pytest.mark.parametrize(
    "command", ["sph2pipe -f wav -p -c 2 {0} |", "flac -c -d -s {0} |", "cat {0} |"]
)
def test_commands_that_only_decode_are_read_as_their_file(theirs, command):
    """The second side of a call for sph2pipe -c 2, the first one for the others."""
    audio = theirs.parent / "downloads/dev.wav"
    folder = theirs / "dev"
    (folder / "wav.scp").write_text(f"call {command.format(audio)}\n")
    for name in ("text", "utt2spk"):
        value = {"text": "yeah", "utt2spk": "call"}[name]
        (folder / name).write_text(f"call {value}\n")
    (folder / "spk2utt").write_text("call call\n")
    for name in ("segments", "reco2file_and_channel"):
        (folder / name).unlink()
    run_stage(1, *OWN)
    run_stage(3, *OWN, only="dev")
    samples, _ = soundfile.read("dump/raw/audio/dev/call/call.flac", dtype="int16")
    whole, _ = soundfile.read(audio, dtype="int16")
    assert np.array_equal(samples, whole[:, int("-c 2" in command)])


# AN4: recorded speech at 16 kHz in SPHERE files

AN4_SETS = {
    "an4_train": "fash/an251-fash-b fash/an253-fash-b fbbh/cen8-fbbh-b "
    "mwhw/an152-mwhw-b",
    "an4_dev": "mwhw/cen8-mwhw-b",
    "an4_test": "fcaw/cen8-fcaw-b mmxg/cen8-mmxg-b",
}
AN4 = "--train_set an4_train --valid_set an4_dev --test_sets an4_test".split()


def kaldi_form(root: Path, with_segments: bool) -> None:
    """AN4 as Kaldi's recipes lay it out, one SPHERE file an utterance."""
    texts = {}
    for part in ("train", "test"):
        for line in read_lines(
            shared_file(f"data/an4-mini/etc/an4_{part}.transcription")
        ):
            words, _, name = line.rpartition(" ")
            texts[name.strip("()")] = words.replace("<s>", "").replace("</s>", "")
    for set_name, files in AN4_SETS.items():
        tables = {"wav.scp": [], "text": [], "utt2spk": [], "segments": []}
        speakers = {}
        part = "an4test_clstk" if set_name == "an4_test" else "an4_clstk"
        for file in files.split():
            audio = shared_file(f"data/an4-mini/wav/{part}/{file}.sph")
            speaker, name = file.split("/")
            utterance = f"{speaker}-{name}"
            recording = name if with_segments else utterance
            command = f"sph2pipe -f wav -p -c 1 {audio} |"
            tables["wav.scp"].append(f"{recording} {command}")
            tables["segments"].append(f"{utterance} {recording} 0.1 0.6")
            tables["text"].append(f"{utterance} {' '.join(texts[name].split())}")
            tables["utt2spk"].append(f"{utterance} {speaker}")
            speakers.setdefault(speaker, []).append(utterance)
        tables["spk2utt"] = [f"{s} {' '.join(u)}" for s, u in speakers.items()]
        if not with_segments:
            del tables["segments"]
        folder = root / set_name
        folder.mkdir(parents=True)
        for table, lines in tables.items():
            (folder / table).write_text("".join(line + "\n" for line in sorted(lines)))


@pytest.mark.parametrize("with_segments", [False, True])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_an4_is_dumped_at_the_rate_asked_for_with_and_without_segments(
    tmp_path, monkeypatch, rate, with_segments
):
    monkeypatch.chdir(tmp_path)
    kaldi_form(tmp_path / "an4", with_segments)
    words = ("--datadir", "an4", *AN4, "--fs", str(rate))
    run_stage(1, *words)
    run_stage(3, *words)
    dumped = read_data_dir("dump/raw/org/an4_train")
    assert len(dumped) == 4 and dumped[0].utterance_id == "fash-an251-fash-b"
    for utterance in dumped:
        info = soundfile.info(utterance.audio_path)
        assert info.samplerate == rate
        if with_segments:
            assert info.frames == round(0.5 * rate)
    (test,) = [u for u in read_data_dir("dump/raw/an4_test") if "fcaw" in u.audio_path]
    assert test.text == "ELEVEN TWENTY SEVEN FIFTY SEVEN"


@pytest.mark.slow
def test_an4_goes_through_every_stage_at_16_khz(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    kaldi_form(tmp_path / "their corpus", with_segments=False)
    settings = "--corpus embedded --fs 16k --lang en --nbpe 22 --nj 1 --inference_nj 1"
    words = [*settings.split(), "--ngpu", "0", "--use_lm", "false", *AN4]
    words += ["--skip_data_prep", "true", "--datadir", "their corpus"]
    words += ["--dumpdir", "d", "--expdir", "e", "--asr_config", TINY]
    words += ["--asr_args", "--max_epoch 1 --batch_bins 200000"]
    words += ["--inference_asr_model", "valid.loss.ave.pth"]
    words += ["--inference_args", "--beam_size 2"]
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY}:{os.environ.get('PYTHONPATH', '')}")
    assert cli.main(words) == 0, capfd.readouterr().err
    screen = capfd.readouterr().out
    (results,) = Path("e").glob("asr_*/RESULTS.md")
    text = results.read_text(encoding="utf-8")
    assert "/an4_test|2|10|" in text and "synthetic" not in text
    assert "an4_test" in screen and not Path("data").exists()
    config = next(Path("e").glob("asr_*/config.yaml")).read_text(encoding="utf-8")
    assert "fs: 16k" in config
    assert cli.main(words) == 0
    again = capfd.readouterr().out
    assert " finished in " not in again.replace("Finished stages", "")
