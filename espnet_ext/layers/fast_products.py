"""Linear layers and convolutions of kernel size 1, trained by the faster library.

Inside ``FastProducts()`` they multiply with ``layers.products.linear``, forward and
backward, whatever module they belong to: it listens to the functions of torch that the
modules call, so that no parameter is renamed or wrapped. Float32 on CPUs only;
everything else, autocast and torch.compile go the usual way.
"""

# Dimensions: N rows, B batch, T frames, I inputs, O outputs
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from espnet_ext.layers.products import linear


def _rows(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(-1, x.size(-1))


class _Linear(torch.autograd.Function):
    """torch.nn.functional.linear for x [..., I] and a weight [O, I]."""

    @staticmethod
    def forward(ctx, x, weight_OI, bias_O):
        ctx.save_for_backward(x, weight_OI)
        out_NO = linear(_rows(x), weight_OI, bias_O)
        return out_NO.view(*x.shape[:-1], weight_OI.size(0))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        x, weight_OI = ctx.saved_tensors
        grad_NO, grads = _rows(grad), [None, None, None]
        if ctx.needs_input_grad[0]:
            grads[0] = linear(grad_NO, weight_OI.t()).view(x.shape)
        if ctx.needs_input_grad[1]:
            # a copy of the gradient costs less than its columns read as rows
            grads[1] = linear(grad_NO.t().contiguous(), _rows(x).t())
        if ctx.needs_input_grad[2]:
            grads[2] = grad_NO.sum(0)
        return tuple(grads)


def _is_usable(input: torch.Tensor, weight: torch.Tensor) -> bool:
    return (
        input.device.type == "cpu"
        and input.dtype == weight.dtype == torch.float32
        and weight.dim() > 1
        and input.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def _linear(input, weight, bias=None):
    return _Linear.apply(input, weight, bias) if _is_usable(input, weight) else None


def _conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    plain = weight.size(2) == 1 and groups == 1 and input.dim() == 3
    unmoved = stride in (1, (1,), [1]) and padding in (0, (0,), [0], "valid", "same")
    if not (plain and unmoved and _is_usable(input, weight)):
        return None
    frames_BTI, weight_OI = input.transpose(1, 2), weight.squeeze(2)
    # in memory as torch has it, because dropout masks are drawn in that order
    return _Linear.apply(frames_BTI, weight_OI, bias).transpose(1, 2).contiguous()


_FASTER = {F.linear: _linear, torch.conv1d: _conv1d}


class FastProducts(TorchFunctionMode):
    """Context of a forward pass, see the module. Values and gradients are those of
    torch but for rounding; gradients of gradients are refused.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        faster = _FASTER.get(func)
        result = faster(*args, **kwargs) if faster is not None else None
        return func(*args, **kwargs) if result is None else result
