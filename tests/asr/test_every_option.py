"""Every option of decoders, joints and models: neutral is absent, on changes something.

The lists name all options of all constructors; one more or less makes a test fail. Of
each: with its neutral value, no bit of the loss, its gradients and the weights differs
from the model without the option; with the other value, something differs; evaluation
is deterministic; and the loss of an utterance is the same alone and in a batch.
"""

import argparse
import copy
import inspect
from pathlib import Path
from typing import Any, Dict

import pytest
import torch
from espnet2.asr.espnet_model import ESPnetASRModel

from espnet_ext.asr.encoder_model import EncoderModel
from espnet_ext.asr.ignored_options import IGNORED
from espnet_ext.layers.zoneout_lstm import ZoneoutLstm
from espnet_ext.tasks.asr import TransducerTask
from tests.asr import every_model
from tests.asr.option_lists import BASES, ENCODER, MODEL, PARTS

FRAMES = (24, 12)  # the encoder's are half as many
# tested where they belong: what they change does not show in an ordinary batch
ELSEWHERE = {
    "nonfinite_loss": "test_nonfinite_loss.py",
    "alignment": "test_framewise_model.py",
    "infeasible": "loss/test_aux_ctc.py",
    **dict.fromkeys(("recompute", "fast_products"), "test_lean_options.py"),
}
NOT_OPTIONS = {
    *("self", "vocab_size", "encoder_output_size", "encoder_size", "input_size"),
    *("prediction_size", "decoder", "ctc", "joint_network"),
}


def configured(base: str, changes: Dict[str, Any]):
    """The base with other values at paths like ``decoder_conf.joint.emission``."""
    values = {**every_model.configuration("CTC"), **copy.deepcopy(ENCODER)}
    values.update(copy.deepcopy(BASES[base]))
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = values
        for name in parents:
            place = place.setdefault(name, {})
        if value == "absent":
            place.pop(last, None)
        else:
            place[last] = value
    values.update(frontend=None, frontend_conf={}, input_size=10)
    torch.manual_seed(0)
    return TransducerTask.build_model(argparse.Namespace(**values))


def batch_of(model) -> Dict[str, Any]:
    """Features with labels and alignments; the second utterance is shorter."""
    generator = torch.Generator().manual_seed(1)
    text = torch.tensor([[1, 3, 3], [2, 1, -1]])
    batch = {
        "speech": torch.randn(2, max(FRAMES), 10, generator=generator),
        "speech_lengths": torch.tensor(FRAMES),
        "text": text,
        "text_lengths": torch.tensor([3, 2]),
    }
    if hasattr(model, "alignment"):
        alignment = torch.zeros(2, max(FRAMES) // 2, dtype=torch.long)
        alignment[0, [1, 4, 5]] = text[0]
        alignment[1, [0, 3]] = text[1, :2]
        alignment[1, FRAMES[1] // 2 :] = -1
        batch["alignment"] = alignment
        batch["alignment_lengths"] = torch.tensor(FRAMES) // 2
    return batch


def outcome(model, epoch=None) -> Dict[str, torch.Tensor]:
    """Weights, loss and gradients in training, loss in evaluation, buffers after it."""
    batch = batch_of(model)
    found = {f"initial {k}": v.clone() for k, v in model.state_dict().items()}
    if epoch is not None:
        model.set_epoch(epoch)
    torch.manual_seed(3)
    found["training loss"] = model.train()(**batch)[0]
    found["training loss"].backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            found[f"gradient {name}"] = parameter.grad
    found.update((f"buffer {k}", v.clone()) for k, v in model.named_buffers())
    model.eval()
    found["evaluation loss"] = model(**batch)[0]
    if hasattr(model, "symbol_scores"):
        frames, _ = model.encode_frames(batch["speech"], batch["speech_lengths"])
        found["scores"] = model.symbol_scores(frames)
    return found


def same(one: Dict[str, torch.Tensor], other: Dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value, other[name]) for name, value in one.items()
    )


def cases():
    for part, (base, path, _, options) in PARTS.items():
        for name, option in options.items():
            yield pytest.param(base, path, name, option, id=f"{part}: {name}")


every_option = pytest.mark.parametrize("base, path, name, option", cases())


def with_value(base, path, name, option, value):
    root = path.split(".")[0]
    given = {
        f"{path if '.' not in key else root}.{key}": other
        for key, other in option.given.items()
    }
    return configured(base, {**given, f"{path}.{name}": value})


@every_option
def test_neutral_is_absent_and_on_changes_something(base, path, name, option):
    reference = outcome(configured(base, {}), option.epoch)
    if option.neutral != "absent":
        neutral = with_value(base, path, name, option, option.neutral)
        reference = outcome(neutral, option.epoch)
        in_base = BASES[base]
        for key in path.split("."):
            in_base = in_base[key]
        without = with_value(base, path, name, option, "absent")
        if name in in_base:  # what is absent there is a rate that is not zero
            without = with_value(base, path, name, option, in_base[name])
        assert same(outcome(without, option.epoch), reference)
    model = with_value(base, path, name, option, option.on)
    assert not same(outcome(model, option.epoch), reference)
    again = model(**batch_of(model))[0]
    assert torch.equal(model(**batch_of(model))[0], again)


@every_option
def test_an_utterance_costs_the_same_alone_and_in_a_batch(base, path, name, option):
    model = with_value(base, path, name, option, option.on).eval()
    batch = batch_of(model)
    together = float(model(**batch)[1]["loss"]) * 2
    batch["speech"][1, FRAMES[1] :] = 1e3
    alone = 0.0
    for row, length in enumerate(FRAMES):
        one = {key: value[row : row + 1] for key, value in batch.items()}
        one["speech"] = one["speech"][:, :length]
        if "alignment" in one:
            one["alignment"] = one["alignment"][:, : length // 2]
        alone += float(model(**one)[1]["loss"])
    assert (together == pytest.approx(alone, rel=1e-5)) != option.padded


@pytest.mark.parametrize("base", BASES)
def test_with_all_options_neutral_training_is_as_evaluation(base):
    model = configured(base, {})
    batch = batch_of(model)
    training, evaluation = (model.train(mode)(**batch)[0] for mode in (True, False))
    torch.testing.assert_close(training, evaluation, rtol=1e-6, atol=0)


@pytest.mark.parametrize("part", PARTS)
def test_no_option_of_a_constructor_is_left_out(part):
    _, _, kind, options = PARTS[part]
    names = set(inspect.signature(kind.__init__).parameters)
    if issubclass(kind, EncoderModel):
        names |= set(inspect.signature(EncoderModel.__init__).parameters)
    sizes = {"hidden_size"} if kind is ZoneoutLstm else set()
    names -= NOT_OPTIONS | sizes | {"kwargs"}
    assert set(options) == names - set(ELSEWHERE)


@pytest.mark.parametrize("name, file", ELSEWHERE.items())
def test_what_is_tested_elsewhere_is_there(name, file):
    assert name in (Path(__file__).parent / file).read_text(encoding="utf-8")


def test_espnets_own_options_act_or_are_refused():
    """What its classes take and ours would pass over in silence."""
    own = set(inspect.signature(ESPnetASRModel.__init__).parameters)
    ours = {"aux_ctc", "ctc_weight"}
    parts = {
        *("self", "vocab_size", "token_list", "frontend", "specaug", "normalize"),
        *("preencoder", "encoder", "postencoder", "decoder", "ctc", "joint_network"),
    }
    acting = {"autocast_frontend", "extract_feats_in_collect_stats"}
    assert own - ours - parts - acting == set(IGNORED)
    for name, neutral in IGNORED.items():
        configured("transducer", {f"{MODEL}.{name}": neutral})
        with pytest.raises(Exception, match=f"(?s){name}.*has no effect"):
            other = [2] if neutral == [] else 0.3
            configured("transducer", {f"{MODEL}.{name}": other})
