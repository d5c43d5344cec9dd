"""Finds the reference arrays and corpora that tests compare with.

They lie in ``../shared`` beside the checkout, or where ESPNET_EXT_SHARED points.
"""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("ESPNET_EXT_SHARED", REPOSITORY.parent / "shared"))


def shared_file(name: str) -> Path:
    """Path of a reference file, for example ``data/sctk/tiny/t.stm``.

    A missing file fails the test: parity that was not checked must not look green.
    """
    path = SHARED / name
    if not path.exists():
        raise AssertionError(
            f"{path} is missing: put the reference folder beside the checkout, or "
            "set ESPNET_EXT_SHARED to it"
        )
    return path
