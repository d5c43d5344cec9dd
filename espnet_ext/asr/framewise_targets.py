"""Alignments as targets of a training: fitted to the encoder, cut into chunks, costs.

Source: reference/losses.md 8; reference/models.md (i).
"""

# Dimensions: B batch, C chunks, T encoder frames, N input frames, F feature
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

import torch

from espnet_ext.asr.loss.frame_context import Chunks, cut_alignments
from espnet_ext.errors import FormatError, OptionError

CHUNK_OPTIONS = {"size", "hop", "reduction"}


class ChunkOptions(NamedTuple):
    """How utterances are cut in training.

    Attributes:
        size: Frames of the encoder in a chunk.
        hop: From one chunk to the next, in the same unit.
        reduction: Input frames of one encoder frame.
    """

    size: int
    hop: int
    reduction: int


def chunk_options(options: Optional[Dict], encoder) -> Optional[ChunkOptions]:
    """Options of a configuration; ``reduction`` is asked of the encoder's frontend.

    Raises:
        OptionError: An unknown option; no size; a reduction that is not known.
    """
    if options is None:
        return None
    unknown = sorted(set(options) - CHUNK_OPTIONS)
    frontend = getattr(encoder, "frontend", None)
    reduction = options.get("reduction", getattr(frontend, "reduction", None))
    if unknown or "size" not in options or reduction is None:
        raise OptionError(
            f"model_conf chunk: {options}",
            expected="size (frames of the encoder), hop (size if absent), and reduction "
            "(input frames of one of them) where the encoder does not tell",
        )
    return ChunkOptions(options["size"], options.get("hop", options["size"]), reduction)


def cut_inputs(
    features_BNF: torch.Tensor,
    lengths_B: torch.Tensor,
    alignment_BT: torch.Tensor,
    frame_lens_B: torch.Tensor,
    options: ChunkOptions,
) -> Tuple[torch.Tensor, torch.Tensor, Chunks]:
    """Features [C, N', F] and lengths [C] of all chunks, and their alignments."""
    chunks = cut_alignments(alignment_BT, frame_lens_B, options.size, options.hop)
    inputs = chunks.times(options.reduction, lengths_B)
    # an alignment may be a little longer than the features that are left of augmentation
    kept = (inputs.frame_lens_C > 0).nonzero().flatten()
    chunks, inputs = (Chunks(*(part[kept] for part in x)) for x in (chunks, inputs))
    return inputs.cut(features_BNF), inputs.frame_lens_C, chunks


def fit_alignments(
    alignment_BT: torch.Tensor,
    alignment_lens_B: torch.Tensor,
    frame_lens_B: torch.Tensor,
    tolerance: int,
    utterance_ids: Sequence[str] = (),
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Alignment [B, T] of the encoder's T frames, and how many frames have a target.

    A target that is missing at the end, or is beyond it, is left out.

    Raises:
        FormatError: A length differs from the encoder's by more than ``tolerance``.
    """
    alignment_lens_B = alignment_lens_B.to(frame_lens_B.device)
    difference_B = (alignment_lens_B - frame_lens_B).abs()
    if bool((difference_B > tolerance).any()):
        row = int(difference_B.argmax())
        name = utterance_ids[row] if row < len(utterance_ids) else f"row {row}"
        raise FormatError(
            f"an alignment of {int(alignment_lens_B[row])} frames for "
            f"{int(frame_lens_B[row])} frames of the encoder",
            where=name,
            expected=f"at most {tolerance} more or less (length_tolerance)",
            next_step="align with a model of the same time reduction and the same "
            "features; a training on alignments can have no augmentation of the length",
        )
    frames = int(frame_lens_B.max()) if len(frame_lens_B) else 0
    missing = max(frames - alignment_BT.size(1), 0)
    fitted_BT = torch.nn.functional.pad(alignment_BT, (0, missing), value=-1)
    return fitted_BT[:, :frames], torch.minimum(alignment_lens_B, frame_lens_B)


class AlignedEncoding:
    """Part of models that train on alignments; ``chunk`` and ``length_tolerance`` are
    options of theirs.
    """

    chunk: Optional[ChunkOptions]
    length_tolerance: int

    def encode_aligned(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        alignment: Optional[torch.Tensor],
        alignment_lengths: Optional[torch.Tensor],
        layers: Sequence[int] = (),
        utterance_ids: Sequence[str] = (),
    ):
        """Encoder output [B, T, D], frames that have a target [B], outputs of ``layers``
        by number, and targets [B, T]. In training with chunks, B is their number.

        Raises:
            OptionError: There is no alignment.
            FormatError: It does not fit.
        """
        if alignment is None or alignment_lengths is None:
            raise OptionError(
                "this model trains on alignments, and the data have none",
                expected="a third item: --train_data_path_and_name_and_type "
                "FILE,alignment,kaldi_ark (and the same for the validation set)",
                next_step="espnet-ext align makes them with a trained model",
            )
        features, lengths = self.features(speech, speech_lengths, for_loss=True)
        if self.chunk is not None and self.training:
            reduction = self.chunk.reduction
            expected = torch.div(
                lengths + reduction - 1, reduction, rounding_mode="floor"
            )
            fitted = fit_alignments(
                *(alignment, alignment_lengths, expected.to(alignment.device)),
                *(self.length_tolerance, utterance_ids),
            )
            features, lengths, chunks = cut_inputs(
                features, lengths, *fitted, self.chunk
            )
            alignment, alignment_lengths = chunks.alignment_CN, chunks.frame_lens_C
            utterance_ids = ()
        frames_BTD, lengths_B, outputs = self.encode_features(features, lengths, layers)
        targets_BT, lengths_B = fit_alignments(
            *(alignment, alignment_lengths, lengths_B),
            *(self.length_tolerance, utterance_ids),
        )
        frames = frames_BTD.size(1) - targets_BT.size(1)
        targets_BT = torch.nn.functional.pad(targets_BT, (0, frames), value=-1)
        return frames_BTD, lengths_B, outputs, targets_BT
