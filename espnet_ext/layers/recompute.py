"""Keep fewer tensors for the backward pass: what is cheap is computed again there.

Of an encoder's layer, autograd keeps the input of every product, though most of them
are a few elementwise operations away from something else that it keeps: the output of
``dropout(x * sigmoid(x))`` from x and a mask. Inside ``Recompute()`` such tensors are
forgotten; the recipe is kept in their place, and followed when the backward pass asks.

Nothing else changes: products, softmax, batch normalisation and all but the smallest
convolutions run once, random numbers are drawn once and in the same order, and
gradients are the same bit for bit, since the same operations meet the same numbers
again. It works with any module, as it listens to the functions that the module calls.
"""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_unflatten

_ATTRIBUTE = "_espnet_ext_recipe"
_CHANGED = "a tensor that the backward pass needs was changed in place after its use"


class _Kept(NamedTuple):
    """A tensor as it was when it was kept."""

    tensor: torch.Tensor
    version: int

    def value(self) -> torch.Tensor:
        if self.tensor._version != self.version:
            raise RuntimeError(_CHANGED)
        return self.tensor


class _Recipe(NamedTuple):
    """A call, of which each tensor argument is a _Kept or a _Recipe itself."""

    function: Callable
    leaves: List[Any]
    structure: Any

    def value(self) -> torch.Tensor:
        leaves = [
            leaf.value() if isinstance(leaf, (_Kept, _Recipe)) else leaf
            for leaf in self.leaves
        ]
        args, kwargs = tree_unflatten(leaves, self.structure)
        return self.function(*args, **kwargs)


class _FromInput(torch.autograd.Function):
    """An elementwise function that keeps its input, where torch keeps its output.

    ``gradient`` is of the gradient behind it and of the output.
    """

    @staticmethod
    def forward(ctx, x, function, gradient):
        ctx.save_for_backward(x)
        ctx.functions = function, gradient
        return function(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        function, gradient = ctx.functions
        return gradient(grad, function(x)), None, None


def _masked(x: torch.Tensor, keep: torch.Tensor, rate: float) -> torch.Tensor:
    """Dropout of x with the elements to ``keep``, in torch's order of operations."""
    return x * keep.to(x.dtype).div_(1.0 - rate)


class _Dropout(torch.autograd.Function):
    """Dropout on a CPU; keeps a byte an element, where torch keeps a float."""

    @staticmethod
    def forward(ctx, x, keep, rate):
        ctx.save_for_backward(keep)
        ctx.rate = rate
        return _masked(x, keep, rate)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        (keep,) = ctx.saved_tensors
        return _masked(grad, keep, ctx.rate), None, None


# views and elementwise operations, worth a recipe if all of their inputs are there
# anyway; names, as the same function may be reached as torch.f and Tensor.f
_CHEAP = frozenset(
    "add chunk contiguous div flatten masked_fill mul neg pad permute reshape select "
    "squeeze sub transpose unflatten unsqueeze view __getitem__".split()
)
# convolutions of so few products an output, as the first one of a frontend, which makes
# hundreds of channels of one
_CONVOLUTIONS, _FEW_PRODUCTS = (torch.conv1d, torch.conv2d), 32
# the backward pass keeps their input whatever happens
_INPUT_IS_KEPT = frozenset((F.silu, F.gelu, F.glu, F.layer_norm))
# .. and the output of these
_OUTPUT_IS_KEPT = frozenset((torch.softmax, F.softmax, torch.tanh, F.log_softmax))


def _recipe_of(x: torch.Tensor) -> Optional[Any]:
    recipe, version = getattr(x, _ATTRIBUTE, (None, None))
    return recipe if version == x._version else None


def _ingredient(x: torch.Tensor) -> Any:
    recipe = _recipe_of(x)
    return recipe if recipe is not None else _Kept(x.detach(), x._version)


def _remember(out: torch.Tensor, function: Callable, args: Tuple, kwargs: Dict) -> None:
    leaves, structure = tree_flatten((args, kwargs))
    leaves = [_ingredient(x) if isinstance(x, torch.Tensor) else x for x in leaves]
    setattr(out, _ATTRIBUTE, (_Recipe(function, leaves, structure), out._version))


def _is_there(x: torch.Tensor) -> bool:
    """Whether x needs no memory of its own until the backward pass."""
    return x.is_leaf or _recipe_of(x) is not None


def _tensors(args: Tuple, kwargs: Dict) -> List[torch.Tensor]:
    leaves = tree_flatten((args, kwargs))[0]
    return [x for x in leaves if isinstance(x, torch.Tensor)]


def _is_worth_it(function: Callable, tensors: List[torch.Tensor]) -> bool:
    if function in _INPUT_IS_KEPT:
        return True
    if function in _CONVOLUTIONS:
        input, weight = tensors[:2]
        return weight[0].numel() <= _FEW_PRODUCTS and _is_there(input)
    if getattr(function, "__name__", "") not in _CHEAP:
        return False
    if function.__name__ == "mul" and len(tensors) == 2:
        if all(x.requires_grad for x in tensors):
            return True  # each is kept for the gradient of the other
    return all(_is_there(x) for x in tensors)


def _dropout(x: torch.Tensor, p: float) -> torch.Tensor:
    keep = torch.empty_like(x).bernoulli_(1.0 - p) != 0.0
    out = _Dropout.apply(x, keep, p)
    if _is_there(x):
        _remember(out, _masked, (x, keep, p), {})
    return out


def _pack(x: torch.Tensor) -> Any:
    recipe = _recipe_of(x)
    return recipe if recipe is not None else _Kept(x, x._version)


class Recompute(TorchFunctionMode):
    """Context of a forward pass, see the module. Its backward pass may be run once;
    gradients of gradients are refused.

    On other devices than CPUs dropout is left alone: it keeps bytes there anyway.
    """

    def __enter__(self):
        self._hooks = torch.autograd.graph.saved_tensors_hooks(_pack, _value)
        self._hooks.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._hooks.__exit__(*error)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        replaced = _replacement(func, args, kwargs)
        if replaced is not None:
            return replaced
        out = func(*args, **kwargs)
        if not isinstance(out, torch.Tensor) or not out.requires_grad or out.is_leaf:
            return out
        if func in _OUTPUT_IS_KEPT:
            setattr(out, _ATTRIBUTE, (_Kept(out.detach(), out._version), out._version))
        else:
            tensors = _tensors(args, kwargs)
            unchanged = any(out is x for x in tensors)
            if not unchanged and _is_worth_it(func, tensors):
                _remember(out, func, args, kwargs)
        return out


def _value(kept: Any) -> torch.Tensor:
    with torch.no_grad():
        return kept.value()


def _replacement(func: Callable, args: Tuple, kwargs: Dict) -> Optional[torch.Tensor]:
    """The result, if another function computes it with less to keep."""
    if func not in _REPLACED or not torch.is_grad_enabled():
        return None
    return _REPLACED[func](*args, **kwargs)


def _from_input(function: Callable, gradient: Callable) -> Callable:
    """The replacement of an elementwise function, see _FromInput."""

    def replaced(input, inplace=False, *, out=None):
        if inplace or out is not None or not input.requires_grad:
            return None
        result = _FromInput.apply(input, function, gradient)
        _remember(result, function, (input,), {})
        return result

    return replaced


def _dropout_replaced(input, p=0.5, training=True, inplace=False):
    drops = training and 0.0 < p < 1.0 and not inplace
    if not drops or not input.requires_grad or input.device.type != "cpu":
        return None
    return _dropout(input, p)


_sigmoid = _from_input(torch.sigmoid, torch.ops.aten.sigmoid_backward)
_relu = _from_input(
    torch.relu, lambda grad, out: torch.ops.aten.threshold_backward(grad, out, 0)
)
_REPLACED: Dict[Callable, Callable[..., Optional[torch.Tensor]]] = {
    **dict.fromkeys((torch.sigmoid, torch.Tensor.sigmoid), _sigmoid),
    **dict.fromkeys((F.relu, torch.relu, torch.Tensor.relu), _relu),
    F.dropout: _dropout_replaced,
}
