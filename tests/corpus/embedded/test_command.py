"""The command: options that make no sense are refused before anything is built."""

import argparse

import pytest

from espnet_ext.corpus.embedded.command import add_arguments, run
from espnet_ext.errors import OptionError


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(argument) for argument in arguments])


@pytest.mark.parametrize(
    "options",
    [
        ["--nj", 0],
        ["--snr_db", 30, 10],
        ["--overlap", 2],
        ["--size", "huge"],
    ],
)
def test_senseless_options_are_refused(tmp_path, options):
    with pytest.raises(OptionError):
        run(parsed("--root", tmp_path / "new", *options))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_finished_corpus_is_described(tiny, capsys):
    assert run(parsed("--root", tiny, "--size", "tiny")) == 0
    printed = capsys.readouterr().out
    assert "nothing to do" in printed
    for name in ("train", "dev", "hub5e_00", "hub5e_01", "rt03s"):
        assert name in printed
