"""Matrix products by the library that multiplies fastest.

On CPUs torch multiplies float32 matrices with MKL, which leaves AVX-512 unused on some
processors and is then less than half as fast as oneDNN, which torch also contains. Both
multiply and add in float32. oneDNN is asked where it is there; float64, CUDA and other
builds of torch take ``torch.addmm``.
"""

# Dimensions: N rows, I inputs, O outputs
from typing import Optional

import torch


def _onednn():
    if not torch.backends.mkldnn.is_available():
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


_ONEDNN_LINEAR = _onednn()


def linear(
    x_NI: torch.Tensor, weight_OI: torch.Tensor, bias_O: Optional[torch.Tensor] = None
) -> torch.Tensor:
    """x weight^T + bias, [N, O], a new tensor. No gradient is recorded.

    Transposed arguments cost nothing; other views are copied.
    """
    usable = x_NI.dtype == torch.float32 and x_NI.device.type == "cpu"
    if usable and _ONEDNN_LINEAR is not None and torch.backends.mkldnn.enabled:
        # it takes a thousand times longer for rows with gaps between them
        x_NI, weight_OI = _dense(x_NI), _dense(weight_OI)
        return _ONEDNN_LINEAR(x_NI, weight_OI, bias_O, "none", [], "")
    if bias_O is None:
        return x_NI @ weight_OI.t()
    return torch.addmm(bias_O, x_NI, weight_OI.t())


def _dense(x: torch.Tensor) -> torch.Tensor:
    return x if x.is_contiguous() or x.t().is_contiguous() else x.contiguous()
