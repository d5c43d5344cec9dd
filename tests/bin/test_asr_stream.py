"""The command that recognizes a stream."""

import soundfile

from espnet_ext.bin import asr_stream
from espnet_ext.inference.speech2text import Speech2Text
from tests.inference.models import RATE_HZ, noise, saved_model


def test_the_last_line_is_the_text_of_chunked_decoding(tmp_path, capsys):
    saved = saved_model(tmp_path, {"chunk_size": 5})
    wav = tmp_path / "u.wav"
    soundfile.write(wav, noise(13_337), RATE_HZ, subtype="FLOAT")
    status = asr_stream.main([*saved.options(), "--wav", str(wav), "--block_ms", "100"])
    lines = capsys.readouterr().out.splitlines()
    assert status == 0
    recognizer = Speech2Text(**saved.files(), beam_size=1, chunked=True)
    text = recognizer(soundfile.read(wav, dtype="float32")[0])[0][0]
    (last,) = [line for line in lines if line.startswith(f"{wav}: ")]
    assert text and last == f"{wav}: {text}"
    # 5 frames of 60 ms, 2 more of attention, 6 frames and 60 ms before that
    assert lines[0].startswith("latency of the model 540 ms")
    partial = [line.split(" s  ")[1] for line in lines if " s  " in line]
    assert len(partial) > 2
    assert all(b.startswith(a) for a, b in zip(partial, [*partial[1:], text]))


def test_audio_of_another_rate_is_refused(tmp_path, capsys):
    saved = saved_model(tmp_path, {"chunk_size": 5})
    wav = tmp_path / "u.wav"
    soundfile.write(wav, noise(4000), 16000)
    assert asr_stream.main([*saved.options(), "--wav", str(wav)]) == 1
    assert "16000 Hz" in capsys.readouterr().err
    assert asr_stream.main([*saved.options(), "--wav", "missing.wav"]) == 1
    assert "missing.wav: cannot be opened" in capsys.readouterr().err


def test_a_model_that_cannot_be_streamed_is_refused(tmp_path, capsys):
    saved = saved_model(tmp_path)
    assert asr_stream.main([*saved.options(), "--wav", "any.wav"]) == 1
    assert "needs the whole utterance" in capsys.readouterr().err
