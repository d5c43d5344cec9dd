import subprocess
import sys

import pytest
import sentencepiece

from espnet_ext.analysis.cli import load_tokenizer, main
from espnet_ext.errors import MissingInputError


def options(root, *more):
    return [
        "--exp", str(root / "exp/asr_x"), "--data", str(root / "data"),
        "--sets", "hub plain", "--scorer", "builtin", *more,
    ]  # fmt: skip


def test_the_only_decode_directory_is_found(experiment, capsys):
    assert main(options(experiment)) == 0
    assert "WER (hub5)" in capsys.readouterr().out
    assert (experiment / "exp/asr_x/index.html").is_file()


def test_several_decode_directories_need_a_choice(experiment, capsys):
    other = experiment / "exp/asr_x/decode_beam/plain"
    other.mkdir(parents=True)
    (other / "text").write_text("u1 a\nu2 b\n")
    assert main(options(experiment)) == 1
    assert "--decode decode" in capsys.readouterr().err
    assert main(options(experiment, "--decode", "decode")) == 0


def test_bad_input_ends_with_a_message_and_a_status(experiment, capsys):
    assert main([*options(experiment)[:2], "--data", "x", "--sets", "none"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "stage 12" in error
    assert "Traceback" not in error


def test_a_sentencepiece_model_gives_the_token_error_rate(experiment, tmp_path):
    (tmp_path / "t.txt").write_text("press one thank you done now\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "t.txt"),
        model_prefix=str(tmp_path / "bpe"),
        vocab_size=30,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    model = str(tmp_path / "bpe.model")
    assert main(options(experiment, "--bpemodel", model)) == 0
    assert "### TER" in (experiment / "exp/asr_x/RESULTS.md").read_text()
    with pytest.raises(MissingInputError):
        load_tokenizer(str(tmp_path / "none"))


def test_the_command_loads_neither_torch_nor_espnet():
    code = (
        "import sys, espnet_ext.analysis.cli\n"
        "assert not {'torch', 'espnet', 'espnet2'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
