"""Weight decay on the parameter sets of the original: a sum of squares in the loss.

The objective of a batch is the sum of its sequences' losses plus, for each parameter,
its factor times the sum of its squares. Entries that a growing model does not use yet
do not count: in the original they do not exist.

Source: reference/training.md 4; reference/parts.md 2.4; experiments.tsv "l2_sets".
"""

from dataclasses import dataclass, fields
from typing import Dict, Iterator, Mapping, Optional, Set, Tuple

import torch

from espnet_ext.layers.weight_noise import matrices

ENCODER_PARAMETERS = ("all", "weights")
# beginning of a parameter's name -> option that has its factor, first match
PARTS: Tuple[Tuple[str, str], ...] = (
    ("encoder.conv_front.", "frontend"),
    ("encoder.frontend.", "frontend"),
    ("encoder.", "encoder"),
    ("decoder.joint_network.attention.key.", "attention_key"),
    ("decoder.joint_network.attention.query.", "attention_query"),
    ("decoder.joint_network.readout_", "readout"),
    ("decoder.attention.key.", "attention_key"),
    ("decoder.attention.query.", "attention_query"),
    ("decoder.readout.", "readout"),
    ("decoder.embedding", "prediction_network"),
    ("decoder.lstm.", "prediction_network"),
    ("decoder.slow.", "prediction_network"),
    ("decoder.fast.", "fast_network"),
)
QKV = ".attention.qkv."
STATISTICS = ("running_mean", "running_var")
# what decays, its factor, and which of its entries are in use (None: all)
Decaying = Tuple[torch.Tensor, float, Optional[torch.Tensor]]


@dataclass(frozen=True)
class WeightDecayOptions:
    """Options ``l2`` of the models: factors of the sums of squares.

    Attributes:
        encoder: Layers of the encoder, and its input projection.
        frontend: The encoder's frontend (of conv_blstm its convolutions).
        encoder_parameters: ``all``, or ``weights``: of encoder and windowed attention
            only the matrices of LSTM and linear layers, no bias, norm or convolution
            (``wdf``). Biases of a BLSTM frontend keep their decay then.
        attention_key: Key projection of the windowed attention.
        attention_query: Its query projection.
        attention_qkv: Query-key-value projection of the encoder's self-attention; None
            for the encoder's factor.
        prediction_network: Embedding and LSTM of the transducer's decoder, of the
            extended one those of the slow LSTM.
        fast_network: The LSTM of the extended decoder that steps on frames.
        readout: Matrices and bias of the readout.
        scaled_by_growth: The encoder's factors times the growth fraction, which is 0
            in the first growing stage (old_nick).
        regularise_from_epoch: No decay before this 1-based sub-epoch.
    """

    encoder: float = 0.0
    frontend: float = 0.0
    encoder_parameters: str = "all"
    attention_key: float = 0.0
    attention_query: float = 0.0
    attention_qkv: Optional[float] = None
    prediction_network: float = 0.0
    fast_network: float = 0.0
    readout: float = 0.0
    scaled_by_growth: bool = False
    regularise_from_epoch: int = 1

    def __post_init__(self) -> None:
        if self.encoder_parameters not in ENCODER_PARAMETERS:
            raise ValueError(
                f"l2: encoder_parameters {self.encoder_parameters!r}: expected one of "
                f"{ENCODER_PARAMETERS}"
            )
        for option in fields(self):
            value = getattr(self, option.name)
            if isinstance(value, float) and value < 0.0:
                raise ValueError(f"l2: {option.name} {value}: expected 0 or more")


def options_of(options: Optional[Mapping]) -> WeightDecayOptions:
    """Parse the option ``l2``.

    Raises:
        ValueError: Unknown names or impossible values.
    """
    try:
        return WeightDecayOptions(**(options or {}))
    except TypeError as error:
        raise ValueError(f"l2: {error}") from None


def _with_matrices_only(name: str, part: str, weights: Set[str]) -> bool:
    """Whether ``wdf`` keeps the decay of this parameter."""
    if name in weights or part not in ("encoder", "frontend", "attention_key"):
        return True
    # a BLSTM frontend has a decay of its own, of which only the matrices are replaced
    return part == "frontend" and ".layers." in name


class WeightDecay:
    """Factors of all parameters of a model, and the decay term.

    Args:
        model: Has ``epoch``, ``used_entries()`` and ``growth()``.
        options: See WeightDecayOptions.
    """

    def __init__(self, model: torch.nn.Module, options: WeightDecayOptions):
        self.model = model
        self.options = options
        self.full = dict(self._factors())
        self._stage = None
        self._masks: Dict[str, torch.Tensor] = {}

    def __bool__(self) -> bool:
        return any(self.full.values())

    def _factors(self) -> Iterator[Tuple[str, float]]:
        options = self.options
        weights = {name for name, _ in matrices(self.model)}
        for name, _ in self.model.named_parameters():
            part = next((part for start, part in PARTS if name.startswith(start)), None)
            if part is None:
                continue
            factor = getattr(options, part)
            if part == "encoder" and QKV in name and options.attention_qkv is not None:
                factor = options.attention_qkv
            if options.encoder_parameters == "weights":
                if not _with_matrices_only(name, part, weights):
                    factor = 0.0
            if factor:
                yield name, factor

    def masks(self) -> Dict[str, torch.Tensor]:
        """What is in use of the parameters that are not in use as a whole.

        Found once a growing stage: updates ask for it.
        """
        stage = self.model.stage_key()
        if stage != self._stage:
            self._stage = stage
            self._masks = {
                name: mask
                for name, mask in self.model.used_entries().items()
                if not bool(mask.all())
            }
        return self._masks

    def factors(self) -> Dict[str, float]:
        """Factor of each parameter that decays now."""
        epoch = self.model.epoch
        if epoch is not None and epoch < self.options.regularise_from_epoch:
            return {}
        if not self.options.scaled_by_growth:
            return self.full
        growth = self.model.growth()
        return {
            name: factor * (growth if name.startswith("encoder.") else 1.0)
            for name, factor in self.full.items()
        }

    def parameters(self) -> Iterator[Decaying]:
        """Parameters that decay now, their factor, and what of them is in use."""
        masks, named = self.masks(), dict(self.model.named_parameters())
        for name, factor in self.factors().items():
            if factor == 0.0:
                continue
            mask = masks.get(name)
            if mask is not None and not bool(mask.any()):
                continue
            parameter = named[name]
            yield parameter, factor, None if mask is None else mask.to(parameter.device)

    @torch.no_grad()
    def value(self) -> torch.Tensor:
        """The term of the objective of a batch, float64.

        Running statistics of batch normalisation are counted in, as the original does
        because they are parameters there; no gradient comes of it. Source:
        reference/corrections.md 7.
        """
        total = next(self.model.parameters()).new_zeros((), dtype=torch.float64)
        for tensor, factor, mask in (*self.parameters(), *self._statistics()):
            used = tensor if mask is None else tensor[mask]
            total += factor * used.detach().square().sum(dtype=torch.float64)
        return total

    def _statistics(self) -> Iterator[Decaying]:
        """Running means and variances of the encoder, like ``parameters``."""
        if self.options.encoder_parameters == "weights":
            return
        masks, factors = self.masks(), self.factors()
        for name, buffer in self.model.named_buffers():
            module, _, kind = name.rpartition(".")
            if kind in STATISTICS:
                factor = factors.get(f"{module}.weight", 0.0)
                mask = masks.get(name)
                if factor and (mask is None or bool(mask.any())):
                    yield buffer, factor, (
                        None if mask is None else mask.to(buffer.device)
                    )

    def added_to(self, loss: torch.Tensor) -> torch.Tensor:
        """The same loss, whose gradient is that of loss and term.

        For trainers that know nothing of the decay. In a distributed training each
        process would add the term: ours adds the gradient itself (``add_gradients``).
        """
        for parameter, factor, mask in self.parameters():
            used = parameter if mask is None else parameter[mask]
            term = factor * used.square().sum()
            loss = loss + (term - term.detach())
        return loss

    @torch.no_grad()
    def add_gradients(self, times: float = 1.0) -> None:
        """Add ``times`` the term's gradient, 2 factor w, to parameters that have one.

        A parameter without gradient took no part in the loss: it does not decay.
        """
        for parameter, factor, mask in self.parameters():
            if parameter.grad is None:
                continue
            if mask is None:
                parameter.grad.add_(parameter, alpha=2.0 * factor * times)
            else:
                decay = parameter * mask.to(parameter.dtype)
                parameter.grad.add_(decay, alpha=2.0 * factor * times)
