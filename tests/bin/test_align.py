"""The command on a model that was saved, from audio to files and back."""

import numpy as np
import pytest

from espnet_ext.alignment.store import read_set
from espnet_ext.bin.align import main, sources_of
from espnet_ext.errors import OptionError
from tests.alignment.cases import same
from tests.bin.align_experiment import arguments, write_data, write_model

TOKENS = ["<blank>", "<unk>", "<space>", *"abcdehlo", "<sos/eos>"]
TEXTS = {"u1": "hello", "u2": "a bad bee", "u3": "he" * 200, "u4": "add"}
LENGTHS = {"u1": 9000, "u2": 12000, "u3": 8000, "u4": 7000}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """A tiny transducer of characters with random weights, audio and text."""
    root = tmp_path_factory.mktemp("align")
    write_model(root, TOKENS)
    write_data(root, TEXTS, LENGTHS)
    return root


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
    command += ["--prior", str(prior), "--prior_scale", "0.5", "--dtype", "bfloat16"]
    assert main(command) == 0
    assert "u2" in read_set(two).aligned and read_set(two).info.prior_scale == 0.5
    assert read_set(two).info.dtype == "bfloat16"
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
