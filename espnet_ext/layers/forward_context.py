"""What a forward pass may run in to need less memory or time; see the two contexts."""

import contextlib

import torch

from espnet_ext.layers.fast_products import FastProducts
from espnet_ext.layers.recompute import Recompute


def forward_context(recompute: bool, fast_products: bool) -> contextlib.ExitStack:
    """Context of both that are wanted; of none while torch.compile is at work."""
    context = contextlib.ExitStack()
    if torch.compiler.is_compiling():
        return context
    # the products inside, so that what they are made of can be computed again
    if recompute and torch.is_grad_enabled():
        context.enter_context(Recompute())
    if fast_products:
        context.enter_context(FastProducts())
    return context
