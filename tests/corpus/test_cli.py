"""The console command: verbs, options with - and _, messages without traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from espnet_ext.cli import main
from espnet_ext.corpus.prepare_command import counts
from espnet_ext.errors import OptionError

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_mistyped_verb_is_told_the_nearest(capsys):
    assert main(["data", "prepair"]) == 1
    assert "next: espnet-ext data prepare" in capsys.readouterr().err


def test_help_lists_every_verb(capsys):
    assert main(["data", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(v in shown for v in ("embedded", "prompts", "prepare", "validate"))


def test_a_mistyped_option_is_told_the_nearest(capsys):
    assert main(["data", "prepare", "--data-dri", "x"]) == 1
    assert "did you mean --data_dir?" in capsys.readouterr().err


@pytest.mark.parametrize("dash", ["-", "_"])
def test_prepare_and_validate_from_the_command_line(ldc_tree, tmp_path, capsys, dash):
    out = tmp_path / "data"
    options = ["--root", str(ldc_tree), f"--data{dash}dir", str(out)]
    assert main(["data", "prepare", *options]) == 0
    shown = capsys.readouterr().out
    assert "train" in shown and "rt03s" in shown
    assert main(["data", "validate", str(out / "train"), str(out / "rt03s")]) == 0
    assert "32 utterances, 4 recordings" in capsys.readouterr().out
    with open(out / "train" / "text", "a") as file:
        file.write("aaa unsorted\n")
    listed = tmp_path / "bad"
    assert main(["data", "validate", f"{out}/train", "--list", str(listed)]) == 1
    assert "not sorted" in capsys.readouterr().err
    assert "text line 33" in listed.read_text()


def test_commands_start_without_torch_and_espnet():
    code = (
        "import sys; import espnet_ext.corpus.prepare_command, "
        "espnet_ext.corpus.validate_command; "
        "assert not {'torch', 'espnet2', 'espnet', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


def data_sh(folder, *options, **environment):
    return subprocess.run(
        ["bash", "local/data.sh", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "python": sys.executable,
            **environment,
        },
    )


@pytest.fixture
def recipe(tmp_path):
    """A recipe folder in a path with a blank: links to the real files."""
    folder = tmp_path / "a recipe"
    folder.mkdir()
    (folder / "local").symlink_to(REPOSITORY / "local")
    (folder / "db.sh").symlink_to(REPOSITORY / "egs2/swbd_repro/db.sh")
    return folder


def test_data_sh_takes_one_folder_and_stages(ldc_tree, recipe):
    done = data_sh(recipe, "--corpus-root", str(ldc_tree), "--stop_stage", "2")
    assert done.returncode == 0, done.stderr
    assert (recipe / "data" / "train" / "text").exists()
    assert not (recipe / "data" / "rt03s").exists()


def test_data_sh_takes_roots_from_the_environment(ldc_tree, recipe):
    done = data_sh(recipe, RT03=str(ldc_tree / "LDC2007S10"))
    assert done.returncode == 0, done.stderr
    assert "LDC97S62 not given (Switchboard-1: the sets train and dev)" in done.stdout
    assert sorted(p.name for p in (recipe / "data").glob("rt*")) == [
        *("rt03s", "rt03s_swbd")
    ]
    assert not list((recipe / "data").glob("train*"))


@pytest.mark.parametrize(
    "options, environment, message",
    [
        ([], {}, "no corpus is given"),
        ([], {"SWBD": "/nowhere"}, "/nowhere: folder of LDC97S62 not found"),
        (["--stgae", "1"], {}, "did you mean --stage?"),
        (["--stage"], {}, "--stage needs a value"),
        (["--stage", "9"], {}, "stages 9 to 5"),
        (["--corpus_root", "/nowhere"], {}, "corpus folder not found"),
    ],
)
def test_data_sh_fails_with_a_message(recipe, options, environment, message):
    done = data_sh(recipe, *options, **environment)
    assert done.returncode != 0
    assert message in done.stderr and "Traceback" not in done.stderr


def test_numbers_of_joined_segments_are_a_list_or_all():
    assert counts("") == ()
    assert counts("4,1 2,4") == (1, 2, 4)
    assert counts("all") == (1, 2, 4, 6, 8, 10, 20, 30, 50, 60, 80, 100)
    for wrong in ("0", "-1", "two", "1.5"):
        with pytest.raises(OptionError, match="whole numbers from 1"):
            counts(wrong)


def test_data_sh_passes_options_of_the_program_on(ldc_tree, recipe):
    done = data_sh(
        recipe,
        *("--split", "kaldi", "--dev-utterances", "5", "--concat", "2"),
        *("--corpus_root", str(ldc_tree), "--stop_stage", "3"),
    )
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (recipe / "data").glob("[a-z]*/")}
    assert names == {
        *("train_nodup", "train_dev", "rt03s", "rt03s_swbd", "rt03s_concat2")
    }


def test_data_sh_check_writes_nothing(ldc_tree, recipe):
    done = data_sh(recipe, "--check", SWBD=str(ldc_tree / "LDC97S62"), RT03="/nowhere")
    assert done.returncode == 1 and not (recipe / "data").exists()
    assert "48 utterances" in done.stdout
    assert "! /nowhere: folder of LDC2007S10 not found" in done.stdout
    assert "LDC2004T19 not given (Fisher part 1" in done.stdout
