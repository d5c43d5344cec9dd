"""The command that makes files of internal language models."""

import re

import pytest
import torch
from safetensors import safe_open

from espnet_ext.asr.search.internal_lm import InternalLmScorer
from espnet_ext.bin import internal_lm
from espnet_ext.errors import FormatError, OptionError
from espnet_ext.inference.internal_lm_files import build_internal_lm
from espnet_ext.inference.sequence_scores import sequence_scores
from espnet_ext.inference.speech2text import Speech2Text
from tests.inference.models import noise, saved_model, write_wavs


@pytest.fixture
def saved(tmp_path):
    return saved_model(tmp_path)


def test_the_average_is_the_mean_of_all_encoder_frames(saved, tmp_path):
    scp = write_wavs(tmp_path, u1=4000, u2=8000)
    output = tmp_path / "average.safetensors"
    options = ["average", *saved.options(), "--wav_scp", str(scp)]
    assert internal_lm.main([*options, "--output", str(output)]) == 0
    frames = []
    for seed, count in enumerate((4000, 8000)):
        # what a 16-bit file holds of the noise
        samples = torch.from_numpy((noise(count, seed) * 32768).round() / 32768)
        with torch.no_grad():
            frames.append(
                saved.model.encode_frames(samples[None], torch.tensor([count]))[0][0]
            )
    with safe_open(output, "pt") as file:
        mean_D = file.get_tensor("frame")
    torch.testing.assert_close(mean_D, torch.cat(frames).mean(0), atol=1e-3, rtol=1e-3)
    files = {"ilm_type": "average", "ilm_file": str(output)}
    wave = noise(8000)

    def score(**options):
        recognizer = Speech2Text(**saved.files(), beam_size=4, **options)
        return float(recognizer(wave)[0][3].score)

    assert score(**files, ilm_weight=0.5) != score()
    assert score(**files, ilm_weight=0.0) == score()


def test_a_mini_lstm_fits_the_transcripts_better_than_zero(saved, tmp_path, capsys):
    text = tmp_path / "text"
    # character tokens: c, and <unk> for the rest
    text.write_text("".join(f"u{n} ccxccxccx\n" for n in range(40)), encoding="utf-8")
    output = tmp_path / "mini.safetensors"
    words = ["--train_text", str(text), "--dev_text", str(text), "--epochs", "4"]
    words += ["--hidden_size", "8", "--learning_rate", "0.05", "--batch_size", "8"]
    options = ["mini_lstm", *saved.options(), *words, "--output", str(output)]
    assert internal_lm.main(options) == 0
    shown = capsys.readouterr().out.split(": ")[-1].split()
    history = [float(value) for value in shown]
    assert len(history) == 5 and min(history) < 0.8 * history[0]
    decoder, size = saved.model.decoder, saved.model.encoder.output_size()
    sentences = [[3, 3, 4] * 3]
    scores = {
        kind: sequence_scores(
            InternalLmScorer(build_internal_lm(kind, str(output), decoder, size)),
            sentences,
        )[0]
        for kind in ("mini_lstm", "zero")
    }
    assert scores["mini_lstm"] > scores["zero"]
    best = -scores["mini_lstm"] / 9
    assert float(torch.tensor(best).exp()) == pytest.approx(min(history), abs=0.006)
    again = tmp_path / "again.safetensors"
    assert internal_lm.main([*options[:-1], str(again)]) == 0
    assert again.read_bytes() == output.read_bytes()


def test_files_of_another_kind_or_model_are_refused(saved, tmp_path):
    scp = write_wavs(tmp_path, u1=4000)
    output = tmp_path / "average.safetensors"
    options = ["average", *saved.options(), "--wav_scp", str(scp)]
    assert internal_lm.main([*options, "--output", str(output)]) == 0
    decoder, size = saved.model.decoder, saved.model.encoder.output_size()
    with pytest.raises(OptionError, match="holds a model of kind average"):
        build_internal_lm("mini_lstm", str(output), decoder, size)
    with pytest.raises(FormatError, match="size 8"):
        build_internal_lm("average", str(output), decoder, size + 1)
    with pytest.raises(OptionError, match=re.escape("--ilm_type average")):
        build_internal_lm("average", None, decoder, size)
    with pytest.raises(OptionError, match="ilm_type none"):
        build_internal_lm("none", None, decoder, size)
