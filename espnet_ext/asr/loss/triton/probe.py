"""May the kernels be used here? A small batch, computed on the device and compared.

Imports Triton only while it answers, so that a machine without it can ask.
"""

# Dimensions: B batch, T frames, L labels, S = L + 1 positions, K labels, J readout
import contextlib
import functools
import importlib.util
import logging
from typing import Iterator, List, Optional

import torch
import torch.nn.functional as F

from espnet_ext.asr.loss.factorised import factorised_loss
from espnet_ext.asr.loss.fused_dropout import elementwise_mask
from espnet_ext.asr.loss.fused_readout import get_activation
from espnet_ext.asr.loss.node_gradient import GradientOptions
from espnet_ext.asr.loss.topology import get_topology

FRAMES, LABELS, VOCABULARY, READOUT = 7, 3, 150, 70
SEED, RATE = 2**40 + 3, 0.25
# of the largest value: single precision; and the rounding of readout and gradient
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.05}


@functools.lru_cache(maxsize=None)
def probe(device: str) -> Optional[str]:
    """Why the kernels cannot be used on a device, in one line; None if they can.

    Args:
        device: ``cuda``, ``cuda:1``; ``cpu`` only with Triton's interpreter.
    """
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    try:
        from espnet_ext.asr.loss.triton.blocks import interpreting

        if torch.device(device).type != "cuda" and not interpreting():
            return f"Triton does not run on {device}"
        with _plain_settings(device):
            return _compare(device, torch.float32, "label_loop", RATE) or _compare(
                device, torch.bfloat16, "rna", 0.0
            )
    # compilers and drivers raise all sorts; the reason is what is shown
    except Exception as error:
        lines = str(error).strip().splitlines()
        return f"fails: {lines[0] if lines else type(error).__name__}"


def use_kernels(device: torch.device) -> bool:
    """Whether to compute on the kernels: on CUDA, if the probe finds nothing wrong.

    Otherwise the reason is logged, once for each device.
    """
    return device.type == "cuda" and _usable(str(device))


@functools.lru_cache(maxsize=None)
def _usable(device: str) -> bool:
    reason = probe(device)
    if reason is not None:
        logging.warning(
            f"Triton kernels of the full-sum loss are not used on {device} ({reason}): "
            "PyTorch computes the same, more slowly"
        )
    return reason is None


@contextlib.contextmanager
def _plain_settings(device: str) -> Iterator[None]:
    """No autocast, gradients on, float32 products in float32."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(torch.device(device).type, enabled=False):
            with torch.enable_grad(), torch.inference_mode(False):
                yield
    finally:
        torch.set_float32_matmul_precision(precision)


def _compare(
    device: str, dtype: torch.dtype, topology: str, rate: float
) -> Optional[str]:
    """What differs from the dense loss in float64."""
    from espnet_ext.asr.loss.fused_function import Plan
    from espnet_ext.asr.loss.triton.loss import fused_joint_triton

    generator = torch.Generator().manual_seed(4)

    def leaf(*shape: int) -> torch.Tensor:
        values = torch.randn(shape, generator=generator)
        return values.to(dtype).double().requires_grad_()

    units = VOCABULARY - 1
    exact = [leaf(2, FRAMES, 2 * READOUT), leaf(2, LABELS + 1, 2 * READOUT)]
    exact += [leaf(units, READOUT), leaf(units), leaf(1, READOUT), leaf(1)]
    labels_BL = torch.tensor([[5, 5, units], [70, 0, 0]])
    targets = labels_BL, torch.tensor([FRAMES, FRAMES - 2]), torch.tensor([LABELS, 1])
    expected_B = _dense(exact, targets, topology, rate)
    right = [expected_B, *torch.autograd.grad(expected_B.sum(), exact)]

    asked = [x.detach().to(device, dtype).requires_grad_() for x in exact]
    plan = Plan(
        *(x.to(device) for x in targets),
        get_topology(topology),
        blank=0,
        blank_unit=None,
        activation=get_activation("maxout"),
        options=GradientOptions(),
        mask_J=None,
        dropout_rate=rate,
        dropout_seed=SEED,
        threshold=0.0,
        tile=0,
    )
    nll_B = fused_joint_triton(*asked, plan)
    ours = [nll_B, *torch.autograd.grad(nll_B.sum(), asked)]
    names = ["the loss"] + ["a gradient"] * len(asked)
    for name, a, b in zip(names, ours, right):
        error = float((a.detach().double().cpu() - b.detach()).abs().max())
        # written so that a NaN counts as wrong
        if not error <= TOLERANCE[dtype] * float(b.detach().abs().max()):
            return f"{name} in {dtype} differs by {error:.2g}"
    return None


def _dense(
    inputs: List[torch.Tensor], targets, topology: str, rate: float
) -> torch.Tensor:
    am_BTR, lm_BSR, label_weight, label_bias, emission_weight, emission_bias = inputs
    sum_BTSR = am_BTR.unsqueeze(2) + lm_BSR.unsqueeze(1)
    even, odd = sum_BTSR[..., 0::2], sum_BTSR[..., 1::2]
    readout_BTSJ = torch.where(even >= odd, even, odd)
    nodes_N = torch.arange(readout_BTSJ.shape[:3].numel())
    mask_NJ = elementwise_mask(SEED, nodes_N, READOUT, rate, torch.float64)
    dropped_BTSJ = readout_BTSJ * mask_NJ.view_as(readout_BTSJ)
    logits = F.linear(dropped_BTSJ, label_weight, label_bias)
    emission = F.linear(readout_BTSJ, emission_weight, emission_bias).squeeze(3)
    labels_BL, *lengths = targets
    return factorised_loss(logits, emission, labels_BL - 1, *lengths, topology)
