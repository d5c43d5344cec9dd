"""Which versions are installed, and whether they are those this project asks for.

Reads package metadata only, so it takes milliseconds and works where an import fails.
"""

import importlib.metadata as metadata
import platform
import subprocess
import sys
from pathlib import Path
from typing import List, Optional

from espnet_ext import __version__
from espnet_ext.doctor.finding import MISSING, NOTE, OK, WARNING, Finding, Findings

SECTION = "versions"
PYTHONS = ((3, 12), (3, 13))
REPOSITORY = Path(__file__).resolve().parents[2]
# asked for where this package itself is only on the path, without metadata
ESSENTIAL = ("espnet", "torch", "torchaudio", "numpy", "soundfile", "sentencepiece")
FIX = "make setup   (or: pip install -c constraints.txt -e .)"


def git_state(folder: Path) -> str:
    """Short commit of a checkout, ``+changes`` where files differ from it."""
    if not (folder / ".git").exists():
        return "no checkout"
    try:
        commit = _git(folder, "rev-parse", "--short", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "commit unknown"
    return f"commit {commit}{'+changes' if changed else ''}"


def _git(folder: Path, *arguments: str) -> str:
    finished = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=5,
    )
    return finished.stdout.strip()


def version_of(package: str) -> Optional[str]:
    """Installed version of a distribution, None if it is absent."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def requirements() -> Optional[List[str]]:
    """What this package asks for without extras; None where it is not installed."""
    try:
        lines = metadata.requires("espnet-ext") or []
    except metadata.PackageNotFoundError:
        return None
    return [line for line in lines if "extra ==" not in line]


def check_versions() -> Findings:
    """Python, this package, and each package it asks for."""
    python = platform.python_version()
    right = sys.version_info[:2] in PYTHONS
    yield Finding(
        SECTION,
        "python",
        OK if right else MISSING,
        f"{python} ({sys.executable})",
        None if right else "Python 3.12 or 3.13: see docs/quickstart.md",
    )
    yield Finding(SECTION, "espnet-ext", OK, f"{__version__} ({git_state(REPOSITORY)})")
    asked = requirements()
    if asked is None:
        yield Finding(
            SECTION, "installation", NOTE, "espnet-ext is on the path, not installed"
        )
    for line in ESSENTIAL if asked is None else asked:
        yield from check_requirement(line)


def check_requirement(line: str) -> Findings:
    """One requirement such as ``torch==2.11.0``; nothing if its marker excludes it."""
    from packaging.requirements import Requirement

    requirement = Requirement(line)
    if requirement.marker is not None and not requirement.marker.evaluate():
        return
    version = version_of(requirement.name)
    if version is None:
        yield Finding(SECTION, requirement.name, MISSING, "not installed", FIX)
    elif not requirement.specifier.contains(version, prereleases=True):
        wanted = f"{version}, tested with {requirement.specifier}"
        yield Finding(SECTION, requirement.name, WARNING, wanted, FIX)
    else:
        yield Finding(SECTION, requirement.name, OK, version)
