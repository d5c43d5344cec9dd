"""NIST's programs as the oracle of scoring tests."""

import os
import subprocess
from pathlib import Path

import pytest

from espnet_ext.analysis.sclite import find_sctk


def nist_programs() -> Path:
    """Folder of NIST's programs; without them the comparison is skipped aloud.

    Continuous integration has them: there their absence is a failure.
    """
    folder = find_sctk()
    if folder is None:
        message = "sclite not found (apt-get install sctk): no comparison with NIST"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder


def csrfilt(text: str, glm: Path, kind: str, side: str) -> str:
    """What NIST's GLM filter makes of an STM or CTM."""
    programs = nist_programs()
    environment = dict(os.environ, PATH=f"{programs}:{os.environ['PATH']}", LC_ALL="C")
    done = subprocess.run(
        ["csrfilt.sh", "-i", kind, "-t", side, "-dh", str(glm)],
        input=text,
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    return done.stdout
