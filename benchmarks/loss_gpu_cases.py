"""What ``loss_gpu.py`` measures: one problem, five ways to its loss and gradients."""

import statistics
import sys
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

READOUT = 1000  # before maxout; 500 after, as in the experiments
PRODUCTS = 4
WARM_UP, SEARCH_REPEATS = 3, 3


class Size(NamedTuple):
    """A batch of equally long sequences."""

    batch: int
    frames: int
    labels: int
    vocabulary: int
    readout: int = READOUT

    @property
    def name(self) -> str:
        """As in the table."""
        return f"B {self.batch}, T {self.frames}, S {self.labels}, V {self.vocabulary}"

    @property
    def nodes(self) -> int:
        """Nodes of the lattice, none of which is padding."""
        return self.batch * self.frames * (self.labels + 1)


class Problem(NamedTuple):
    """Inputs of one size: am, lm, weight, bias (leaves), and the batch."""

    inputs: List[Any]
    batch: Tuple[Any, Any, Any]


def make_problem(size: Size, dtype: str, device: str) -> Problem:
    """Random projections and weights."""
    import torch

    generator = torch.Generator().manual_seed(1)

    def leaf(*shape: int, scale: float = 1.0) -> torch.Tensor:
        values = scale * torch.randn(shape, generator=generator)
        return values.to(device, getattr(torch, dtype)).requires_grad_()

    columns = size.readout // 2
    inputs = [
        leaf(size.batch, size.frames, size.readout),
        leaf(size.batch, size.labels + 1, size.readout),
        leaf(size.vocabulary, columns, scale=columns**-0.5),
        leaf(size.vocabulary, scale=0.1),
    ]
    labels = torch.randint(
        1, size.vocabulary, (size.batch, size.labels), generator=generator
    )
    lengths = [torch.full((size.batch,), n) for n in (size.frames, size.labels)]
    return Problem(inputs, tuple(x.to(device) for x in (labels, *lengths)))


def fused_loss(problem: Problem, **options) -> Any:
    """nll_B as a user gets it."""
    from espnet_ext.asr.loss import FusedJointLoss, full_sum_loss

    joint = FusedJointLoss(*problem.inputs, emission="softmax", **options)
    return full_sum_loss(joint, *problem.batch, "rnnt", 0)


def kernels_loss(problem: Problem, blocks: Optional[Any] = None) -> Any:
    """nll_B on the kernels, with a tile of one's own."""
    from espnet_ext.asr.loss.fused import SKIP_THRESHOLD
    from espnet_ext.asr.loss.fused_function import Plan
    from espnet_ext.asr.loss.fused_readout import get_activation
    from espnet_ext.asr.loss.node_gradient import GradientOptions
    from espnet_ext.asr.loss.topology import get_topology
    from espnet_ext.asr.loss.triton.loss import fused_joint_triton

    plan = Plan(
        *problem.batch,
        get_topology("rnnt"),
        blank=0,
        blank_unit=0,
        activation=get_activation("maxout"),
        options=GradientOptions(),
        mask_J=None,
        dropout_rate=0.0,
        dropout_seed=0,
        threshold=SKIP_THRESHOLD,
        tile=0,
    )
    return fused_joint_triton(*problem.inputs, None, None, plan, blocks=blocks)


def stored_logits(problem: Problem) -> Any:
    """What peers start from: [B, T, S, V]."""
    import torch

    am, lm, weight, bias = problem.inputs
    pairs = (am.unsqueeze(2) + lm.unsqueeze(1)).unflatten(3, (-1, 2))
    readout = torch.maximum(pairs[..., 0], pairs[..., 1])
    return torch.nn.functional.linear(readout, weight, bias)


def torchaudio_loss(problem: Problem) -> Any:
    """nll_B; torchaudio has no bfloat16, so its logits are float32."""
    import torch
    import torchaudio

    targets = (x.to(torch.int32) for x in problem.batch)
    return torchaudio.functional.rnnt_loss(
        stored_logits(problem).float(), *targets, blank=0, reduction="none"
    )


def warp_rnnt_loss(problem: Problem) -> Any:
    """nll_B from float32 log-probabilities, its gradient gathered to two columns."""
    import torch
    import warp_rnnt

    targets = (x.to(torch.int32) for x in problem.batch)
    log_probs = stored_logits(problem).float().log_softmax(3)
    return warp_rnnt.rnnt_loss(log_probs, *targets, gather=True)


def step(loss: Callable[[Problem], Any], problem: Problem) -> Any:
    """One forward and backward pass; the losses."""
    import torch

    nll_B = loss(problem)
    torch.autograd.grad(nll_B.sum(), problem.inputs)
    return nll_B.detach()


def median_ms(action: Callable[[], Any], repeats: int) -> float:
    """Median time on the GPU, after a warm-up that also compiles."""
    import torch

    for _ in range(WARM_UP):
        action()
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        action()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def measure(
    loss: Callable[[Problem], Any], problem: Problem, repeats: int
) -> Dict[str, Any]:
    """Time, peak memory and losses of an implementation, or why there are none."""
    import torch

    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    try:
        nll_B = step(loss, problem).double().cpu()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step(loss, problem)
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() - before
        time_ms = median_ms(lambda: step(loss, problem), repeats)
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return {"status": "out of memory"}
    except ImportError as error:
        return {"status": f"not run: {error}"}
    except RuntimeError as error:  # of a peer: sizes beyond its 32-bit indices
        return {"status": f"fails: {str(error).splitlines()[0]}"}
    result = {"time_ms": round(time_ms, 3), "peak_mb": round(peak / 1e6, 1)}
    return {"status": "measured", **result, "nll": nll_B.tolist()}


def floor_ms(size: Size, dtype: str, repeats: int) -> float:
    """Time of the matrix products alone, tile by tile, by the library."""
    import torch

    rows, columns = 32768, size.readout // 2
    options = {"device": "cuda", "dtype": getattr(torch, dtype)}
    readout = torch.randn(rows, columns, **options)
    weight_t = torch.randn(columns, size.vocabulary, **options)
    out = torch.empty(rows, size.vocabulary, **options)
    one = median_ms(lambda: torch.mm(readout, weight_t, out=out), repeats)
    return PRODUCTS * one * size.nodes / rows


def best_tile(problem: Problem) -> Any:
    """The fastest of a handful of tiles; those that do not fit are left out."""
    from espnet_ext.asr.loss.triton.blocks import CANDIDATES

    found = []
    for blocks in CANDIDATES:

        def loss(problem, blocks=blocks):
            return kernels_loss(problem, blocks)

        try:
            time = median_ms(lambda: step(loss, problem), SEARCH_REPEATS)
        except Exception as error:  # of the compiler or of the driver
            print(f"  {blocks}: {type(error).__name__}", file=sys.stderr)
            continue
        found.append((time, len(found), blocks))
    return min(found)[2]


def measure_one(size: Size, dtype: str, name: str, repeats: int) -> Dict[str, Any]:
    """One implementation of ``LOSSES``, or ``floor``, at one size on the GPU."""
    if name == "floor":
        return {"time_ms": floor_ms(size, dtype, repeats)}
    problem = make_problem(size, dtype, "cuda")
    if name != "fused, best tile":
        return measure(LOSSES[name], problem, repeats)
    blocks = best_tile(problem)
    result = measure(lambda problem: kernels_loss(problem, blocks), problem, repeats)
    return {**result, "tile": str(blocks)}


LOSSES: Dict[str, Callable[[Problem], Any]] = {
    "fused": fused_loss,
    "fused, nothing skipped": lambda problem: fused_loss(problem, skip_threshold=0.0),
    "fused, best tile": kernels_loss,
    "torchaudio": torchaudio_loss,
    "warp_rnnt": warp_rnnt_loss,
}
