import subprocess
import sys

import pytest
import sentencepiece

from espnet_ext.analysis.cli import main
from espnet_ext.analysis.tokenizer import load_tokenizer
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
    words = options(experiment, "--decode", "all")
    words[words.index("hub plain")] = "plain"
    assert main(words) == 0
    results = (experiment / "exp/asr_x/RESULTS.md").read_text()
    assert "|decode/plain|2|4|" in results and "|decode_beam/plain|2|4|" in results


def test_results_of_one_decode_directory_stay_when_another_is_scored(experiment):
    import shutil

    exp = experiment / "exp/asr_x"
    assert main(options(experiment)) == 0
    shutil.copytree(exp / "decode/plain", exp / "decode_beam/plain")
    words = options(experiment, "--decode", "decode_beam")
    words[words.index("hub plain")] = "plain"
    assert main(words) == 0
    table = (exp / "RESULTS.md").read_text().partition("### WER\n")[2]
    rows = [line.split("|")[1] for line in table.splitlines() if line[:2] == "|d"]
    expected = ["dataset", "decode/hub", "decode/plain", "decode_beam/plain"]
    assert rows[:4] == expected
    (exp / "decode/result_rows.json").write_text("[{}]")  # of another version
    assert main(words) == 0
    assert "|decode/hub|" not in (exp / "RESULTS.md").read_text()


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
    results = experiment / "exp/asr_x/RESULTS.md"
    with_model = results.read_text()
    assert "### TER" in with_model
    # ESPnet's config.yaml names it relative to the recipe folder
    (experiment / "data/bpe.model").write_bytes((tmp_path / "bpe.model").read_bytes())
    config = experiment / "exp/asr_x/config.yaml"
    config.write_text("token_type: bpe\nbpemodel: data/bpe.model\n")
    assert main(options(experiment)) == 0
    table = with_model.partition("### TER")[2].partition("###")[0]
    assert table in results.read_text()
    with pytest.raises(MissingInputError):
        load_tokenizer(str(tmp_path / "none"))


def test_pieces_of_subword_nmt_give_the_token_error_rate(experiment, tmp_path):
    from espnet_ext.recipe import subword_nmt

    subword_nmt.learn(["press one thank you done now"] * 3, 8, tmp_path / "bpe.codes")
    cut = load_tokenizer(tmp_path / "bpe.codes")
    assert "".join(cut("press one")).replace("@@", "") == "pressone"
    assert main(options(experiment, "--bpemodel", str(tmp_path / "bpe.codes"))) == 0
    assert "### TER" in (experiment / "exp/asr_x/RESULTS.md").read_text()


def test_an_experiment_of_stock_espnet_is_scored_as_it_lies(
    experiment, monkeypatch, capsys
):
    """Names of sets and decode directory are found; data/ is the one beside exp/."""
    import shutil

    exp = experiment / "exp/asr_x"
    stock = (
        exp / "decode_asr_lm_lm_train_lm_en_bpe2000_valid.loss.ave_asr_model_valid.acc"
    )
    (exp / "decode").rename(stock)
    for extra in ("token", "token_int", "score"):
        shutil.copy(stock / "hub/text", stock / "hub" / extra)
    (stock / "hub/logdir/output.1/1best_recog").mkdir(parents=True)
    (exp / "images").mkdir()
    (exp / "RESULTS.md").write_text("of ESPnet's show_asr_result.sh\n")
    monkeypatch.chdir(experiment)
    assert main(["--exp", "exp/asr_x"]) == 0
    printed = capsys.readouterr().out
    assert "hub.swb" in printed and "plain" in printed
    results = (exp / "RESULTS.md").read_text()
    assert f"|{stock.name}/hub|" in results and f"|{stock.name}/plain|" in results


def test_the_command_loads_neither_torch_nor_espnet():
    code = (
        "import sys, espnet_ext.analysis.cli\n"
        "assert not {'torch', 'espnet', 'espnet2'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
