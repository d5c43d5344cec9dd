"""Every kind of model through the command: its alignments are those of enumeration.

The tables of scores are computed from the parts of each model one by one, and summed
over all alignments; where the model trains with that sum its own loss is asked too.
"""

import warnings
from typing import Dict, List, NamedTuple

import pytest
import torch
import torch.nn.functional as F

from espnet_ext.alignment.aligner import ALL_METHODS
from espnet_ext.alignment.store import read_set
from espnet_ext.asr.loss.warprnnt_shim import install
from espnet_ext.bin.align import main
from tests.asr.loss.paths import enumerate_all
from tests.bin.align_experiment import (
    TRANSDUCER,
    arguments,
    write_data,
    write_model,
)

pytestmark = pytest.mark.slow

TOKENS = ["<blank>", "<unk>", "a", "b", "c", "<sos/eos>"]
TEXTS = {"u1": "ab", "u2": "cc", "u3": "b"}
# five to seven frames of 20 ms, and of the Conformer's 60 ms
LENGTHS = {"conv_blstm": (950, 700, 1100), "staged_conformer": (2850, 2400, 3200)}
TIED = "last label for blank"  # both cost the same, so many paths are the best one
HEADS = {"layers": [1, 2], "form": "ff"}
JOINT = TRANSDUCER["decoder_conf"]["joint"]
SIZES = {"embedding_size": 4, "hidden_size": 4}


CONFORMER = {
    "encoder": "staged_conformer",
    "encoder_conf": {
        "frontend": {"type": "conv", "conv_channels": [2, 3]},
        **{"num_layers": 2, "model_size": 8, "feed_forward_size": 8, "num_heads": 2},
        **{"conv_kernel_size": 3, "padding": "zero"},
    },
}


def transducer(joint=None, **options) -> Dict:
    config: Dict = dict(TRANSDUCER)
    config["decoder_conf"] = {**SIZES, "joint": {**JOINT, **(joint or {})}}
    config["model_conf"] = {"ctc_weight": 0.5, **options}
    return config


def encoder_alone(model, **options) -> Dict:
    return {
        **CONFORMER,
        "decoder": None,
        "model": model,
        "model_conf": {"aux_ctc": HEADS, **options},
    }


STOCK_ENCODER = {
    "encoder": "rnn",
    "encoder_conf": {
        **{"num_layers": 1, "hidden_size": 4, "output_size": 6},
        "subsample": [2],
    },
    "model": "espnet",
}
MODELS = {
    "RNA": {**transducer(aux_ctc=HEADS), **CONFORMER},
    "BLSTM": transducer(),
    "misplaced blank": transducer({"blank_column": "misplaced"}),
    "RNN-T, one softmax": transducer({"emission": "softmax"}, topology="rnnt"),
    "stateless": {**transducer(), "decoder": "stateless_transducer"},
    "trained framewise": {**transducer(), "model": "framewise_transducer"},
    "CTC": encoder_alone("ctc"),
    f"CTC, {TIED}": encoder_alone("ctc", aux_ctc={"layers": [1], "form": "f"}),
    "attention": {
        **encoder_alone("attention_encoder_decoder", ctc_weight=0.3),
        "decoder": "mlp_attention_lstm",
        "decoder_conf": SIZES,
    },
    "stock transducer": {
        **STOCK_ENCODER,
        "decoder": "transducer",
        "decoder_conf": {"hidden_size": 4},
        "joint_net_conf": {"joint_space_size": 5},
        "model_conf": {"ctc_weight": 0.3},
    },
    "stock hybrid": {
        **STOCK_ENCODER,
        "decoder": "transformer",
        "decoder_conf": {"attention_heads": 2, "linear_units": 4, "num_blocks": 1},
        "model_conf": {"ctc_weight": 0.3},
    },
}
CASES = [
    *(("RNA", "transducer", t) for t in (None, "rnnt", "label_loop")),
    *(("RNA", x, None) for x in ("ctc", "aux:1", "aux:2")),
    *(("BLSTM", x, None) for x in ("transducer", "ctc")),
    ("misplaced blank", "transducer", None),
    *(("RNN-T, one softmax", "transducer", t) for t in (None, "rna")),
    ("stateless", "transducer", None),
    ("trained framewise", "transducer", None),
    *(("CTC", x, None) for x in ("ctc", "aux:1")),
    (f"CTC, {TIED}", "aux:1", None),
    *(("attention", x, None) for x in ("ctc", "aux:2")),
    *(("stock transducer", x, None) for x in ("transducer", "ctc")),
    ("stock transducer", "transducer", "rna"),
    ("stock hybrid", "ctc", None),
]


class Experiment(NamedTuple):
    """A saved model and its data."""

    root: object
    model: torch.nn.Module


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Makes each model once."""
    install()
    made = {}

    def get(name) -> Experiment:
        if name not in made:
            root = tmp_path_factory.mktemp("model")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = write_model(root, TOKENS, **MODELS[name])
            with torch.no_grad():  # scores that differ more than drawn weights give
                for parameter in model.parameters():
                    parameter.mul_(2.0)
            torch.save(model.state_dict(), root / "model.pth")
            write_samples(root, name)
            made[name] = Experiment(root, model.eval())
        return made[name]

    return get


def write_samples(root, name) -> None:
    """Noise of a few frames for each text."""
    lengths = LENGTHS.get(MODELS[name]["encoder"], LENGTHS["conv_blstm"])
    write_data(root, TEXTS, dict(zip(TEXTS, lengths)))


def batch_of(root, key) -> Dict[str, torch.Tensor]:
    """Arguments of a model's forward for one utterance."""
    import soundfile

    speech = torch.from_numpy(soundfile.read(root / f"{key}.wav", dtype="float32")[0])
    labels = torch.tensor([[TOKENS.index(letter) for letter in TEXTS[key]]])
    count = torch.tensor([labels.size(1)])
    return {
        "speech": speech[None],
        "speech_lengths": torch.tensor([len(speech)]),
        "text": labels,
        "text_lengths": count,
    }


def layer_frames(model, layer, speech, lengths):
    features, lengths = model.features(speech, lengths)
    (_, outputs), _, _ = model.encoder(features, lengths, aux_layers=(layer,))
    return dict(outputs)[layer]


@torch.no_grad()
def table_of(model, output, batch):
    """Log-probabilities [T, S, V] of one utterance, from the parts of the model."""
    speech, lengths, labels, _ = batch.values()
    count = labels.size(1) + 1
    if output == "transducer":
        am_BTR, _ = model.encode(speech, lengths)
        lm_BSR = model.decoder(F.pad(labels, (1, 0)))
        logits = model.joint_network(am_BTR.unsqueeze(2), lm_BSR.unsqueeze(1))
        return logits.log_softmax(-1)[0]
    if output.startswith("aux:"):
        layer = int(output[4:])
        frames = layer_frames(model, layer, speech, lengths)
        logits = model.ctc_heads.heads[str(layer)](frames)
    else:
        encode = getattr(model, "encode_frames", model.encode)
        logits = model.ctc.ctc_lo(encode(speech, lengths)[0])
    log_probs = logits.log_softmax(-1)[0]
    if output.startswith("aux:") and model.ctc_heads.first_id:
        # class k is id k + 1, and the last real label has the output of blank
        blank = log_probs[:, model.ctc_heads.blank]
        log_probs = torch.cat([blank[:, None], log_probs], dim=1)
    return log_probs[:, None].expand(-1, count, -1)


def own_loss(model, output, topology, batch, symbols):
    """What the model itself says the utterance costs; None if it has no such loss."""
    if topology is not None:
        return None
    if type(model).__name__ == "FramewiseTransducerModel":
        batch = {**batch, "alignment": torch.tensor([symbols])}
        batch["alignment_lengths"] = torch.tensor([len(symbols)])
    stats = model(**batch, utt_id=["u"])[1]
    names = {"transducer": "loss_transducer", "ctc": "loss_ctc"}
    if type(model).__name__ == "FramewiseTransducerModel":
        names["transducer"] = "loss_framewise"
    return float(stats[names.get(output, f"loss_ctc_{output[4:]}")])


def score_on(entry, info, table) -> float:
    """Sum of the scores along an alignment."""
    return sum(
        float(table[step.frame, step.position, symbol])
        for step, symbol in zip(entry.steps(info), entry.symbols.tolist())
    )


def aligned(experiment, folder, output, topology, method="exact", *more):
    command = arguments(experiment.root, "run", "--output_dir", folder, *more)
    command += ["--output", output, "--method", method, "--batch_samples", "1"]
    command += ["--topology", topology] if topology else []
    assert main(command) == 0
    made = read_set(folder)
    assert list(made.aligned) == list(TEXTS), made.failed
    return made


@pytest.mark.parametrize("name, output, topology", CASES)
def test_the_best_path_and_all_scores_are_those_of_the_model(
    experiment, tmp_path, name, output, topology
):
    ours = experiment(name)
    made = aligned(ours, tmp_path / "a", output, topology)
    assert made.info.output == output
    for key, entry in made.aligned.items():
        batch = batch_of(ours.root, key)
        labels = batch["text"][0].tolist()
        table = table_of(ours.model, output, batch)
        expected = enumerate_all(table, made.info.topology, entry.frames, labels, 0)
        assert expected.count > 5 and entry.frames == len(table)
        if TIED not in name:
            assert entry.symbols.tolist() == expected.best
        assert score_on(entry, made.info, table) == pytest.approx(
            expected.best_score, abs=2e-4
        )
        assert entry.score == pytest.approx(expected.best_score, abs=2e-4)
        assert entry.full_sum == pytest.approx(-expected.nll, abs=2e-4)
        symbols = entry.symbols.tolist()
        loss = own_loss(ours.model, output, topology, batch, symbols)
        if loss is not None:
            framewise = name == "trained framewise"
            total = entry.score if framewise else entry.full_sum
            assert loss == pytest.approx(-total, abs=2e-4)


@pytest.mark.parametrize("method", ALL_METHODS[1:])
@pytest.mark.parametrize(
    "name, output", [("RNA", "transducer"), ("attention", "ctc"), ("RNA", "aux:1")]
)
def test_other_methods_give_alignments_with_their_own_score(
    experiment, tmp_path, name, output, method
):
    ours = experiment(name)
    best = aligned(ours, tmp_path / "exact", output, None)
    made = aligned(ours, tmp_path / method, output, None, method)
    for key, entry in made.aligned.items():
        batch = batch_of(ours.root, key)
        table = table_of(ours.model, output, batch)
        score = score_on(entry, made.info, table)
        assert entry.score == pytest.approx(score, abs=2e-4)
        assert entry.score <= best.aligned[key].score + 1e-4
        assert entry.full_sum == pytest.approx(best.aligned[key].full_sum, abs=1e-4)


@pytest.mark.parametrize(
    "name, output", [("RNA", "ctc"), ("CTC", "aux:1"), ("stock hybrid", "ctc")]
)
def test_a_prior_made_by_the_command_is_subtracted(experiment, tmp_path, name, output):
    ours, file = experiment(name), tmp_path / "prior.npz"
    command = arguments(ours.root, "prior", "--output", output, "--file", file)
    assert main([*command, "--batch_samples", "1"]) == 0
    more = ("--prior", str(file), "--prior_scale", "0.7")
    made = aligned(ours, tmp_path / "a", output, None, "exact", *more)
    assert made.info.prior_scale == 0.7
    batches = {key: batch_of(ours.root, key) for key in TEXTS}
    tables = {key: table_of(ours.model, output, x) for key, x in batches.items()}
    frames = torch.cat([table[:, 0] for table in tables.values()])
    prior = frames.exp().mean(0).log()
    for key, entry in made.aligned.items():
        table, labels = tables[key] - 0.7 * prior, batches[key]["text"][0].tolist()
        expected = enumerate_all(table, "ctc", entry.frames, labels, 0)
        assert entry.symbols.tolist() == expected.best
        assert entry.score == pytest.approx(expected.best_score, abs=5e-4)


def test_a_model_whose_prediction_network_hears_frames_is_refused(tmp_path, capsys):
    config: Dict = transducer()
    config["decoder"], config["model"] = "extended_transducer", "framewise_transducer"
    sizes: List[str] = ["bottleneck", "embedding", "hidden", "symbol_embedding"]
    sizes += ["fast", "readout"]
    config["decoder_conf"] = {f"{name}_size": 4 for name in sizes}
    config["decoder_conf"]["attention"] = {"key_size": 4, "window_size": 3}
    write_model(tmp_path, TOKENS, **config)
    write_samples(tmp_path, "BLSTM")
    command = arguments(tmp_path, "run", "--output_dir", tmp_path / "a")
    assert main(command) == 1
    screen = capsys.readouterr().err
    assert "sees frames too" in screen and "next: align with the model" in screen
    assert main([*command, "--output", "ctc"]) == 0  # its CTC layer does not
