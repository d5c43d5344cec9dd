"""What is wrong with an alignment command is said in a message, never a traceback."""

import pytest
import torch
import yaml

from espnet_ext.alignment.store import read_set
from espnet_ext.bin.align import main
from tests.bin.align_experiment import arguments, write_data, write_model

pytestmark = pytest.mark.slow

TOKENS = ["<blank>", "<unk>", "<space>", *"abcde", "<sos/eos>"]
OTHERS = ["<blank>", "<unk>", "<space>", *"abcdefgh", "<sos/eos>"]
TEXTS = {"u1": "bad", "u2": "a bee"}
LENGTHS = {"u1": 6000, "u2": 8000}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """A tiny transducer of characters, and another one with more of them beside it."""
    root = tmp_path_factory.mktemp("errors")
    write_model(root, TOKENS)
    write_data(root, TEXTS, LENGTHS)
    other = root / "other"
    other.mkdir()
    write_model(other, OTHERS)
    write_data(other, {"u1": "hag", "u2": "ebb"}, LENGTHS)
    assert main(arguments(root, "run", "--output_dir", root / "align")) == 0
    assert main(arguments(other, "run", "--output_dir", other / "align")) == 0
    return root


def with_value(command, option, value, place=0):
    """The command with another value of an option."""
    at = [n for n, word in enumerate(command) if word == option][place] + 1
    return [*command[:at], str(value), *command[at + 1 :]]


def message_of(capsys, command):
    """What a command says that has to fail; it writes no result."""
    capsys.readouterr()
    assert main([str(word) for word in command]) == 1
    screen = capsys.readouterr().err
    text = screen[screen.index("error: ") :]
    assert "Traceback" not in screen
    return text


SPEECH, TEXT = (("--data_path_and_name_and_type", n) for n in (0, 1))
WRONG = {
    "config": ("--asr_train_config", "no.yaml", "no.yaml: there is no such file"),
    "weights": ("--asr_model_file", "no.pth", "no.pth: there is no such file"),
    "audio list": (SPEECH, "no.scp,speech,sound", "there is no file no.scp"),
    "text": (TEXT, "no,text,text", "there is no file no"),
    "two texts": (SPEECH, "{root}/text,text,text", "expected: speech and text, each"),
    "type": (SPEECH, "{root}/wav.scp,speech,noise", "loader_type=noise"),
    "no name": (TEXT, "text", "expected: FILE,speech,sound or FILE,text,text"),
    "other model": ("--asr_model_file", "{root}/other/model.pth", "size mismatch"),
    "no weights": ("--asr_model_file", "{root}/text", "expected: those that were"),
    "no config": ("--asr_train_config", "{root}/text", "text: no configuration"),
}
ADDED = {
    "keys": ("--key_file no.keys", "--key_file: there is no file no.keys"),
    "format": ("--formats praat", "expected: kaldi, ctm, textgrid, hdf5"),
    "near format": ("--formats texgrid", "next: did you mean 'textgrid'?"),
    "method": ("--method best", "expected: exact, sum_alpha, posterior"),
    "topology": ("--topology rnnn", "rnnt"),
    "output": ("--output aux:3", "expected: transducer, ctc"),
    "device": ("--device cudda", "--device: 'cudda' cannot be used"),
    "no prior": ("--output ctc --prior no.npz", "no.npz: there is no prior"),
    "prior": ("--output ctc --prior {root}/text", "text: it holds no prior"),
    "prior of a transducer": ("--prior {root}/prior.npz", "expected: that of output"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files_are_named_with_what_is_expected(
    experiment, tmp_path, capsys, name
):
    option, value, expected = WRONG[name]
    option, place = option if isinstance(option, tuple) else (option, 0)
    command = arguments(experiment, "run", "--output_dir", tmp_path / "out")
    command = with_value(command, option, value.format(root=experiment), place)
    text = message_of(capsys, command)
    assert expected in text and "\n  " in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ADDED)
def test_wrong_options_are_named_with_what_is_expected(
    experiment, tmp_path, capsys, name
):
    prior = ["prior", "--output", "ctc", "--file", experiment / "prior.npz"]
    if not (experiment / "prior.npz").exists():
        assert main(arguments(experiment, *prior)) == 0
    words, expected = ADDED[name]
    command = arguments(experiment, "run", "--output_dir", tmp_path / "out")
    text = message_of(capsys, [*command, *words.format(root=experiment).split()])
    assert expected in text and "\n  " in text
    assert not (tmp_path / "out").exists()


def changed_config(experiment, **values):
    """The configuration with other values, in a file beside it."""
    config = yaml.safe_load((experiment / "config.yaml").read_text(encoding="utf-8"))
    path = experiment / "changed.yaml"
    path.write_text(yaml.safe_dump({**config, **values}), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "values, expected",
    [
        ({"token_list": OTHERS}, "size mismatch"),
        ({"token_list": ["<blank>", "x", *TOKENS[2:]]}, "Unknown symbol '<unk>'"),
        ({"bpemodel": "no.model", "token_type": "bpe"}, "there is no file no.model"),
        ({"encoder": "conv_blstn"}, "next: encoder: conv_blstm"),
    ],
)
def test_a_wrong_configuration_is_told(experiment, tmp_path, capsys, values, expected):
    command = arguments(experiment, "run", "--output_dir", tmp_path / "out")
    path = changed_config(experiment, **values)
    assert expected in message_of(capsys, with_value(command, command[1], path))


def test_weights_that_lack_a_part_of_a_stock_model_are_refused(tmp_path, capsys):
    """ESPnet itself would leave it as it was drawn."""
    stock = {"encoder": "rnn", "model": "espnet", "model_conf": {"ctc_weight": 1.0}}
    stock["encoder_conf"] = {"num_layers": 1, "hidden_size": 4, "output_size": 6}
    model = write_model(tmp_path, TOKENS, decoder=None, decoder_conf={}, **stock)
    write_data(tmp_path, TEXTS, LENGTHS)
    state = model.state_dict()
    state.pop("ctc.ctc_lo.bias")
    torch.save(state, tmp_path / "model.pth")
    command = arguments(tmp_path, "run", "--output_dir", tmp_path / "out")
    assert "ctc.ctc_lo.bias and 0 more are not in it" in message_of(capsys, command)


def test_utterances_that_cannot_be_aligned_are_listed_and_the_others_kept(
    experiment, tmp_path, capsys
):
    lines = (experiment / "wav.scp").read_text(encoding="utf-8")
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    lines += f"u3 {tmp_path}/no.wav\nu4 {tmp_path}/broken.wav\n"
    lines += f"u5 {experiment}/u1.wav\n"
    (tmp_path / "wav.scp").write_text(lines, encoding="utf-8")
    texts = {**TEXTS, "u3": "a", "u4": "a", "u5": "bad" * 200, "u6": "a"}
    text = "".join(f"{key} {words}\n" for key, words in texts.items())
    (tmp_path / "text").write_text(text, encoding="utf-8")
    command = arguments(experiment, "run", "--output_dir", tmp_path / "out")
    for place, name in enumerate(("wav.scp,speech,sound", "text,text,text")):
        command = with_value(command, SPEECH[0], tmp_path / name, place)
    assert main(command) == 0
    screen = capsys.readouterr().out
    assert "2 of 6 utterances aligned" in screen
    assert "failed: u5: no rna alignment: 600 labels are too many" in screen
    assert list(read_set(tmp_path / "out").failed) == ["u3", "u4", "u6", "u5"]


def test_alignments_of_another_model_are_not_read_as_those_of_this_one(
    experiment, tmp_path, capsys
):
    one, other = experiment / "align", experiment / "other" / "align"
    formats = ["--formats", "kaldi ctm textgrid", "--output_dir", tmp_path]
    assert main(["export", str(other), *map(str, formats)]) == 0
    expected = {
        "alignment.scp": "u1: symbol 1",
        "labels.ctm": "token 'h' is unknown",
        "textgrid": "token 'h' is unknown",
    }
    for name, text in expected.items():
        command = ["import", tmp_path / name, "--like", one]
        assert text in message_of(capsys, [*command, "--output_dir", tmp_path / "x"])
        assert not (tmp_path / "x").exists()
    command = ["import", tmp_path / "alignment.scp", "--like", tmp_path / "nowhere"]
    command += ["--output_dir", tmp_path / "x"]
    assert "next: ./run.sh --stage align" in message_of(capsys, command)
    command = ["import", experiment / "text", "--like", one, "--output_dir", tmp_path]
    assert "is of no known format" in message_of(capsys, command)
    command = ["compare", one, one, "--output_dir", tmp_path / "page"]
    command += ["--utterances", "u9", "--data_dir", experiment]
    assert "u9 is not in both" in message_of(capsys, command)
