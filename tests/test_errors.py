"""What a user sees after bad input, and which status the shell gets."""

import subprocess
import sys

import pytest

from espnet_ext import errors
from espnet_ext.errors import UserError, run_main


def test_a_message_says_where_what_was_expected_and_what_to_do():
    error = UserError(
        "0 samples", where="wav.scp line 812", expected="some", next_step="list them"
    )
    assert str(error) == (
        "wav.scp line 812: 0 samples\n  expected: some\n  next: list them"
    )


def test_a_message_without_details_is_one_line():
    assert str(UserError("no such stage")) == "no such stage"


@pytest.mark.parametrize(
    "name", [name for name in dir(errors) if name.endswith("Error")]
)
def test_every_named_error_is_a_user_error_with_a_documented_meaning(name):
    error = getattr(errors, name)
    assert issubclass(error, UserError)
    assert error.__doc__


def test_a_user_error_becomes_a_message_and_status_one(capsys):
    def fail():
        raise UserError("no space left", where="exp")

    assert run_main(fail) == 1
    output = capsys.readouterr()
    assert output.err == "error: exp: no space left\n"
    assert output.out == ""


@pytest.mark.parametrize("returned, status", [(None, 0), (0, 0), (3, 3)])
def test_the_status_of_the_command_is_kept(returned, status):
    assert run_main(lambda: returned) == status


def test_an_interrupt_says_that_results_are_kept_and_gives_status_130(capsys):
    def interrupted():
        raise KeyboardInterrupt

    assert run_main(interrupted) == 130
    assert "run the same command again" in capsys.readouterr().err


def test_a_programming_error_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_main(lambda: 1 // 0)


def test_a_reader_that_closes_the_pipe_is_no_error():
    """``espnet-ext data ... | head`` must not end in a traceback."""
    program = (
        "import sys; from espnet_ext.errors import run_main\n"
        "sys.exit(run_main(lambda: print('line\\n' * 100000)))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=10)
    assert complaint == ""
