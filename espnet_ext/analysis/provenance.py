"""Where a result comes from: versions, code, configuration, machine, date."""

import hashlib
import platform
import subprocess
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Dict, Optional, Union

PathLike = Union[str, Path]
HASH_LENGTH = 12
UNKNOWN = "unknown"


def package_version(name: str) -> str:
    """Version of an installed package without importing it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def git_hash(folder: Optional[PathLike] = None) -> str:
    """Commit of the checkout this code is in; ``-dirty`` with uncommitted changes."""
    folder = Path(__file__).resolve().parent if folder is None else Path(folder)
    commit = _git(folder, "rev-parse", "--short=12", "HEAD")
    if not commit:
        return UNKNOWN
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if changed else commit


def git_date(folder: Optional[PathLike] = None) -> str:
    """Date of that commit."""
    folder = Path(__file__).resolve().parent if folder is None else Path(folder)
    return _git(folder, "log", "-1", "--format=%cd", "--date=iso") or UNKNOWN


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def file_hash(path: PathLike) -> str:
    """Short SHA-256 of a file; empty where there is none."""
    path = Path(path)
    if not path.is_file():
        return ""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:HASH_LENGTH]


def hardware() -> str:
    """Processor and number of cores this ran on."""
    name = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
        import os

        cores = len(os.sched_getaffinity(0))
    except (OSError, AttributeError):
        return name
    return f"{name}, {cores} cores"


def environment(config: Optional[PathLike] = None) -> Dict[str, str]:
    """The facts of the first block of RESULTS.md, in its order."""
    facts = {
        "date": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} UTC",
        "python version": sys.version.split()[0],
        "espnet version": f"espnet {package_version('espnet')}",
        "pytorch version": f"pytorch {package_version('torch')}",
        "Git hash": git_hash(),
        "Commit date": git_date(),
    }
    if config is not None and Path(config).is_file():
        facts["config"] = f"{Path(config).name} (sha256 {file_hash(config)})"
    return facts
