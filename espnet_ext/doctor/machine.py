"""What the machine offers: cores, memory, disk, permissions, text encoding."""

import locale
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Optional

from espnet_ext.doctor.finding import MISSING, NOTE, OK, WARNING, Finding, Findings

SECTION = "machine"
GIB = 1024**3
NEED_DISK_GIB = 10  # .venv takes six of them
NEED_MEMORY_GIB = 4
NEED_SHARED_MEMORY_GIB = 0.5


def cpu_limit() -> float:
    """Cores this process may use: by affinity and by the quota of a container."""
    cores = float(len(os.sched_getaffinity(0)))
    quota = _first_line("/sys/fs/cgroup/cpu.max")
    if quota and not quota.startswith("max"):
        allowed, period = quota.split()
        cores = min(cores, int(allowed) / int(period))
    return cores


def memory_limit() -> int:
    """Bytes of memory: of the machine, or of the container if that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _first_line("/sys/fs/cgroup/memory.max")
    return min(total, int(limit)) if limit and limit.isdigit() else total


def _first_line(path: str) -> Optional[str]:
    try:
        return Path(path).read_text(encoding="ascii").splitlines()[0]
    except (OSError, IndexError):
        return None


def check_machine(folder: Path) -> Findings:
    """Cores, memory, free disk and write permission in ``folder``, encoding."""
    cores = cpu_limit()
    threads = os.environ.get("OMP_NUM_THREADS")
    note = f", OMP_NUM_THREADS={threads}" if threads else ""
    yield Finding(SECTION, "cores", OK, f"{cores:g}{note}")
    yield _amount(
        "memory",
        memory_limit() / GIB,
        NEED_MEMORY_GIB,
        "use a machine or container with more memory",
    )
    if os.path.isdir("/dev/shm"):
        yield _amount(
            "shared memory",
            shutil.disk_usage("/dev/shm").total / GIB,
            NEED_SHARED_MEMORY_GIB,
            "start the container with --shm-size=2g, or train with --num_workers 0",
        )
    yield _amount(
        "free disk",
        shutil.disk_usage(folder).free / GIB,
        NEED_DISK_GIB,
        f"free some space on the disk of {folder}",
    )
    yield check_writable(folder)
    yield check_encoding()
    if os.environ.get("PYTHONPATH"):
        yield Finding(
            SECTION,
            "PYTHONPATH",
            NOTE,
            f"{os.environ['PYTHONPATH']} (goes before the installed packages)",
            "unset PYTHONPATH, if a module of the wrong version is found",
        )


def _amount(name: str, found_gib: float, needed_gib: float, fix: str) -> Finding:
    enough = found_gib >= needed_gib
    wanted = "" if enough else f", {needed_gib:g} GiB are wanted"
    return Finding(
        SECTION,
        name,
        OK if enough else WARNING,
        f"{found_gib:.1f} GiB{wanted}",
        None if enough else fix,
    )


def check_writable(folder: Path) -> Finding:
    """Whether results can be written where the command was started."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(
            SECTION,
            "writable",
            MISSING,
            f"{folder}: {error.strerror}",
            "change to a folder you may write to, or its permissions",
        )
    return Finding(SECTION, "writable", OK, str(folder))


def check_encoding() -> Finding:
    """Whether file names and texts are UTF-8 here."""
    encodings = {sys.getfilesystemencoding().lower(), locale.getencoding().lower()}
    if {name.replace("-", "") for name in encodings} <= {"utf8"}:
        return Finding(SECTION, "encoding", OK, "UTF-8")
    return Finding(
        SECTION,
        "encoding",
        WARNING,
        ", ".join(sorted(encodings)),
        "export LC_ALL=C.UTF-8 (or PYTHONUTF8=1)",
    )
