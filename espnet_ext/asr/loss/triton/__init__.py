"""The fused joint loss as Triton kernels; importing this package needs no Triton."""
