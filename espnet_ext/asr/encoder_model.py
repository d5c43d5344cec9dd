"""What our models have in common: features, encoder, auxiliary CTC, strict loading."""

# Dimensions: B batch, T encoder frames, L labels, D encoder
import inspect
import logging
import re
from typing import Dict, List, Optional, Sequence, Tuple

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.torch_utils.device_funcs import force_gatherable

from espnet_ext.asr.features import normalised_features
from espnet_ext.asr.ignored_options import without_ignored
from espnet_ext.asr.loss.aux_ctc import AuxiliaryCtc
from espnet_ext.asr.loss.node_gradient import LabelSmoothing, growth_fraction
from espnet_ext.asr.loss.smoothing import SMOOTHED, SmoothingSchedule
from espnet_ext.asr.reproduction import Reproduction
from espnet_ext.asr.weight_decay import WeightDecay
from espnet_ext.asr.weight_decay import options_of as weight_decay_options
from espnet_ext.layers.forward_context import forward_context
from espnet_ext.layers.init import glorot_uniform_

REDUCTIONS = ("mean", "sum")
NONFINITE_LOSSES = ("keep", "zero")
# names of the experiments for two options of AuxiliaryCtc
AUX_FORMS = {
    "aux": {"top_layer": False, "blank": "last_label"},
    "f": {"top_layer": True, "blank": "last_label"},
    "ff": {"top_layer": True, "blank": "separate"},
}
LayerOutputs = List[Tuple[int, torch.Tensor]]


def smoothing_schedule(options: Dict) -> SmoothingSchedule:
    """Schedule from the options of a configuration.

    Raises:
        ValueError: Unknown options.
        OptionError: Unknown or impossible values.
    """
    options = dict(options)
    kind = options.pop("type", None)
    if kind is not None:
        names = {smoothed: over for over, smoothed in SMOOTHED.items()}
        options["over"] = names.get(kind, kind)
    if "scale" in options:
        options["amount"] = options.pop("scale")
    try:
        return SmoothingSchedule(**options)
    except TypeError as error:
        raise ValueError(f"label_smoothing: {error}") from None


class EncoderModel(ESPnetASRModel):
    """Base of the models; ESPnet's, with these differences.

    * Features are normalised first and masked then, as in the original, so that a
      masked value (zero) is the mean.
    * Losses are summed over the sequences of a batch if wanted, as in the original.
    * Loading is always strict: ESPnet's inference asks for ``strict=False``, with
      which a renamed or missing weight would silently stay random.

    Args (in addition to those of ESPnetASRModel):
        aux_ctc: Options of AuxiliaryCtc (``layers``, ``weight``, ``top_layer``,
            ``blank``, ..); ``form`` (``aux``, ``f`` or ``ff``) stands for ``top_layer``
            and ``blank`` together. None for no auxiliary CTC.
        loss_reduction: ``mean`` over the sequences of a batch (ESPnet) or ``sum``
            (original). Reported values are means in both cases.
        l2: Options of WeightDecayOptions, relative to summed losses; None for no
            weight decay. The term is part of the objective, not of reported losses.
        nonfinite_loss: What a sequence contributes whose main loss overflowed or is
            nan: ``keep`` (a trainer skips the update) or ``zero`` (``orig``).
        transducer_start_epoch: The main loss, whatever it is, is computed from this
            1-based epoch on; before it, only CTC losses (experiments ``transdN``).
        reproduction: Options of Reproduction: a loss by which the encoder output
            predicts the encoder's input. None for none.
        recompute: Keep less of the encoder for the backward pass and compute what is
            cheap again, see ``layers.recompute``. The numbers are the same.
        fast_products: Multiply float32 matrices of the encoder with oneDNN on CPUs,
            see ``layers.fast_products``. The numbers are the same but for rounding.
    """

    def __init__(
        self,
        *,
        aux_ctc: Optional[Dict] = None,
        loss_reduction: str = "mean",
        transducer_start_epoch: int = 1,
        l2: Optional[Dict] = None,
        nonfinite_loss: str = "keep",
        reproduction: Optional[Dict] = None,
        recompute: bool = False,
        fast_products: bool = False,
        **kwargs,
    ):
        if nonfinite_loss not in NONFINITE_LOSSES:
            raise ValueError(
                f"nonfinite_loss {nonfinite_loss!r}: expected one of {NONFINITE_LOSSES}"
            )
        if loss_reduction not in REDUCTIONS:
            raise ValueError(
                f"loss_reduction {loss_reduction!r}: expected one of {REDUCTIONS}"
            )
        super().__init__(**without_ignored(kwargs))
        self.weight_decay = WeightDecay(self, weight_decay_options(l2))
        # a trainer that adds the decay's gradient itself, once an update, says so
        self.trainer_adds_decay = False
        if self.weight_decay and loss_reduction != "sum":
            raise ValueError(
                f"l2 is relative to summed losses: loss_reduction {loss_reduction!r}, "
                "expected 'sum'"
            )
        self.loss_reduction = loss_reduction
        self.recompute = recompute
        self.fast_products = fast_products
        self.nonfinite_loss = nonfinite_loss
        self.epoch: Optional[int] = None
        self.transducer_start_epoch = transducer_start_epoch
        self.reproduction = None
        # of the pass that is going on: made by encode_features, taken by result
        self._reproduction_term: Optional[torch.Tensor] = None
        if reproduction is not None:
            last = self.encoder if self.postencoder is None else self.postencoder
            self.reproduction = Reproduction.of(
                reproduction, last.output_size(), self.frontend, self.encoder
            )
        self.ctc_heads = None
        if aux_ctc is not None:
            self.ctc_heads = self._heads(dict(aux_ctc))

    def _heads(self, options: Dict) -> AuxiliaryCtc:
        form = options.pop("form", None)
        if form is not None:
            if form not in AUX_FORMS:
                raise ValueError(
                    f"aux_ctc form {form!r}: expected one of {tuple(AUX_FORMS)}"
                )
            options = {**AUX_FORMS[form], **options}
        self.check_layer_outputs("aux_ctc")
        try:
            return AuxiliaryCtc(self.vocab_size, self.encoder.output_size(), **options)
        except TypeError as error:
            raise ValueError(f"aux_ctc: {error}") from None

    def check_layer_outputs(self, option: str) -> None:
        """Raise ValueError if the encoder has no outputs of layers by number."""
        if "aux_layers" not in inspect.signature(self.encoder.forward).parameters:
            raise ValueError(
                f"{option} needs the outputs of layers by number, which "
                f"{type(self.encoder).__name__} does not give: expected encoder "
                "staged_conformer or frontend_e_branchformer"
            )

    def load_state_dict(self, state_dict, strict: bool = True, assign: bool = False):
        """Always strict, see the class."""
        return super().load_state_dict(state_dict, strict=True, assign=assign)

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer at the beginning of each 1-based (sub-)epoch."""
        self.epoch = epoch
        if hasattr(self.encoder, "set_epoch"):
            self.encoder.set_epoch(epoch)

    def main_loss_is_active(self) -> bool:
        """False only in training before ``transducer_start_epoch``.

        Evaluation always includes the main loss, so that its values can be compared
        over all epochs; otherwise the epochs without it would look like the best.
        """
        started = self.epoch is None or self.epoch >= self.transducer_start_epoch
        return started or not self.training

    def check_start(self, other_losses: bool) -> None:
        """Raise ValueError if nothing would be trained before the main loss starts."""
        if self.transducer_start_epoch > 1 and not other_losses:
            raise ValueError(
                f"transducer_start_epoch {self.transducer_start_epoch} needs "
                "ctc_weight > 0 or aux_ctc: nothing else is trained before that epoch"
            )

    def add_top_ctc(self, terms, stats, frames_BTD, lengths_B, labels_BL, label_lens_B):
        """Append the CTC loss of the encoder output, scaled by ``ctc_weight``."""
        if self.ctc is None or self.ctc_weight == 0.0:
            return
        # ESPnet's CTC module divides by the batch size
        batch = frames_BTD.size(0)
        ctc = self.ctc(frames_BTD, lengths_B, labels_BL, label_lens_B) * batch
        stats["loss_ctc"] = ctc.detach() / batch
        terms.append(self.ctc_weight * ctc)

    def smoothing_now(self, schedule: SmoothingSchedule) -> LabelSmoothing:
        """Label smoothing in this epoch and growing stage; after the warm-up, where no
        epoch has been set.
        """
        epoch = schedule.warmup_epochs if self.epoch is None else self.epoch
        return schedule.at(epoch, self.growth())

    def growth(self) -> float:
        """0 in the first growing stage to 1 in the last, by the number of layers."""
        if not hasattr(self.encoder, "stages"):
            return 1.0
        stages = self.encoder.stages
        layers = (stage.layers for stage in (self.encoder.stage, stages[0]))
        return growth_fraction(*layers, stages[-1].layers)

    def stage_key(self) -> object:
        """The same for epochs in which the same parameters are in use."""
        return getattr(self.encoder, "stage", None)

    def frame_parts(self) -> Dict[str, int]:
        """Weights of layers on the encoder's output: name to frames in the input.

        While the encoder grows in width, its frames have zeros in the features that
        are not in use yet; the columns of these weights that meet them are not in use
        either.
        """
        parts = {}
        if self.ctc_heads is not None:
            parts = {f"ctc_heads.heads.{n}.weight": 1 for n in self.ctc_heads.layers}
        if isinstance(self.ctc, torch.nn.Module):
            parts["ctc.ctc_lo.weight"] = 1
        return parts

    def used_entries(self) -> Dict[str, torch.Tensor]:
        """Boolean masks of what is in use, for parameters that grow.

        Entries that are not in use get no gradient and must not decay either.
        """
        if not hasattr(self.encoder, "used_entries"):
            return {}
        masks = {f"encoder.{n}": m for n, m in self.encoder.used_entries().items()}
        sizes = self.encoder.stage.sizes()
        parameters = dict(self.named_parameters())
        for name, count in self.frame_parts().items():
            mask = torch.zeros(parameters[name].shape, dtype=torch.bool)
            mask[:, self.encoder.frame_axis(count).index(sizes)] = True
            masks[name] = mask
        return masks

    def initialise_frame_weights(self) -> None:
        """Draw the weights that meet encoder frames as if they were created in the
        first growing stage that uses them; called once everything is built.

        Glorot uniform in each stage; a layer's auxiliary output is created with it.
        """
        stages = getattr(self.encoder, "stages", [])[:-1]
        if not stages:  # nothing grows: one of ESPnet's own encoders, for example
            return
        parameters = dict(self.named_parameters())
        for name, count in self.frame_parts().items():
            head = re.fullmatch(r"ctc_heads\.heads\.(\d+)\.weight", name)
            axis = self.encoder.frame_axis(count)
            for stage in reversed(stages):
                exists = head is None or int(head[1]) in self.ctc_heads.active_layers(
                    stage.layers
                )
                columns = axis.index(stage.sizes())
                if parameters[name].is_meta or not exists or len(columns) == axis.size:
                    continue
                rows, inputs = parameters[name].size(0), len(columns)
                drawn = torch.empty(rows, inputs)
                glorot_uniform_(drawn, inputs, rows)
                with torch.no_grad():
                    parameters[name][:, columns] = drawn

    def features(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        for_loss: bool = False,
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """What the encoder gets: features [B, T, F] and their lengths.

        Augmentation may change the lengths. In evaluation there is none, but the parts
        that the original had in its validation scores (``for_loss``), too.

        Raises:
            AudioError: All utterances are too short for one frame.
        """
        augments = self.specaug is not None and self.training
        if augments and hasattr(self.specaug, "waveforms"):
            speech = self.specaug.waveforms(speech, speech_lengths)
        features, lengths = normalised_features(self, speech, speech_lengths)
        if augments or (for_loss and getattr(self.specaug, "in_evaluation", False)):
            features, lengths = self.specaug(features, lengths)
        if self.preencoder is not None:
            features, lengths = self.preencoder(features, lengths)
        return features, lengths

    def encode_layers(
        self,
        speech: torch.Tensor,
        speech_lengths: torch.Tensor,
        layers: Sequence[int] = (),
        for_loss: bool = False,
    ) -> Tuple[torch.Tensor, torch.Tensor, LayerOutputs]:
        """Encoder output [B, T, D], its lengths, and outputs of layers by number."""
        features, lengths = self.features(speech, speech_lengths, for_loss)
        return self.encode_features(features, lengths, layers, for_loss)

    def encode_features(
        self,
        features: torch.Tensor,
        lengths: torch.Tensor,
        layers: Sequence[int] = (),
        for_loss: bool = False,
    ) -> Tuple[torch.Tensor, torch.Tensor, LayerOutputs]:
        """As ``encode_layers``, of what ``features`` returns."""
        outputs: LayerOutputs = []
        with forward_context(self.recompute, self.fast_products):
            if layers:
                (frames_BTD, outputs), lengths_B, _ = self.encoder(
                    features, lengths, aux_layers=layers
                )
            else:
                frames_BTD, lengths_B, _ = self.encoder(features, lengths)
        if self.postencoder is not None:
            frames_BTD, lengths_B = self.postencoder(frames_BTD, lengths_B)
        if for_loss and self.reproduction is not None:
            cost_B = self.reproduction(frames_BTD, features, lengths)
            self._reproduction_term = cost_B.sum()
        return frames_BTD, lengths_B, outputs

    def encode_frames(
        self, speech: torch.Tensor, speech_lengths: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Encoder output [B, T, D] and its lengths."""
        return self.encode_layers(speech, speech_lengths)[:2]

    def encode(
        self, speech: torch.Tensor, speech_lengths: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Encoder output [B, T, D] and lengths, as ESPnet's searches need it."""
        return self.encode_frames(speech, speech_lengths)

    def encode_with_heads(self, speech, speech_lengths):
        """``encode_layers`` for a loss, with the layers of the auxiliary CTC."""
        layers = self.ctc_heads.layers if self.ctc_heads is not None else ()
        return self.encode_layers(speech, speech_lengths, layers, for_loss=True)

    def aux_ctc_nll(
        self, outputs: LayerOutputs, frame_lens_B, labels_BL, label_lens_B
    ) -> Dict[int, torch.Tensor]:
        """CTC losses [B] of the intermediate layers by their number, unscaled."""
        if self.ctc_heads is None:
            return {}
        top = self.encoder.stage.layers
        return self.ctc_heads(outputs, frame_lens_B, labels_BL, label_lens_B, top)

    def add_aux_ctc(self, terms, stats, outputs, frame_lens_B, labels_BL, label_lens_B):
        """Append the scaled sums of the auxiliary losses, and report their means."""
        losses = self.aux_ctc_nll(outputs, frame_lens_B, labels_BL, label_lens_B)
        for number, nll_B in losses.items():
            stats[f"loss_ctc_{number}"] = nll_B.detach().mean()
        total = self.ctc_heads.total(losses) if losses else None
        if total is not None:
            terms.append(total)

    def result(
        self, terms: List[torch.Tensor], stats: Dict, batch: int
    ) -> Tuple[torch.Tensor, Dict[str, torch.Tensor], torch.Tensor]:
        """What ``forward`` returns, of losses summed over ``batch`` sequences."""
        if self._reproduction_term is not None:
            stats["loss_reproduction"] = self._reproduction_term.detach() / batch
            terms = [*terms, self.reproduction.weight * self._reproduction_term]
            self._reproduction_term = None
        total = sum(terms)
        stats["loss"] = total.detach() / batch
        loss = total / batch if self.loss_reduction == "mean" else total
        if self.training and self.weight_decay:
            stats["l2"] = self.weight_decay.value()
            if not self.trainer_adds_decay:
                loss = self.weight_decay.added_to(loss)
        return force_gatherable((loss, stats, batch), loss.device)

    def counted(self, cost_B: torch.Tensor) -> torch.Tensor:
        """The costs that are summed, see ``nonfinite_loss``."""
        if self.nonfinite_loss == "zero":
            return cost_B[torch.isfinite(cost_B)]
        return cost_B

    def log_impossible(self, possible_B, utterance_ids) -> None:
        """Name the sequences that have no alignment."""
        if bool(possible_B.all()):
            return
        rows = (~possible_B).nonzero().flatten().tolist()
        names = [utterance_ids[i] if utterance_ids else f"row {i}" for i in rows]
        logging.warning(
            "no alignment exists (more labels than encoder frames), left out of the "
            f"loss: {' '.join(names)}"
        )
