"""Adam and Nadam in the form of TensorFlow 1, which the original trained with.

    m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2
    w -= lr sqrt(1 - b2^t) / (1 - b1^t) * n / (sqrt(v) + eps)
    n = m (adam_tf) or b1 m + (1 - b1) g (nadam_tf)

``torch.optim.Adam`` adds eps to the bias-corrected root; ``torch.optim.NAdam`` has a
momentum schedule besides. t starts anew when the state is cleared, as the original's
does where its network changes.

Source: reference/training.md 5; Kingma and Ba 2015, end of section 2 ("eps hat");
TensorFlow's kernel ``ApplyAdam`` with and without ``use_nesterov``.
"""

from typing import Optional, Tuple

import torch

from espnet_ext.errors import OptionError


def truncated_normal_(
    noise: torch.Tensor, std: float, generator: Optional[torch.Generator]
) -> torch.Tensor:
    """N(0, std^2) without what lies beyond two standard deviations, on the CPU.

    Ref: TensorFlow ``tf.random.truncated_normal``, which draws such values again.
    """
    noise.normal_(0.0, 1.0, generator=generator)
    while True:
        outside = noise.abs() > 2.0
        count = int(outside.sum())
        if count == 0:
            return noise.mul_(std)
        noise[outside] = torch.empty(count, dtype=noise.dtype).normal_(
            0.0, 1.0, generator=generator
        )


class AdamTf(torch.optim.Optimizer):
    """Adam as TensorFlow 1 has it.

    Args:
        params: Parameters; one that has an attribute ``l2_factor`` decays decoupled
            from the gradient if ``decoupled_l2_factor`` is given. Entries outside of an
            attribute ``used_mask`` get neither decay nor noise.
        lr: Learning rate; a scheduler usually sets it.
        betas: Decay of the averages m and v.
        eps: Added to the root of v.
        gradient_noise_std: Truncated normal noise on the gradients (``gnF``); from the
            stream ``noise`` where the training sets ``generator``.
        decoupled_l2_factor: F of ``decwdF``. None: L2 is in the gradient.
        decoupled_l2_uses_factor: The decay is 2 lr / default_lr F L2 w, as the option
            was meant, where ``default_lr`` is ``lr``. False: 2 L2 w in every update,
            whatever F and lr, as the original computed (reference/parts.md 2.4).

    Raises:
        OptionError: Impossible values.
    """

    nesterov = False
    random_stream = "noise"

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: Tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        gradient_noise_std: float = 0.0,
        decoupled_l2_factor: Optional[float] = None,
        decoupled_l2_uses_factor: bool = True,
    ):
        beta1, beta2 = betas
        if not (0.0 <= beta1 < 1.0 and 0.0 <= beta2 < 1.0):
            raise OptionError(f"betas {list(betas)}", expected="two values in [0, 1)")
        for name, value in (
            ("lr", lr),
            ("eps", eps),
            ("gradient_noise_std", gradient_noise_std),
            ("decoupled_l2_factor", decoupled_l2_factor or 0.0),
        ):
            if value < 0.0:
                raise OptionError(f"{name} {value}", expected="0 or more")
        self.gradient_noise_std = gradient_noise_std
        self.decoupled_l2_factor = decoupled_l2_factor
        self.decoupled_l2_uses_factor = decoupled_l2_uses_factor
        self.default_lr = lr
        self.generator: Optional[torch.Generator] = None
        super().__init__(params, {"lr": lr, "betas": (beta1, beta2), "eps": eps})

    def _gradient(self, parameter: torch.Tensor) -> torch.Tensor:
        gradient = parameter.grad
        if self.gradient_noise_std == 0.0:
            return gradient
        noise = torch.empty(gradient.shape, dtype=torch.float32)
        truncated_normal_(noise, self.gradient_noise_std, self.generator)
        noise = noise.to(gradient)
        used = getattr(parameter, "used_mask", None)
        return gradient + (noise if used is None else noise * used.to(noise))

    def _decay(self, parameter: torch.Tensor, lr: float) -> None:
        factor = getattr(parameter, "l2_factor", 0.0)
        if self.decoupled_l2_factor is None or not factor:
            return
        amount = 2.0 * factor
        if self.decoupled_l2_uses_factor:
            amount *= self.decoupled_l2_factor * lr / self.default_lr
        used = getattr(parameter, "used_mask", None)
        decay = parameter * amount
        parameter.sub_(decay if used is None else decay * used.to(decay))

    @torch.no_grad()
    def step(self, closure=None):
        """Update the parameters that have a gradient; others do not move."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lr, eps = group["lr"], group["eps"]
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = self._gradient(parameter)
                state = self.state[parameter]
                if not state:
                    state["step"] = 0
                    state["m"] = torch.zeros_like(parameter)
                    state["v"] = torch.zeros_like(parameter)
                state["step"] += 1
                m, v, t = state["m"], state["v"], state["step"]
                m.mul_(beta1).add_(gradient, alpha=1.0 - beta1)
                v.mul_(beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
                rate = lr * (1.0 - beta2**t) ** 0.5 / (1.0 - beta1**t)
                change = m
                if self.nesterov:
                    change = beta1 * m + (1.0 - beta1) * gradient
                self._decay(parameter, lr)
                parameter.addcdiv_(change, v.sqrt().add_(eps), value=-rate)
        return loss


class NadamTf(AdamTf):
    """Nadam as TensorFlow 1's contrib package has it; options of AdamTf."""

    nesterov = True
