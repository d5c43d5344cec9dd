"""What a thread of this processor does of an alignment's largest parts, at its best.

Billions of multiplications and additions a second (counted as two) of the matrix
product and of the LSTM kernel in the shapes of the demo's first layer, and the seconds
in which soundfile alone reads the audio.
"""

# Dimensions: B batch, T frames, F input feature, H hidden size
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import soundfile
import torch
import torch.nn.functional as F

from espnet_ext.layers.products import linear

BATCH, FRAMES, INPUT, HIDDEN = 54, 75, 320, 128
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def _rate(call: Callable[[], object], operations: int, repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return operations / best / 1e9


def measure_products(repeats: int = 20) -> List[Dict[str, Any]]:
    """Rows with GFLOP/s of one thread."""
    generator = torch.Generator().manual_seed(1)
    x_BTF = torch.randn(BATCH, FRAMES, INPUT, generator=generator)
    gates = 4 * HIDDEN
    parts = [torch.randn(gates, n, generator=generator) for n in (INPUT, HIDDEN)]
    weights = [0.05 * part for part in parts] + [torch.zeros(gates)] * 2
    state = (torch.zeros(1, BATCH, HIDDEN),) * 2
    frames, threads = BATCH * FRAMES, torch.get_num_threads()
    rows = []
    torch.set_num_threads(1)
    try:
        for name, dtype in DTYPES.items():
            x, matrix = x_BTF.to(dtype), weights[0].to(dtype)
            typed = [weight.to(dtype) for weight in weights]
            begin = tuple(part.to(dtype) for part in state)
            product = linear if dtype == torch.float32 else F.linear

            def multiply(x=x.flatten(0, 1), matrix=matrix, product=product):
                return product(x, matrix)

            def lstm(x=x, begin=begin, typed=typed):
                options = True, 1, 0.0, False, False, True
                return torch._VF.lstm(x, begin, typed, *options)

            with torch.inference_mode():
                for what, call, inputs in (
                    ("product", multiply, INPUT),
                    ("LSTM kernel", lstm, INPUT + HIDDEN),
                ):
                    count = 2 * frames * inputs * gates
                    rate = _rate(call, count, repeats)
                    rows.append({"what": f"floor: {what}, {name}", "gflops": rate})
    finally:
        torch.set_num_threads(threads)
    return rows


def reading_seconds(data_dir: Path, recipe: Path) -> float:
    """Seconds of soundfile alone for all of a data directory, after reading it once."""
    lines = (data_dir / "wav.scp").read_text(encoding="utf-8").splitlines()
    files = [recipe / line.split(maxsplit=1)[1] for line in lines]
    for _ in range(2):
        start = time.perf_counter()
        for file in files:
            soundfile.read(file, dtype="float32")
    return time.perf_counter() - start
