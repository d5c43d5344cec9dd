"""``--deterministic``: a seed gives the same bytes, or a refusal says why not."""

import contextlib
import os
import re
from typing import Iterator

import torch

from espnet_ext.errors import OptionError

REFUSED = re.compile(r"(\S+) does not have a deterministic implementation")
WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def make_deterministic() -> None:
    """Choose deterministic algorithms everywhere; before the first use of a GPU."""
    os.environ.setdefault(*WORKSPACE)  # cuBLAS reads it when it is initialised
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


@contextlib.contextmanager
def refusals_are_user_errors() -> Iterator[None]:
    """Turn torch's refusal of an operation into a message that names it.

    Raises:
        OptionError: An operation has no deterministic implementation on this device.
    """
    try:
        yield
    except RuntimeError as error:
        found = REFUSED.search(str(error))
        if found is None:
            raise
        raise OptionError(
            f"{found[1]} has no deterministic implementation on this device",
            where="--deterministic true",
            expected="operations that give the same bytes every time",
            next_step="train on the CPU, leave out the part of the model that needs "
            "this operation, or accept small differences with --deterministic false",
        ) from error
