"""What torch finds here: threads and GPUs."""

import os

from espnet_ext.doctor.finding import MISSING, NOTE, OK, Finding, Findings

SECTION = "torch"


def check_torch() -> Findings:
    """Threads and GPUs."""
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
