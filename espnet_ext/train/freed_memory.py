"""Give freed tensors back to the system, so that peaks of a training do not add up.

glibc keeps freed blocks below a threshold, which grows to 32 MB by itself, for later
ones of about their size. The tensors of a training step have many sizes, so much of
what it keeps serves nobody. Blocks above the threshold are mapped one by one instead,
and the system has to clear their pages again each time: too low a threshold costs time.

Ref: mallopt(3), M_MMAP_THRESHOLD.
"""

import ctypes

M_MMAP_THRESHOLD = -3
THRESHOLD_BYTES = 4 * 2**20  # what it costs and saves: docs/performance.md


def return_freed_blocks(threshold: int = THRESHOLD_BYTES) -> bool:
    """Fix the threshold in this process; False where the C library is not glibc."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # only glibc has it, and the option
        return bool(library.mallopt(M_MMAP_THRESHOLD, threshold))
    except (AttributeError, OSError, TypeError):
        return False
