"""The original's augmentation as ESPnet's ``specaug``: ``masks_by_step``.

In the original's order: resize, warp, masks over time, masks over features, frame drop.
Two augmentations that the named experiments do not have come before: sequence noise on
the waveforms and length perturbation.

Source: reference/parts.md 2.5.
"""

from typing import Any, Dict, Mapping, Optional, Tuple

import torch
from espnet2.asr.specaug.abs_specaug import AbsSpecAug

from espnet_ext.asr.specaug.frame_drop import (
    FrameDropOptions,
    LengthPerturbationOptions,
    drop_frames,
    perturb_length,
)
from espnet_ext.asr.specaug.masks import MaskOptions, mask
from espnet_ext.asr.specaug.sequence_noise import (
    SequenceNoiseOptions,
    add_sequence_noise,
)
from espnet_ext.asr.specaug.time_resize import ResizeOptions, resize_time
from espnet_ext.asr.specaug.time_warp import WarpOptions, random_warp


def _options(kind: type, options: Optional[Mapping[str, Any]], name: str) -> Any:
    if options is None:
        return None
    try:
        return kind(**options)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from None


class MasksByStep(AbsSpecAug):
    """Augmentation of normalised features in training.

    Batches are counted over the whole training: neither growth nor a new sub-epoch
    begins anew, and a rollback to an earlier model should leave the count as it is
    (``keep_on_rollback``), as the original does.

    Args:
        masks: Options of MaskOptions; None for no masks.
        time_warp: Options of WarpOptions; None for no warp.
        time_resize: Options of ResizeOptions; None for no resizing.
        frame_drop: Options of FrameDropOptions; None for none.
        length_perturbation: Options of LengthPerturbationOptions; None for none.
        sequence_noise: Options of SequenceNoiseOptions; None for none.

    Raises:
        ValueError: Unknown options or impossible values.
    """

    random_stream = "augment"
    generator: Optional[torch.Generator] = None
    keep_on_rollback = ("seen_batches",)

    def __init__(
        self,
        masks: Optional[Dict] = None,
        time_warp: Optional[Dict] = None,
        time_resize: Optional[Dict] = None,
        frame_drop: Optional[Dict] = None,
        length_perturbation: Optional[Dict] = None,
        sequence_noise: Optional[Dict] = None,
    ):
        super().__init__()
        self.masks = _options(MaskOptions, masks, "masks")
        self.time_warp = _options(WarpOptions, time_warp, "time_warp")
        self.time_resize = _options(ResizeOptions, time_resize, "time_resize")
        self.frame_drop = _options(FrameDropOptions, frame_drop, "frame_drop")
        self.length_perturbation = _options(
            LengthPerturbationOptions, length_perturbation, "length_perturbation"
        )
        self.sequence_noise = _options(
            SequenceNoiseOptions, sequence_noise, "sequence_noise"
        )
        # a float, because n-best averaging adds up integer buffers
        self.register_buffer("seen_batches", torch.tensor(0.0, dtype=torch.float64))

    @property
    def in_evaluation(self) -> bool:
        """Whether validation scores are computed with it, too."""
        drop = self.frame_drop
        return drop is not None and drop.in_evaluation and drop.rate > 0.0

    def waveforms(
        self, speech_BN: torch.Tensor, lengths_B: torch.Tensor
    ) -> torch.Tensor:
        """What of the augmentation acts on waveforms [B, samples], in training."""
        if self.sequence_noise is None or not self.training:
            return speech_BN
        return add_sequence_noise(
            speech_BN, lengths_B, self.sequence_noise, self.generator
        )

    def forward(
        self, x: torch.Tensor, x_lengths: Optional[torch.Tensor] = None
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Augmented features [B, U, F] and lengths [B]; U may differ from T.

        Args:
            x: Features [B, T, F].
            x_lengths: [B]; None: all are T long.
        """
        if x_lengths is None:
            x_lengths = torch.full((x.size(0),), x.size(1), dtype=torch.long)
        if self.training:
            step = int(self.seen_batches)
            self.seen_batches += 1
            x, x_lengths = self._training_forward(x, x_lengths, step)
        drop = self.frame_drop
        if drop is not None and drop.rate > 0.0:
            if self.training or drop.in_evaluation:
                x, x_lengths = drop_frames(x, x_lengths, drop, self.generator)
        return x, x_lengths

    def _training_forward(
        self, x: torch.Tensor, lengths: torch.Tensor, step: int
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        perturbation = self.length_perturbation
        if perturbation and perturbation.drop_rate + perturbation.insert_rate > 0.0:
            x, lengths = perturb_length(x, lengths, perturbation, self.generator)
        if self.time_resize is not None and not self.time_resize.is_neutral:
            x, lengths = resize_time(x, lengths, self.time_resize, self.generator)
        if self.time_warp is not None:
            x = random_warp(x, step, self.time_warp, self.generator)
        if self.masks is not None:
            x = mask(x, step, self.masks, self.generator)
        return x, lengths
