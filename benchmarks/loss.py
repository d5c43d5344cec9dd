"""Time and memory of full-sum losses, from projections to all gradients.

    python benchmarks/loss.py --json FILE

Each entry runs in a fresh process: forward and backward pass from am [B, T, R] and
lm [B, S, R] through readout (maxout), output layer and loss. Times are relative to
``torchaudio.functional.rnnt_loss`` with materialised logits of the same joint and with
denormals flushed, which is its best; as shipped it is several times slower.
"""

import argparse
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

REPOSITORY = Path(__file__).resolve().parents[1]
if str(REPOSITORY) not in sys.path:  # started as a script
    sys.path.insert(0, str(REPOSITORY))

from espnet_ext.analysis.provenance import (  # noqa: E402
    environment,
    hardware,
    package_version,
)
from espnet_ext.errors import OptionError, run_main  # noqa: E402
from espnet_ext.files import atomic_write  # noqa: E402

# batch, frames, labels, vocabulary with blank
SIZES = {"A": (8, 100, 30, 1031), "B": (4, 200, 60, 1031), "C": (16, 50, 15, 501)}
TINY = (1, 4, 2, 8)
READOUT = 1000  # before maxout
# deviation of the output weights: "flat" has posteriors like a model that was never
# trained, the worst case for skipping nodes; "peaky" has logits up to 11, the worst
# case for the exactness of single precision
SCALES = {"": 0.07, "flat": 0.0447, "peaky": 0.1}
ENTRIES = ("torchaudio", "torchaudio_as_shipped", "fused", "fused_no_skip", "torch")
SLOW = "reference"  # a Python loop over nodes: only on size C
PEERS = ("fast_rnnt", "optimized_transducer", "warprnnt_numba", "k2")
FLUSHED = ("torchaudio", "torch", "reference")
# relative to float64: what single precision recursions reach; pruned losses, which
# leave out alignments, are off by far more
EXACT = 1e-3


def make_inputs(size: Sequence[int], scale: float):
    """Leaves (am, lm, label weight, bias, emission weight, bias) and the batch."""
    import torch

    batch, frames, labels, vocabulary = size
    generator = torch.Generator().manual_seed(1)

    def leaf(*shape, std=1.0):
        return (torch.randn(shape, generator=generator) * std).requires_grad_()

    half = READOUT // 2
    inputs = [leaf(batch, frames, READOUT), leaf(batch, labels + 1, READOUT)]
    inputs += [leaf(vocabulary - 1, half, std=scale), leaf(vocabulary - 1, std=0.0)]
    inputs += [leaf(1, half, std=scale), leaf(1, std=0.0)]
    ids = torch.randint(1, vocabulary, (batch, labels), generator=generator)
    lengths = torch.full((batch,), frames), torch.full((batch,), labels)
    return inputs, (ids, *lengths)


def dense_logits(inputs):
    """Label logits and emission logits [B, T, S, .], materialised."""
    import torch
    import torch.nn.functional as F

    am, lm, *layers = inputs
    pairs = (am.unsqueeze(2) + lm.unsqueeze(1)).unflatten(3, (-1, 2))
    readout = torch.maximum(pairs[..., 0], pairs[..., 1])
    return F.linear(readout, *layers[:2]), F.linear(readout, *layers[2:])


def loss_of(name: str) -> Callable:
    """The entry as a function of (inputs, batch)."""
    import torch
    import torch.nn.functional as F

    from espnet_ext.asr.loss import FusedJointLoss, factorised_loss, full_sum_loss

    def torchaudio_rnnt(inputs, batch):
        import torchaudio

        labels, emission = dense_logits(inputs)
        logits = torch.cat([emission, labels], dim=3)
        return torchaudio.functional.rnnt_loss(
            logits, *(x.int() for x in batch), blank=0, reduction="none"
        )

    def fused(inputs, batch, **options):
        return full_sum_loss(FusedJointLoss(*inputs, **options), *batch)

    def closed_form(inputs, batch):
        labels, emission = dense_logits(inputs)
        return factorised_loss(labels, emission.squeeze(3), *batch, blank=0)

    def autograd_loop(inputs, batch):
        labels, emission = dense_logits(inputs)
        scores = F.logsigmoid(emission) + labels.log_softmax(3)
        scores = torch.cat([F.logsigmoid(-emission), scores], dim=3)
        return full_sum_loss(scores, *batch, backend="reference")

    return {
        "torchaudio": torchaudio_rnnt,
        "torchaudio_as_shipped": torchaudio_rnnt,
        "fused": fused,
        "fused_no_skip": lambda *x: fused(*x, skip_threshold=0.0),
        "torch": closed_form,
        "reference": autograd_loop,
    }[name]


def measure(name: str, size: str, data: str, threads: int, repeats: int):
    """Median seconds of a step and peak memory in MB above the inputs."""
    import torch

    torch.set_num_threads(threads)
    torch.set_flush_denormal(name in FLUSHED)
    loss = loss_of(name)

    def step(inputs, batch) -> float:
        for x in inputs:
            x.grad = None
        start = time.perf_counter()
        loss(inputs, batch).sum().backward()
        return time.perf_counter() - start

    # loads the libraries, so that their code does not count as memory of the loss
    step(*make_inputs(TINY, SCALES[data]))
    inputs, batch = make_inputs(SIZES[size], SCALES[data])
    before = peak_mb()
    first = step(inputs, batch)
    seconds = [step(inputs, batch) for _ in range(repeats)] or [first]
    return {"seconds": statistics.median(seconds), "peak_mb": peak_mb() - before}


def gradient_error(name: str, size: str, data: str, threads: int):
    """Largest error of any of the six gradients against float64, relative, in norm.

    The float64 gradients are those of dense scores, which the tests compare with the
    enumeration of all alignments.
    """
    import torch

    from espnet_ext.asr.loss import factorised_loss, full_sum_loss

    torch.set_num_threads(threads)
    inputs, batch = make_inputs(SIZES[size], SCALES[data])
    loss_of(name)(inputs, batch).sum().backward()
    exact = [x.detach().double().requires_grad_() for x in inputs]
    labels, emission = dense_logits(exact)
    if name.startswith("torchaudio"):
        scores = torch.cat([emission, labels], dim=3).log_softmax(3)
        nll_B = full_sum_loss(scores, *batch, topology="rnnt", blank=0)
    else:
        nll_B = factorised_loss(labels, emission.squeeze(3), *batch, blank=0)
    right = torch.autograd.grad(nll_B.sum(), exact)
    errors = (
        float((x.grad.double() - y).norm() / y.norm()) for x, y in zip(inputs, right)
    )
    return {"gradient_error": max(errors)}


def peak_mb() -> float:
    """Largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_fresh_process(args, name: str, size: str, data: str, repeats: int):
    """Time and memory, then the error, each in another process: peaks do not mix."""
    command = [sys.executable, str(Path(__file__).resolve())]
    command += ["--threads", str(args.threads), "--repeats", str(repeats)]
    found: Dict[str, float] = {}
    for task in ("--one", "--error"):
        done = subprocess.run(
            [*command, task, name, size, data],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        found.update(json.loads(done.stdout.splitlines()[-1]))
    return found


def benchmark(args: argparse.Namespace) -> int:
    """Run all entries; print the table and write the JSON."""
    sizes = args.sizes.split()
    if not sizes or set(sizes) - set(SIZES):
        raise OptionError(
            f"sizes {args.sizes!r}", where="--sizes", expected=" ".join(SIZES)
        )
    rows: List[Dict[str, Any]] = []
    for size in sizes:
        runs = [(name, "", args.repeats) for name in ENTRIES]
        runs[3:3] = [("fused", data, args.repeats) for data in ("flat", "peaky")]
        runs += [(SLOW, "", 1)] if size == "C" else []
        seconds: Optional[float] = None
        for name, data, repeats in runs:
            if name.startswith("torch"):
                repeats = min(repeats, 2)
            found = in_fresh_process(args, name, size, data, repeats)
            seconds = seconds or found["seconds"]
            rows.append(
                {
                    "size": f"{size} {data}".strip(),
                    "name": name,
                    "time_ratio": round(found["seconds"] / seconds, 4),
                    "seconds": round(found["seconds"], 4),
                    "peak_mb": round(found["peak_mb"], 1),
                    "gradient_error": float(f"{found['gradient_error']:.2g}"),
                    "exact": found["gradient_error"] <= EXACT,
                    "topology": "rnnt" if name.startswith("torchaudio") else "rna",
                }
            )
            print(json.dumps(rows[-1]), flush=True)
        for name in PEERS:
            there = importlib.util.find_spec(name) is not None
            reason = "importable, no adapter here" if there else "not importable"
            rows.append(not_run(size, name, reason))
    rows.append(not_run("GPU", "fused", "no GPU entry here; see the Triton backend"))
    settings = {
        **environment(),
        "machine": hardware(),
        "threads": args.threads,
        "repeats": args.repeats,
        "sizes (B, T, L, V)": {size: SIZES[size] for size in sizes},
        "readout": f"{READOUT} before maxout",
        "data": "am, lm standard normal; output weights normal with deviation "
        f"{SCALES['']}, in rows 'flat' {SCALES['flat']}, 'peaky' {SCALES['peaky']}; "
        "seed 1; all lengths full",
        "torchaudio version": package_version("torchaudio"),
        "denormals": f"flushed in {', '.join(FLUSHED)}, not in the others",
        "time_ratio": "seconds / those of torchaudio with denormals flushed",
        "exact": f"gradient_error, relative to float64, at most {EXACT}",
        "peak_mb": "peak resident size of a fresh process above the state with inputs "
        "made and libraries loaded by one step of a tiny size",
    }
    with atomic_write(args.json) as file:
        json.dump({"settings": settings, "rows": rows}, file, indent=1)
        file.write("\n")
    for key, value in settings.items():
        print(f"{key}: {value}")
    print(f"written to {args.json}")
    return 0


def not_run(size: str, name: str, reason: str) -> Dict[str, Any]:
    """An honest row."""
    values = {"time_ratio": None, "peak_mb": None, "exact": None}
    return {"size": size, "name": name, **values, "note": f"not run: {reason}"}


def get_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = argparse.ArgumentParser(description="Time and memory of full-sum losses.")
    parser.add_argument("--json", type=Path, help="results go here")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--repeats", type=int, default=7, help="timed steps of ours")
    parser.add_argument("--sizes", default="A B C", help="which sizes to run")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--error", nargs=3, help=argparse.SUPPRESS)
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    args = get_parser().parse_args(argv)
    if args.one:
        print(json.dumps(measure(*args.one, args.threads, args.repeats)))
        return 0
    if args.error:
        print(json.dumps(gradient_error(*args.error, args.threads)))
        return 0
    if args.json is None:
        get_parser().error("--json FILE is needed")
    return run_main(lambda: benchmark(args))


if __name__ == "__main__":
    sys.exit(main())
