"""The parts of a model that an alignment can be made with: transducer, CTC, CTC heads.

Works on our models and on stock ESPnet models with a CTC layer or a transducer.
"""

# Dimensions: B batch, T encoder frames, L labels, D encoder, C classes of an output
import dataclasses
from typing import Callable, List, Optional, Tuple

import torch
import torch.nn.functional as F

from espnet_ext.alignment.joint_lattice import JointLattice
from espnet_ext.alignment.scores import frame_arcs, joint_arcs, tile_nodes
from espnet_ext.asr.loss.chain import ArcScores
from espnet_ext.asr.loss.node_gradient import PLAIN
from espnet_ext.asr.loss.topology import get_topology
from espnet_ext.errors import OptionError

AUTO, TRANSDUCER, CTC, HEAD = "auto", "transducer", "ctc", "aux:"
Frames = Callable[[torch.Tensor, torch.Tensor], Tuple[torch.Tensor, torch.Tensor]]


@dataclasses.dataclass(frozen=True)
class Output:
    """One output of a model.

    Attributes:
        name: ``transducer``, ``ctc``, or ``aux:N`` for the head on encoder layer N.
        topology: What it was trained with.
        frames: Waveforms and lengths to the frames it works on [B, T, D] and lengths.
        arcs: (frames, labels, label lengths, frame lengths, topology, log prior) to
            ArcScores, or what has them when asked.
        classes: C.
        first_id: Token id of class 0.
        log_probs: Log-probabilities [B, T, C] of frames; None for a transducer, which
            has none without a label history.
        model: The whole model.
    """

    name: str
    topology: str
    frames: Frames
    arcs: Callable[..., ArcScores]
    classes: int
    first_id: int = 0
    log_probs: Optional[Callable[[torch.Tensor], torch.Tensor]] = None
    model: Optional[torch.nn.Module] = None


def outputs_of(model) -> List[str]:
    """Names of the outputs that a model has, the one it is decoded with first."""
    names = []
    decoder = getattr(model, "decoder", None)
    if getattr(model, "use_transducer_decoder", False) and decoder is not None:
        names.append(TRANSDUCER)
    weight = getattr(model, "ctc_weight", 0.0)
    if getattr(model, "ctc", None) is not None and weight > 0.0:
        names.append(CTC)
    heads = getattr(model, "ctc_heads", None)
    if heads is not None:
        names += [f"{HEAD}{layer}" for layer in reversed(heads.layers)]
    return names


def get_output(model, name: str = AUTO) -> Output:
    """The named output of a model; ``auto`` is the one it is decoded with.

    Raises:
        OptionError: It has no such output.
    """
    names = outputs_of(model)
    if name == AUTO and names:
        name = names[0]
    if name not in names:
        raise OptionError(
            f"this model has no output {name!r} to align with",
            where="--output",
            expected=", ".join(names) or "a transducer, a CTC layer, or CTC heads",
            next_step=f"--output {names[0]}" if names else None,
        )
    return dataclasses.replace(_output(model, name), model=model)


def _output(model, name: str) -> Output:
    if name == TRANSDUCER:
        return _transducer(model)
    if name == CTC:
        return _layer(model, name, model.ctc.ctc_lo, _top_frames(model))
    layer = int(name.removeprefix(HEAD))
    return _head(model, name, layer)


def _first(encoded):
    """Encoder frames alone, where a stock model adds intermediate ones."""
    frames, lengths = encoded[:2]
    return (frames[0] if isinstance(frames, tuple) else frames), lengths


def _top_frames(model) -> Frames:
    # a transducer's ``encode`` gives frames that are projected for its joint
    encode = getattr(model, "encode_frames", model.encode)
    return lambda speech, lengths: _first(encode(speech, lengths))


def _transducer(model) -> Output:
    decoder, joint = model.decoder, model.joint_network
    if getattr(decoder, "frame_dependent", False):
        raise OptionError(
            "the prediction network of this model sees frames too: its lattice "
            "has no finite number of states",
            where="--output transducer",
            next_step="align with the model that it was trained on the alignments of",
        )
    if getattr(model, "transducer_multi_blank_durations", None):
        raise OptionError(
            "this model has blanks that take several frames, which none of the "
            "topologies knows",
            where="--output transducer",
            expected="a transducer whose blank takes one frame, or --output ctc",
        )
    # its blank is elsewhere than the fused loss has it, see TransducerModel
    has_fused = hasattr(joint, "fused") and joint.blank_column == "matching"

    def arcs(am_BTR, labels_BL, label_lens_B, frame_lens_B, topology, prior):
        if prior is not None:
            raise OptionError(
                "a prior is an average over frames, and a transducer's distribution "
                "also depends on the labels",
                where="--prior",
                expected="an output of CTC: --output ctc",
            )
        labels_BL = labels_BL.clamp(min=0)
        if hasattr(decoder, "set_device"):  # a stock decoder makes its states there
            decoder.set_device(am_BTR.device)
        lm_BSR = decoder(F.pad(labels_BL, (1, 0)))
        if has_fused:
            fused = joint.fused(am_BTR, lm_BSR, PLAIN)
            fused.tile_nodes = tile_nodes(fused.vocabulary)
            lengths = frame_lens_B, label_lens_B
            return JointLattice(fused, labels_BL, *lengths, get_topology(topology))
        return joint_arcs(
            *(am_BTR, lm_BSR, joint, model.vocab_size),
            *(labels_BL, label_lens_B, topology),
        )

    topology = getattr(model, "topology", None)
    ours = hasattr(model, "encode_frames")
    topology = getattr(topology, "name", topology) or ("rna" if ours else "rnnt")
    frames = lambda speech, lengths: _first(model.encode(speech, lengths))  # noqa: E731
    return Output(TRANSDUCER, topology, frames, arcs, model.vocab_size)


def _layer(
    model, name: str, project, frames: Frames, classes: int = 0, first_id=0, blank=0
) -> Output:
    classes = classes or model.vocab_size

    def arcs(frames_BTD, labels_BL, label_lens_B, frame_lens_B, topology, prior):
        return frame_arcs(
            *(frames_BTD, project, classes),
            *(labels_BL - first_id, label_lens_B, topology, blank, prior),
        )

    def log_probs(frames_BTD):
        return project(frames_BTD).float().log_softmax(-1)

    return Output(name, "ctc", frames, arcs, classes, first_id, log_probs)


def _head(model, name: str, layer: int) -> Output:
    heads = model.ctc_heads

    def frames(speech, lengths):
        _, lengths_B, outputs = model.encode_layers(speech, lengths, heads.layers)
        return dict(outputs)[layer], lengths_B

    return _layer(
        *(model, name, lambda x: heads.logits(layer, x), frames),
        *(model.vocab_size - heads.first_id, heads.first_id, heads.blank),
    )
