"""Growing stages of an encoder as a pure function of the sub-epoch.

Source: reference/models.md d.5; reference/parts.md 2.2.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence

QKV_PARTS = ("blocks", "heads")


class Stage(NamedTuple):
    """What is in use in one stage.

    Attributes:
        layers: Number of layers, from the bottom.
        fraction: Of the widths and dropout rates.
        model: Model dimension D.
        feed_forward: Inner dimension.
        head: Size of a head.
        kernel: Kernel of the depthwise convolution.
        frontend: Units a direction of a BLSTM frontend that grows; 0 for none.
    """

    layers: int
    fraction: float
    model: int
    feed_forward: int
    head: int
    kernel: int
    frontend: int = 0

    def sizes(self) -> Dict[str, int]:
        """For ``GrowingModule.set_sizes``."""
        return {
            "lstm": self.frontend,
            "frames": 2 * self.frontend,
            "model": self.model,
            "feed_forward": self.feed_forward,
            "head": self.head,
            "kernel": self.kernel,
        }


class GrowthOptions(NamedTuple):
    """Options of ``growth`` in a configuration.

    Attributes:
        layers: Layers of each stage but the last, ascending.
        epochs: How many sub-epochs each of these stages lasts.
        width: Whether dimensions and dropout rates grow with the layers.
        start_fraction: Of the widths in the first stage.
        qkv: How the fused query, key and value projection grows: ``blocks`` (as if it
            were [q, k, v], which moves values from head to head; the original) or
            ``heads``.
        kernel_multiple: The convolution kernel grows too, in multiples of this number;
            None: it does not.
        regularise_from_epoch: First sub-epoch (1-based) with any encoder dropout.
        frontend: The units of a BLSTM frontend grow with the width too (old_nick).
    """

    layers: Sequence[int]
    epochs: Sequence[int]
    width: bool = True
    start_fraction: float = 0.5
    qkv: str = "blocks"
    kernel_multiple: Optional[int] = None
    regularise_from_epoch: int = 1
    frontend: bool = False

    def check(self, num_layers: int) -> None:
        """Raise ValueError where the options contradict each other."""
        rising = [*self.layers, num_layers]
        if any(low >= high for low, high in zip(rising, rising[1:])) or rising[0] < 1:
            raise ValueError(
                f"growth layers {list(self.layers)} must rise, to less than num_layers "
                f"{num_layers}"
            )
        if len(self.layers) != len(self.epochs) or min(self.epochs, default=1) < 1:
            raise ValueError(
                f"growth epochs {list(self.epochs)}: expected one positive number for "
                f"each of the stages {list(self.layers)}"
            )
        if self.qkv not in QKV_PARTS:
            raise ValueError(f"growth qkv {self.qkv!r}: expected one of {QKV_PARTS}")
        if not 0.0 < self.start_fraction <= 1.0:
            raise ValueError(
                f"growth start_fraction {self.start_fraction}: expected 0 < f <= 1"
            )

    def stage_number(self, epoch: int) -> int:
        """0-based stage of a 1-based sub-epoch; the last one is ``len(layers)``."""
        end = 0
        for number, count in enumerate(self.epochs):
            end += count
            if epoch <= end:
                return number
        return len(self.epochs)


def stages_of(
    growth: Optional[GrowthOptions],
    num_layers: int,
    model_size: int,
    feed_forward_size: int,
    num_heads: int,
    kernel_size: int,
    frontend_size: int = 0,
) -> List[Stage]:
    """All stages, the last one at full size.

    With n of N layers, beginning with n_0, the fraction is
    start + (1 - start) (1 - (N - n) / (N - n_0)); dimensions are rounded down to
    multiples of the number of heads.
    """
    layer_counts = [*(growth.layers if growth else ()), num_layers]
    stages = []
    for layers in layer_counts:
        fraction = 1.0
        if growth and growth.width and layers < num_layers:
            grown = 1.0 - (num_layers - layers) / (num_layers - layer_counts[0])
            start = growth.start_fraction
            fraction = start + (1.0 - start) * grown
        kernel = kernel_size
        if growth and growth.kernel_multiple:
            multiple = growth.kernel_multiple
            kernel = max(int(kernel_size * fraction / multiple), 1) * multiple
        head = int(model_size * fraction / num_heads)
        units = frontend_size
        if layers < num_layers:
            units = int(frontend_size * fraction / num_heads) * num_heads
        if head < 1 or (frontend_size and units < 1):
            raise ValueError(
                f"growth: a fraction {fraction:g} of model_size {model_size} or of "
                f"{frontend_size} units of the frontend leaves nothing for {num_heads} "
                "heads"
            )
        inner = int(feed_forward_size * fraction / num_heads) * num_heads
        if layers == num_layers:
            inner = feed_forward_size
        stages.append(
            Stage(
                layers,
                fraction,
                head * num_heads,
                inner,
                head,
                min(kernel, kernel_size),
                units,
            )
        )
    return stages
