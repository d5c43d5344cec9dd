"""Small computations whose results are known in closed form.

A loss of equal scores only counts alignments: with V equally likely outputs, a path of
N outputs costs N log V, and all paths together cost N log V - log(number of paths).
"""

import importlib
import math
import os
from typing import Callable

from espnet_ext.doctor.finding import MISSING, NOTE, OK, WARNING, Finding, Findings

SECTION = "torch and losses"
FRAMES, LABELS, VOCABULARY = 6, 3, 5
TOLERANCE = 1e-4  # single precision, a few dozen additions


def expected_rna() -> float:
    """RNA: a path has one output a frame, and the labels choose their frames."""
    paths = math.comb(FRAMES, LABELS)
    return FRAMES * math.log(VOCABULARY) - math.log(paths)


def expected_rnnt() -> float:
    """RNN-T: a path has one blank a frame and ends with it; labels lie between."""
    paths = math.comb(FRAMES - 1 + LABELS, LABELS)
    return (FRAMES + LABELS) * math.log(VOCABULARY) - math.log(paths)


def rna_loss() -> float:
    """The default loss of this package on equal scores."""
    import torch

    full_sum_loss = importlib.import_module("espnet_ext.asr.loss").full_sum_loss
    shape = (1, FRAMES, LABELS + 1, VOCABULARY)
    scores_BTSV = torch.full(shape, -math.log(VOCABULARY))
    labels_BL = torch.arange(1, LABELS + 1)[None]
    lengths = torch.tensor([FRAMES]), torch.tensor([LABELS])
    return full_sum_loss(scores_BTSV, labels_BL, *lengths, blank=0).item()


def torchaudio_loss() -> float:
    """torchaudio's RNN-T loss on equal logits."""
    import torch
    from torchaudio.functional import rnnt_loss

    logits_BTSV = torch.zeros(1, FRAMES, LABELS + 1, VOCABULARY)
    labels_BL = torch.arange(1, LABELS + 1, dtype=torch.int32)[None]
    lengths = (
        torch.tensor([FRAMES], dtype=torch.int32),
        torch.tensor([LABELS], dtype=torch.int32),
    )
    return rnnt_loss(logits_BTSV, labels_BL, *lengths, blank=0).item()


def compare(
    name: str, loss: Callable[[], float], expected: float, bad_status: str
) -> Finding:
    """One loss against its closed form; any exception becomes a finding."""
    try:
        value = loss()
    except Exception as error:  # the probe is there to find out what can go wrong
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return Finding(SECTION, name, bad_status, f"fails: {reason}", "make setup")
    # written so that a NaN counts as wrong
    if not abs(value - expected) <= TOLERANCE * expected:
        wrong = f"computes {value:.6f}, expected {expected:.6f}"
        return Finding(SECTION, name, bad_status, wrong, "make setup")
    return Finding(SECTION, name, OK, f"{value:.4f}, as in closed form")


def check_torch() -> Findings:
    """Threads, GPUs, and whether the losses compute what they should."""
    try:
        import torch
    except Exception as error:
        reason = str(error).splitlines()[0]
        yield Finding(SECTION, "torch", MISSING, f"fails: {reason}", "make setup")
        return
    yield Finding(
        SECTION,
        "threads",
        OK,
        f"{torch.get_num_threads()} in an operation, "
        f"{torch.get_num_interop_threads()} between operations",
    )
    yield from check_gpus(torch)
    yield compare("RNA loss", rna_loss, expected_rna(), MISSING)
    yield compare("torchaudio RNN-T", torchaudio_loss, expected_rnnt(), WARNING)


def check_gpus(torch) -> Findings:
    """Each GPU with its memory, or that there is none."""
    if not torch.cuda.is_available():
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES") == ""
        why = " (CUDA_VISIBLE_DEVICES is empty)" if hidden else ""
        yield Finding(SECTION, "GPU", NOTE, f"none{why}; the demo needs none")
        return
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory_gib = properties.total_memory / 1024**3
        yield Finding(
            SECTION, f"GPU {index}", OK, f"{properties.name}, {memory_gib:.0f} GiB"
        )
