"""Mixed precision: bfloat16 needs no care, float16 a scale that is found on the way."""

from typing import Any, ContextManager, Dict, Mapping, Optional, Sequence

import torch

from espnet_ext.errors import OptionError
from espnet_ext.train.options import DriverOptions


class Precision:
    """Type of the forward pass, and the scale of the loss where it needs one.

    Args:
        options: ``use_amp`` and ``amp_dtype``.
        device: Of the model.

    Raises:
        OptionError: The device cannot compute with that type.
    """

    def __init__(self, options: DriverOptions, device: torch.device):
        self.device = device
        self.enabled = options.use_amp
        self.dtype = torch.bfloat16
        on_gpu = device.type == "cuda"
        if on_gpu and options.amp_dtype == "auto":
            supported = torch.cuda.is_bf16_supported()
            self.dtype = torch.bfloat16 if supported else torch.float16
        elif options.amp_dtype == "float16":
            self.dtype = torch.float16
        if self.enabled and self.dtype == torch.float16 and not on_gpu:
            raise OptionError(
                "amp_dtype float16 on the CPU", next_step="--amp_dtype bfloat16"
            )
        self.scaler: Optional[torch.amp.GradScaler] = None
        if self.enabled and self.dtype == torch.float16:
            self.scaler = torch.amp.GradScaler(device.type)

    def autocast(self) -> ContextManager:
        """Context of the forward pass."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.enabled)

    def backward(self, loss: torch.Tensor) -> None:
        """Gradients of a loss, scaled if need be."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def unscale(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """Gradients as they are without the scale."""
        if self.scaler is not None:
            for optimizer in optimizers:
                self.scaler.unscale_(optimizer)

    def overflowed(self) -> bool:
        """Gradients were not finite: lower the scale. False where there is none."""
        if self.scaler is None:
            return False
        before = self.scaler.get_scale()
        self.scaler.update()
        return self.scaler.get_scale() < before

    def step(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """Step of all optimizers."""
        if self.scaler is None:
            for optimizer in optimizers:
                optimizer.step()
            return
        for optimizer in optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()

    def state_dict(self) -> Optional[Dict[str, Any]]:
        """Of the scaler, None without one."""
        return None if self.scaler is None else self.scaler.state_dict()

    def load_state_dict(self, state: Optional[Mapping[str, Any]]) -> None:
        """Continue from a ``state_dict``."""
        if self.scaler is not None and state is not None:
            self.scaler.load_state_dict(dict(state))
