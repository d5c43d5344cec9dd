"""Finds the reference arrays and corpora that tests compare with.

They lie in ``../shared`` beside the checkout, or where ESPNET_EXT_SHARED points.
"""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("ESPNET_EXT_SHARED", REPOSITORY.parent / "shared"))


def shared_file(name: str) -> Path:
    """Path of a reference file, for example ``data/sctk/tiny/t.stm``.

    The reference folder is not part of a clone, so without it a comparison is
    reported as skipped (the summary names it). Continuous integration has the folder:
    there a missing file is a failure, so that an unchecked parity never looks green.
    """
    path = SHARED / name
    if not path.exists():
        message = f"reference file {name} not found: set ESPNET_EXT_SHARED"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path
