"""The command on a model that was saved, from audio to files and back."""

import numpy as np
import pytest
import soundfile
import torch
import yaml

from espnet_ext.alignment.store import read_set
from espnet_ext.bin.align import main, sources_of
from espnet_ext.errors import OptionError
from tests.alignment.cases import same

TOKENS = ["<blank>", "<unk>", "<space>", *"abcdehlo", "<sos/eos>"]
TEXTS = {"u1": "hello", "u2": "a bad bee", "u3": "he" * 200, "u4": "add"}
LENGTHS = {"u1": 9000, "u2": 12000, "u3": 8000, "u4": 7000}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """A tiny transducer of characters with random weights, audio and text."""
    from espnet_ext.register import register
    from espnet_ext.tasks.asr import TransducerTask

    root = tmp_path_factory.mktemp("align")
    encoder = {"conv_channels": [2], "conv_feature_pooling": [2], "num_layers": 2}
    encoder.update(hidden_size=4, time_pooling=[2])
    joint = {"type": "maxout_readout", "readout_size": 8}
    config = {
        "token_list": TOKENS,
        "token_type": "char",
        "use_preprocessor": True,
        "frontend_conf": {"fs": 8000, "n_fft": 256, "hop_length": 80, "n_mels": 8},
        "encoder": "conv_blstm",
        "encoder_conf": encoder,
        "decoder": "lstm_transducer",
        "decoder_conf": {"embedding_size": 4, "hidden_size": 4, "joint": joint},
        "model": "full_sum_transducer",
        "model_conf": {"ctc_weight": 0.5},
        "normalize": "utterance_mvn",
    }
    register()
    args = TransducerTask.get_parser().parse_args(["--config", _dump(root, config)])
    torch.manual_seed(1)
    model = TransducerTask.build_model(args)
    (root / "config.yaml").write_text(yaml.safe_dump(vars(args)), encoding="utf-8")
    torch.save(model.state_dict(), root / "model.pth")
    generator = np.random.default_rng(1)
    with open(root / "wav.scp", "w", encoding="utf-8") as scp:
        for key, count in LENGTHS.items():
            samples = generator.uniform(-0.1, 0.1, count)
            soundfile.write(root / f"{key}.wav", samples, 8000)
            scp.write(f"{key} {root / key}.wav\n")
    text = "".join(f"{key} {line}\n" for key, line in TEXTS.items())
    (root / "text").write_text(text, encoding="utf-8")
    return root


def _dump(root, config) -> str:
    path = root / "given.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return str(path)


def arguments(root, verb, *more):
    sources = (f"{root}/wav.scp,speech,sound", f"{root}/text,text,text")
    data = [w for s in sources for w in ("--data_path_and_name_and_type", s)]
    files = ["--asr_train_config", f"{root}/config.yaml"]
    files += ["--asr_model_file", f"{root}/model.pth"]
    return [verb, *files, *data, *map(str, more)]


@pytest.mark.slow
def test_alignments_are_made_exported_read_back_and_compared(
    experiment, tmp_path, capsys
):
    formats = ["--formats", "kaldi ctm textgrid"]
    one = tmp_path / "exact"
    command = arguments(experiment, "run", "--output_dir", one, "--posteriors")
    assert main([*command, *formats]) == 0
    screen = capsys.readouterr().out
    assert "3 of 4 utterances aligned: exact, transducer, rna" in screen
    assert "frame shift 20 ms, look-ahead the whole utterance" in screen
    assert "failed: u3: no rna alignment: 400 labels" in screen
    made = read_set(one)
    assert made.info.units == "characters" and list(made.failed) == ["u3"]
    for name in ("alignment.scp", "labels.ctm", "textgrid"):
        back = tmp_path / name
        words = ["import", str(one / name), "--like", str(one)]
        assert main([*words, "--output_dir", str(back)]) == 0
        assert same(read_set(back), made, scores=False)
    from omniio import kaldi

    soft = kaldi.load_scp(str(one / "posteriors.scp"))
    for key, entry in made.aligned.items():
        matrix = soft[key]
        assert matrix.shape == (entry.frames, 1 + len(entry.labels))
        np.testing.assert_allclose(matrix.sum(1), 1.0, atol=1e-5)
        np.testing.assert_allclose(matrix[:, 1:].sum(0), 1.0, atol=1e-5)
    two = tmp_path / "ctc"
    prior = tmp_path / "prior.npz"
    command = arguments(experiment, "prior", "--output", "ctc", "--file", prior)
    assert main(command) == 0
    command = arguments(experiment, "run", "--output", "ctc", "--output_dir", two)
    assert main([*command, "--prior", str(prior), "--prior_scale", "0.5"]) == 0
    assert "u2" in read_set(two).aligned and read_set(two).info.prior_scale == 0.5
    page = tmp_path / "page"
    assert main(["compare", str(one), str(two), "--output_dir", str(page)]) == 0
    assert (page / "index.html").exists()


@pytest.mark.slow
def test_a_missing_model_is_a_message(experiment, tmp_path, capsys):
    command = arguments(experiment, "run", "--output_dir", tmp_path)
    command[command.index("--asr_model_file") + 1] = "nowhere.pth"
    assert main(command) == 1
    assert "nowhere.pth: there is no such file" in capsys.readouterr().err


def test_a_data_source_without_a_type_is_named():
    assert sources_of(["a,b.scp,speech,sound"]) == [("a,b.scp", "speech", "sound")]
    with pytest.raises(OptionError, match="expected: FILE,speech,sound"):
        sources_of(["a.scp"])
