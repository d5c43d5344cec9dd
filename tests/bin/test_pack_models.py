"""Every model class packed as stage 14 does, unpacked elsewhere, and decoded there."""

import shutil

import pytest
import torch
import yaml
from espnet2.bin import asr_inference as stock
from espnet2.main_funcs.pack_funcs import unpack

import espnet_ext
from espnet_ext.bin import pack
from espnet_ext.errors import OptionError
from espnet_ext.inference.speech2text import Speech2Text
from tests.asr.every_model import CASES, RATE_HZ, build, configuration
from tests.inference.models import noise

WAVE = noise(RATE_HZ // 2)
# ESPnet steps a transducer's decoder on labels alone
ONLY_OURS = {"extended"}


@torch.no_grad()
def livened(model):
    """The model with larger weights of its outputs, so that it emits labels."""
    decoder = model.decoder
    if decoder is not None:
        for parameter in decoder.parameters():
            parameter.mul_(3.0)
        owner = getattr(decoder, "joint_network", decoder)
        if getattr(owner, "emission_output", None) is not None:
            owner.emission_output.bias.fill_(2.0)
        elif hasattr(owner, "label_output"):
            owner.label_output.bias[0] = -2.0
    for output in ("ctc.ctc_lo", "framewise_output"):
        if output in dict(model.named_modules()):
            model.get_submodule(output).weight.mul_(20.0)
    return model.eval()


def saved(name, folder):
    """Configuration and weights as a training leaves them."""
    folder.mkdir(parents=True)
    config, weights = folder / "config.yaml", folder / "valid.loss.best.pth"
    config.write_text(yaml.safe_dump(configuration(name)), encoding="utf-8")
    torch.save(livened(build(name)).state_dict(), weights)
    return {"asr_train_config": str(config), "asr_model_file": str(weights)}


def decoded(recognizer):
    """Tokens and score of each hypothesis."""
    return [(tokens, float(h.score)) for _, tokens, _, h in recognizer(WAVE)]


def recognizer(kind, name, **files):
    """Ours, or ESPnet's; whose beam search of transducers may emit without end."""
    case = CASES[name]
    greedy = kind is stock.Speech2Text and case["model"].endswith("transducer")
    options = {"ctc_weight": float(case["decoder"] is None), "maxlenratio": -5.0}
    return kind(**files, **options, beam_size=1 if greedy else 3, nbest=2)


@pytest.mark.parametrize("name", CASES)
def test_a_packed_model_recognizes_as_before(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = saved(name, tmp_path / "exp" / "asr")
    words = [word for key, file in files.items() for word in (f"--{key}", file)]
    assert pack.main([*words, "--outpath", "exp/asr/model.zip"]) == 0
    kinds = [Speech2Text] if name in ONLY_OURS else [Speech2Text, stock.Speech2Text]
    before = [decoded(recognizer(kind, name, **files)) for kind in kinds]
    assert any(tokens for found in before for tokens, _ in found)

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move("exp/asr/model.zip", elsewhere / "model.zip")
    shutil.rmtree("exp")
    monkeypatch.chdir(elsewhere)
    from_pretrained = espnet_ext.Speech2Text.from_pretrained
    ours = recognizer(from_pretrained, name, model_tag="model.zip")
    assert decoded(ours) == before[0]
    unpacked = unpack("model.zip", "theirs")
    assert set(unpacked) == set(files)
    if name not in ONLY_OURS:
        theirs = recognizer(stock.Speech2Text, name, **unpacked)
        assert decoded(theirs) == before[1]


@pytest.mark.parametrize("name", sorted(ONLY_OURS))
def test_stock_decoding_of_a_decoder_that_steps_on_frames_is_refused(name, tmp_path):
    theirs = recognizer(stock.Speech2Text, name, **saved(name, tmp_path / "exp"))
    with pytest.raises(OptionError, match="(?s)steps on frames.*espnet_ext.Speech2T"):
        theirs(WAVE)
