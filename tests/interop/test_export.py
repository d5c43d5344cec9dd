"""Exported programs against the model they were made of."""

import subprocess
import sys

import pytest
import soundfile
import torch

from espnet_ext.asr.search.greedy import greedy_search
from espnet_ext.bin import export as command
from espnet_ext.errors import AudioError
from espnet_ext.interop.export import export_model
from espnet_ext.interop.exported import ExportedRecognizer
from tests.inference.models import LOG_MEL, RATE_HZ, noise, saved_model

BLSTM = {"frontend": {"type": "blstm", "hidden_size": 3}}
CASES = {
    "visible padding": ({"padding": "visible"}, {}, None),
    "log-mel": (
        {},
        {
            "frontend": "default",
            "frontend_conf": LOG_MEL,
            "normalize": "utterance_mvn",
        },
        None,
    ),
    "blstm frontend": (BLSTM, {}, 150),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_exported_programs_give_the_frames_and_labels_of_the_model(name, tmp_path):
    encoder, more, max_frames = CASES[name]
    model = saved_model(tmp_path, encoder, **more).model
    facts = {"tokens": model.token_list, "rate_hz": RATE_HZ}
    export_model(model, facts, tmp_path / "out", 6, max_frames)
    exported = ExportedRecognizer(tmp_path / "out")
    found = set()
    for samples in (4000, 6543, 8000, 11_111):
        speech = torch.from_numpy(noise(samples))
        with torch.no_grad():
            am, lengths = command.encode_padded(model, speech, max_frames or 6)
        am = am[:, : int(lengths[0])]
        frames = exported.frames(speech)
        torch.testing.assert_close(frames, am[0], atol=1e-5, rtol=0)
        expected = greedy_search(model.decoder, am, lengths)[0].labels
        assert exported(speech) == expected
        found.update(expected)
    assert len(found) > 1 or max_frames is None, "the state never matters"
    assert found, "the random weights emit nothing"


@pytest.mark.slow
def test_features_of_a_whole_number_of_frames_need_no_padding(tmp_path):
    """So the programs give what the model itself gives, 36 frames here."""
    model = saved_model(tmp_path).model
    facts = {"tokens": model.token_list, "rate_hz": RATE_HZ}
    export_model(model, facts, tmp_path / "out", 6)
    speech = torch.from_numpy(noise(519 + 36 * 80 - 79))
    with torch.no_grad():
        am, _ = model.encode(speech.unsqueeze(0), torch.tensor([len(speech)]))
    assert am.size(1) == 6
    frames = ExportedRecognizer(tmp_path / "out").frames(speech)
    torch.testing.assert_close(frames, am[0], atol=1e-5, rtol=0)


@pytest.mark.slow
def test_the_command_exports_and_compares_and_the_loader_needs_no_espnet(
    tmp_path, capsys
):
    saved = saved_model(tmp_path)
    wav = tmp_path / "u.wav"
    soundfile.write(wav, noise(8000), RATE_HZ, subtype="FLOAT")
    out = tmp_path / "out"
    options = [*saved.options(), "--output", str(out), "--wav", str(wav)]
    assert command.main(options) == 0
    text = capsys.readouterr().out.split("u.wav: ")[1].split(" (as torch)")[0]
    script = (
        "import sys, soundfile, torch\n"
        "from espnet_ext.interop.exported import ExportedRecognizer\n"
        f"recognizer = ExportedRecognizer({str(out)!r})\n"
        f"audio = soundfile.read({str(wav)!r}, dtype='float32')[0]\n"
        "samples = torch.from_numpy(audio)\n"
        "print(recognizer.text(recognizer(samples)))\n"
        "assert not any(name.startswith('espnet2') for name in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert text and done.stdout.strip() == text


@pytest.mark.slow
def test_an_lstm_needs_a_length_and_longer_audio_is_refused(tmp_path, capsys):
    saved = saved_model(tmp_path, BLSTM)
    options = [*saved.options(), "--output", str(tmp_path / "out")]
    assert command.main(options) == 1
    assert "--max_frames" in capsys.readouterr().err
    assert command.main([*options, "--max_frames", "60"]) == 0
    with pytest.raises(AudioError, match="at most 60"):
        ExportedRecognizer(tmp_path / "out")(torch.from_numpy(noise(8000)))
