"""The console command: verbs, help, statuses, and that it starts at once."""

import subprocess
import sys

import pytest

from espnet_ext import __version__
from espnet_ext.cli import VERBS, Verb, main


def test_help_lists_every_verb(capsys):
    assert main(["--help"]) == 0
    output = capsys.readouterr().out
    for name, verb in VERBS.items():
        assert name in output and verb.help in output


@pytest.mark.parametrize("argv", [[], ["-h"], ["help"]])
def test_no_verb_prints_the_help(argv, capsys):
    assert main(argv) == 0
    assert "usage: espnet-ext VERB" in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"espnet-ext {__version__}\n"


def test_a_mistyped_verb_is_refused_with_the_nearest_one(capsys):
    assert main(["docter"]) == 1
    message = capsys.readouterr().err
    assert "'docter'" in message and "espnet-ext doctor" in message
    assert "Traceback" not in message


def test_a_verb_unlike_any_other_is_refused_with_the_help(capsys):
    assert main(["xyzzy"]) == 1
    assert "espnet-ext --help" in capsys.readouterr().err


def test_a_verb_gets_its_options_and_its_status_is_returned(monkeypatch):
    module = type(sys)("verb_under_test")
    seen = []
    module.main = lambda argv: seen.append(argv) or 5
    monkeypatch.setitem(sys.modules, "verb_under_test", module)
    monkeypatch.setitem(VERBS, "probe", Verb("verb_under_test", "for this test"))
    assert main(["probe", "--deep", "x"]) == 5
    assert seen == [["--deep", "x"]]


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_explains_itself(name, capsys):
    """Each module exists, and its --help is a help and ends with status 0."""
    try:
        status = main([name, "--help"])
    except SystemExit as stopped:
        status = stopped.code
    assert status in (0, None)
    assert "usage:" in capsys.readouterr().out


@pytest.mark.parametrize("name", VERBS)
def test_an_unknown_option_of_a_verb_fails_without_traceback(name, capsys):
    try:
        status = main([name, "--no-such-option"])
    except SystemExit as stopped:
        status = stopped.code
    assert status not in (0, None)
    assert "Traceback" not in capsys.readouterr().err


def test_the_module_is_the_command_and_works_from_anywhere(tmp_path):
    finished = subprocess.run(
        [sys.executable, "-m", "espnet_ext", "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout == f"espnet-ext {__version__}\n"


def test_the_help_needs_neither_torch_nor_espnet():
    program = (
        "import sys; from espnet_ext.cli import main; main(['--help']);"
        "sys.exit(' '.join({'torch', 'espnet2', 'numpy'} & set(sys.modules)) or 0)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    assert finished.stderr.strip() == "" and finished.returncode == 0
