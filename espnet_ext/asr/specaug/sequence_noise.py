"""Other utterances of the batch as background noise.

Not part of the named experiments. Ref: Saon, Tueske, Audhkhasi and Kingsbury 2019,
Sequence noise injected training for end-to-end speech recognition.

Differs from the paper: waveforms are added instead of spectra, and the other utterance
comes from the same batch, whose lengths are alike.
"""

# Dimensions: B batch, N samples
from dataclasses import dataclass
from typing import Optional

import torch


@dataclass(frozen=True)
class SequenceNoiseOptions:
    """How often and how loud.

    Attributes:
        probability: That an utterance gets another one added.
        scale: Of the other one's samples.
    """

    probability: float = 0.0
    scale: float = 0.4

    def __post_init__(self):
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(
                f"sequence_noise.probability {self.probability}: expected 0 .. 1"
            )


def add_sequence_noise(
    speech_BN: torch.Tensor,
    lengths_B: torch.Tensor,
    options: SequenceNoiseOptions,
    generator: Optional[torch.Generator],
) -> torch.Tensor:
    """Waveforms with those of others added, each up to its own end.

    A batch of one utterance stays as it is.

    Raises:
        ValueError: Features instead of waveforms.
    """
    if speech_BN.dim() != 2:
        raise ValueError(
            "sequence_noise adds waveforms [B, samples], but the input is "
            f"{list(speech_BN.shape)}: leave it out where features are read"
        )
    batch = speech_BN.size(0)
    if batch < 2 or options.probability == 0.0:
        return speech_BN
    with_noise_B = torch.rand(batch, generator=generator) < options.probability
    distance_B = torch.randint(1, batch, (batch,), generator=generator)
    other_B = (torch.arange(batch) + distance_B) % batch
    samples_N = torch.arange(speech_BN.size(1), device=speech_BN.device)
    inside_BN = samples_N < lengths_B.to(speech_BN.device).unsqueeze(1)
    voiced_BN = speech_BN.masked_fill(~inside_BN, 0.0)
    other_BN = voiced_BN[other_B.to(speech_BN.device)]
    heard_BN = inside_BN & with_noise_B.to(speech_BN.device).unsqueeze(1)
    return torch.where(heard_BN, speech_BN + options.scale * other_BN, speech_BN)
