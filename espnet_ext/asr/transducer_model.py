"""Transducer with full-sum training as an ESPnet ASR model.

Differs from ``espnet2.asr.espnet_model.ESPnetASRModel``: the joint network belongs to
the decoder, the loss is an exact full sum over RNA alignments with the factorised
output distribution, and no external loss package is needed.
"""

# Dimensions: B batch, T encoder frames, L labels, D encoder, R readout, V vocabulary
import logging
from typing import Dict, Optional, Tuple

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.torch_utils.device_funcs import force_gatherable
from rapidfuzz.distance import Levenshtein

from espnet_ext.asr.loss import factorised_loss
from espnet_ext.asr.search.greedy import greedy_search

REDUCTIONS = ("mean", "sum")


class TransducerModel(ESPnetASRModel):
    """RNA transducer, with a CTC auxiliary loss on the encoder output.

    Args (in addition to those of ESPnetASRModel):
        ctc_weight: Scale of the CTC loss; 0 builds no CTC output layer.
        transducer_start_epoch: The transducer loss is computed from this 1-based
            epoch on; before it, only the CTC loss (experiments ``transdN``).
        loss_reduction: ``mean`` over the sequences of a batch (ESPnet) or ``sum``
            (original). Reported values are means in both cases.

    A sequence with more labels than encoder frames has no alignment. It contributes
    nothing to the loss and is named in the log.
    """

    def __init__(
        self,
        *,
        decoder,
        ctc,
        joint_network=None,
        ctc_weight: float = 0.0,
        transducer_start_epoch: int = 1,
        loss_reduction: str = "mean",
        **kwargs,
    ):
        if loss_reduction not in REDUCTIONS:
            raise ValueError(
                f"loss_reduction {loss_reduction!r}: expected one of {REDUCTIONS}"
            )
        if transducer_start_epoch > 1 and ctc_weight == 0.0:
            raise ValueError(
                f"transducer_start_epoch {transducer_start_epoch} needs ctc_weight > 0:"
                " nothing else is trained before that epoch"
            )
        # joint_network=None keeps ESPnet from importing warprnnt_pytorch; for the same
        # reason the flag that selects transducer search is set afterwards. The base
        # class would build criteria of an attention decoder for ctc_weight < 1.
        super().__init__(
            decoder=decoder,
            ctc=ctc,
            joint_network=None,
            ctc_weight=ctc_weight,
            report_cer=False,
            report_wer=False,
            **kwargs,
        )
        self.criterion_att = None
        self.use_transducer_decoder = True
        self.transducer_start_epoch = transducer_start_epoch
        self.loss_reduction = loss_reduction
        self.epoch: Optional[int] = None

    @property
    def joint_network(self):
        """The decoder's joint; a property, so that its weights are stored once."""
        return self.decoder.joint_network

    def load_state_dict(self, state_dict, strict: bool = True, assign: bool = False):
        """Always strict: ESPnet's inference asks for ``strict=False``, with which a
        renamed or missing weight would silently stay random.
        """
        return super().load_state_dict(state_dict, strict=True, assign=assign)

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer at the beginning of each 1-based (sub-)epoch."""
        self.epoch = epoch
        if hasattr(self.encoder, "set_epoch"):
            self.encoder.set_epoch(epoch)

    def transducer_is_active(self) -> bool:
        """False only in training before ``transducer_start_epoch``.

        Evaluation always includes the transducer, so that its values can be compared
        over all epochs; otherwise the epochs without it would look like the best.
        """
        started = self.epoch is None or self.epoch >= self.transducer_start_epoch
        return started or not self.training

    def encode_frames(
        self, speech: torch.Tensor, speech_lengths: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Encoder output [B, T, D] and its lengths, before the joint.

        Differs from ESPnet in the order: features are normalised first and masked
        then, as in the original, so that a masked value (zero) is the mean.
        """
        features, lengths = self._extract_feats(speech, speech_lengths)
        if self.normalize is not None:
            features, lengths = self.normalize(features, lengths)
        if self.specaug is not None and self.training:
            features, lengths = self.specaug(features, lengths)
        if self.preencoder is not None:
            features, lengths = self.preencoder(features, lengths)
        frames_BTD, lengths_B, _ = self.encoder(features, lengths)
        if self.postencoder is not None:
            frames_BTD, lengths_B = self.postencoder(frames_BTD, lengths_B)
        return frames_BTD, lengths_B

    def encode(
        self, speech: torch.Tensor, speech_lengths: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Frames as the joint takes them, [B, T, R]: what ESPnet's searches need."""
        frames_BTD, lengths_B = self.encode_frames(speech, speech_lengths)
        return self.joint_network.project_frames(frames_BTD, lengths_B), lengths_B

    def forward(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        **kwargs,
    ) -> Tuple[torch.Tensor, Dict[str, torch.Tensor], torch.Tensor]:
        """Loss, statistics and batch size.

        Args:
            speech: Waveforms [B, samples] or features [B, T, F].
            speech_lengths: [B].
            text: Token ids [B, L], padded with -1.
            text_lengths: [B].
            kwargs: ``utt_id``, used in messages.
        """
        batch = speech.size(0)
        labels_BL = text[:, : int(text_lengths.max())] if batch else text
        frames_BTD, lengths_B = self.encode_frames(speech, speech_lengths)
        stats: Dict[str, Optional[torch.Tensor]] = {}
        terms = []
        if self.ctc_weight > 0.0:
            # ESPnet's CTC module divides by the batch size
            ctc = self.ctc(frames_BTD, lengths_B, labels_BL, text_lengths) * batch
            stats["loss_ctc"] = ctc.detach() / batch
            terms.append(self.ctc_weight * ctc)
        if self.transducer_is_active():
            am_BTR = self.joint_network.project_frames(frames_BTD, lengths_B)
            nll_B = self.transducer_nll(am_BTR, lengths_B, labels_BL, text_lengths)
            possible_B = torch.isfinite(nll_B)
            self._log_impossible(possible_B, kwargs.get("utt_id"))
            nll = nll_B[possible_B].sum()
            stats["loss_transducer"] = nll.detach() / batch
            stats["impossible"] = (~possible_B).sum().float()
            terms.append(nll)
            if not self.training:
                stats["ter"] = self._token_error_rate(
                    am_BTR, lengths_B, labels_BL, text_lengths
                )
        total = sum(terms)
        stats["loss"] = total.detach() / batch
        loss = total / batch if self.loss_reduction == "mean" else total
        return force_gatherable((loss, stats, batch), loss.device)

    def transducer_nll(
        self,
        am_BTR: torch.Tensor,
        frame_lens_B: torch.Tensor,
        labels_BL: torch.Tensor,
        label_lens_B: torch.Tensor,
    ) -> torch.Tensor:
        """Negative log-likelihood of each sequence, inf where there is no path."""
        labels_BL = labels_BL.clamp(min=0)
        lm_BSR = self.decoder(torch.nn.functional.pad(labels_BL, (1, 0), value=0))
        logits, emission = self.joint_network.logits(
            am_BTR.unsqueeze(2), lm_BSR.unsqueeze(1)
        )
        # the label axis has no blank: id 1 is its first entry
        return factorised_loss(
            logits, emission, (labels_BL - 1).clamp(min=0), frame_lens_B, label_lens_B
        )

    def _token_error_rate(self, am_BTR, frame_lens_B, labels_BL, label_lens_B):
        results = greedy_search(self.decoder, am_BTR, frame_lens_B)
        errors, count = 0, 0
        for result, labels, length in zip(
            results, labels_BL.tolist(), label_lens_B.tolist()
        ):
            errors += Levenshtein.distance(labels[:length], result.labels)
            count += length
        return am_BTR.new_tensor(errors / max(count, 1))

    def _log_impossible(self, possible_B, utterance_ids) -> None:
        if bool(possible_B.all()):
            return
        rows = (~possible_B).nonzero().flatten().tolist()
        names = [utterance_ids[i] if utterance_ids else f"row {i}" for i in rows]
        logging.warning(
            "no alignment exists (more labels than encoder frames), left out of the "
            f"loss: {' '.join(names)}"
        )
