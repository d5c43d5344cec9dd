"""Rough memory and time of a training, from sizes alone.

Corpus numbers: reference/training.md 1 (Switchboard-300h).
"""

import dataclasses
from typing import Any, Mapping

FRAMES = 447.4  # mean length of an utterance, 10 ms
LABELS = 14.1  # mean number of BPE labels
UTTERANCES = 227047 / 6  # of a sub-epoch
REDUCTION = 6
BYTES = 4
ADAM_COPIES = 4  # weight, gradient, two averages
# what the original's run reached on a GTX 1080 Ti: 61 minutes a sub-epoch for `orig`
# (reference/training.md 9)
FLOP_PER_SECOND = 6.5e11
FLOP_PER_WEIGHT = 6  # multiply and add; backward costs twice as much


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Gigabytes and hours.

    Attributes:
        weights_gb: Weights, gradients and the optimizer's averages.
        activations_gb: Of the encoder for one batch.
        lattice_gb: Log-probabilities [T, S, V] of one batch and their gradient.
        hours: Of all sub-epochs.
    """

    weights_gb: float
    activations_gb: float
    lattice_gb: float
    hours: float


def estimate(
    parameters: int, encoder_parameters: int, config: Mapping[str, Any], vocabulary: int
) -> Estimate:
    """Estimate for batches of the final size.

    Args:
        parameters: Of the whole model.
        encoder_parameters: Of the encoder, which sees every frame.
        config: Training configuration.
        vocabulary: Output size.
    """
    encoder = config.get("encoder_conf") or {}
    frames = config["batch_bins"] / 80
    encoder_frames = frames / REDUCTION
    size = encoder.get("model_size") or 2 * encoder.get("hidden_size", 512)
    inner = encoder.get("feed_forward_size", 4 * size)
    layers = encoder.get("num_layers", 6)
    # inputs of the linear layers, which the backward pass needs
    per_frame = layers * (10 * size + 2 * inner)
    is_transducer = config.get("model") == "full_sum_transducer"
    nodes = encoder_frames * (LABELS + 1) if is_transducer else encoder_frames
    sub_epochs = config.get("max_epoch", 0)
    frames_seen = UTTERANCES * FRAMES / REDUCTION * sub_epochs
    work = FLOP_PER_WEIGHT * frames_seen * encoder_parameters
    if is_transducer:  # the readout's output layer at every node of the lattice
        work += FLOP_PER_WEIGHT * frames_seen * (LABELS + 1) * 500 * vocabulary
    return Estimate(
        weights_gb=parameters * BYTES * ADAM_COPIES / 1e9,
        activations_gb=encoder_frames * per_frame * BYTES / 1e9,
        lattice_gb=2 * nodes * vocabulary * BYTES / 1e9,
        hours=work / FLOP_PER_SECOND / 3600,
    )
