"""A model of the original as an experiment directory: what it computes and decodes."""

import numpy as np
import pytest
import torch

from espnet_ext.bin.import_returnn import main
from espnet_ext.interop.returnn_import import our_tokens, read_labels
from tests.interop.bundle_writer import write_checkpoint
from tests.shared import shared_file


def original(file):
    arrays = np.load(shared_file(f"reference/parity/{file}.npz"))
    parameters = {n[6:]: arrays[n] for n in arrays.files if n.startswith("param:")}
    return arrays, {**parameters, "global_step": np.array(7, dtype=np.int64)}


def imported(tmp_path, file, experiment, *words):
    """Import from a checkpoint; returns the original's arrays and the directory."""
    arrays, parameters = original(file)
    write_checkpoint(tmp_path / "epoch.200", parameters)
    out = tmp_path / "exp"
    checkpoint = ["--checkpoint", str(tmp_path / "epoch.200")]
    status = main([*checkpoint, "--experiment", experiment, "--out", str(out), *words])
    assert status == 0
    return arrays, out


def speech2text(out, **options):
    from espnet_ext.bin.asr_inference import Speech2Text

    return Speech2Text(
        asr_train_config=str(out / "config.yaml"),
        asr_model_file=str(out / "valid.loss.best.pth"),
        **options,
    )


BN = "conformer_pre10_d384_h6_blstmf2_specaug_attdrop01_posdrop01_aux48ff"


@pytest.mark.parametrize(
    "file, experiment, options",
    [
        ("recog_start", "start", {"transducer_conf": {"bos": "skip"}}),
        ("recog_orig", "orig_pre20bs5k_native_fixsepblanklast", {}),
        ("conf_bn_dh4_e15", BN, {}),
        ("att_conformer_e15", f"att_{BN}", {"ctc_weight": 0.0, "maxlenratio": 0.1}),
        ("ctc_conformer_e15", f"ctc_{BN}", {"ctc_weight": 1.0}),
    ],
)
def test_the_directory_decodes_and_its_encoder_is_the_original_s(
    tmp_path, file, experiment, options
):
    arrays, out = imported(tmp_path, file, experiment)
    decoder = speech2text(out, beam_size=2, **options)
    wave = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    assert isinstance(decoder(wave)[0][0], str)
    model = decoder.asr_model
    model.frontend = model.normalize = None  # features in place of waveforms
    data = torch.from_numpy(arrays["in:data"])
    lengths = torch.from_numpy(arrays["in:data_len"]).long()
    with torch.no_grad():
        frames, lens = model.encode_frames(data, lengths)
    (name,) = (n for n in arrays.files if n.startswith("out:") and "encoder" in n)
    for row, length in enumerate(lens):
        expected = arrays[name][row, :length]
        np.testing.assert_allclose(frames[row, :length].numpy(), expected, atol=1e-5)


def test_every_parameter_is_in_the_report(tmp_path):
    _, out = imported(tmp_path, "recog_start", "start")
    lines = (out / "import.txt").read_text().splitlines()
    assert lines[0] == "# start, 55 parameters" and len(lines) == 56
    assert (
        "lm/embed/weight\tdecoder.embedding\t(17, 6)" in lines
    )  # the original's name, ours, its shape


def test_parameters_of_another_experiment_are_refused_with_all_names(tmp_path, capsys):
    _, parameters = original("recog_start")
    np.savez(tmp_path / "a.npz", **parameters)
    arguments = ["--checkpoint", str(tmp_path / "a.npz"), "--out", str(tmp_path / "x")]
    assert main([*arguments, "--experiment", "start_slowpretrain"]) == 0
    capsys.readouterr()
    assert main([*arguments, "--experiment", "ctc_start_slowpretrain"]) == 1
    message = capsys.readouterr().err
    assert "logits/weight" in message or "lm/embed/weight" in message
    del parameters["att_query/weight/param"]
    np.savez(tmp_path / "a.npz", **parameters)
    assert main([*arguments, "--experiment", "start"]) == 1
    assert "att_query/weight" in capsys.readouterr().err


def test_labels_stand_at_our_ids_and_the_first_one_ends_sentences(tmp_path):
    labels = ["<s>", "<unk>", *(f"w{i}" for i in range(2, 17))]
    (tmp_path / "vocab").write_text("\n".join(labels) + "\n")
    words = ["--vocabulary", str(tmp_path / "vocab")]
    _, out = imported(tmp_path, "recog_start", "start", *words)
    tokens = (out / "tokens.txt").read_text().splitlines()
    assert tokens == ["<blank>", "<unk>", *labels[2:], "<sos/eos>"]


def test_a_vocabulary_file_of_the_original_is_read(tmp_path):
    file = tmp_path / "vocab"
    file.write_text("{'<s>': 0, '</s>': 0, '<unk>': 1, 'th@@': 2}")
    assert read_labels(file)[1:] == ["<unk>", "th@@"]
    assert our_tokens(np.array([3, 1, 2]), read_labels(file)) == [
        *("<blank>", "<unk>", "th@@", "<sos/eos>")
    ]


@pytest.mark.parametrize("text", ["{'a': 0, 'b': 2}", "{'a'", "{'a': 'b'}", "{}"])
def test_an_unreadable_vocabulary_is_a_user_error(tmp_path, capsys, text):
    (tmp_path / "vocab").write_text(text)
    _, parameters = original("recog_start")
    np.savez(tmp_path / "a.npz", **parameters)
    arguments = ["--checkpoint", str(tmp_path / "a.npz"), "--out", str(tmp_path / "x")]
    words = ["--experiment", "start", "--vocabulary", str(tmp_path / "vocab")]
    assert main([*arguments, *words]) == 1
    assert "vocab" in capsys.readouterr().err
