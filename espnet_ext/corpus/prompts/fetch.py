"""Fetches the two Debian packages of the prompts and unpacks them, without root.

``asterisk-core-sounds-en-wav`` has the audio, ``asterisk-core-sounds-en`` the script
that was read (``core-sounds-en.txt.gz``) and the licence.
"""

import shutil
import subprocess
from pathlib import Path
from typing import List, Sequence

from espnet_ext.errors import (
    FormatError,
    MissingInputError,
    StageFailedError,
    ToolMissingError,
)

PACKAGES = ("asterisk-core-sounds-en-wav", "asterisk-core-sounds-en")
BY_HAND = (
    "fetch {packages} (Debian, 'all' architecture) on another machine, for example "
    "with apt-get download, and give each file with --deb FILE"
).format(packages=" and ".join(PACKAGES))
TIMEOUT_S = 600


def unpack_packages(folder: Path, packages: Sequence[Path] = ()) -> Path:
    """Unpack both packages below ``folder``.

    Args:
        folder: An existing folder.
        packages: Package files that were fetched elsewhere; without them they are
            downloaded with ``apt-get download``.

    Returns:
        The root of the unpacked file system.

    Raises:
        ToolMissingError: No ``apt-get`` or no ``dpkg-deb``.
        MissingInputError: A package file does not exist.
        FormatError: A file is not a Debian package.
        StageFailedError: The download failed.
    """
    for package in packages:
        if not Path(package).is_file():
            raise MissingInputError("package file not found", where=package)
    if shutil.which("dpkg-deb") is None:
        raise ToolMissingError(
            "dpkg-deb is not installed",
            expected="a Debian or Ubuntu system, or the package dpkg",
            next_step="install dpkg, or use --corpus embedded, which needs nothing",
        )
    files = [Path(package).resolve() for package in packages] or download(folder)
    root = folder / "unpacked"
    for file in files:
        result = _run(["dpkg-deb", "-x", str(file), str(root)], folder)
        if result.returncode != 0:
            raise FormatError(
                f"cannot be unpacked: {_last_line(result)}",
                where=file,
                expected="a Debian package",
                next_step="download it again",
            )
    return root


def download(folder: Path) -> List[Path]:
    """Download the packages with apt-get; package lists of its own if there are none.

    Raises:
        ToolMissingError: No ``apt-get``.
        StageFailedError: It failed; the message has what it said.
    """
    if shutil.which("apt-get") is None:
        raise ToolMissingError(
            "apt-get is not installed", expected="Debian or Ubuntu", next_step=BY_HAND
        )
    result = _run(["apt-get", "download", *PACKAGES], folder)
    if result.returncode != 0:
        # a fresh container has no package lists; private ones need no root
        state = folder / "apt"
        (state / "lists" / "partial").mkdir(parents=True)
        (state / "cache" / "archives" / "partial").mkdir(parents=True)
        own_lists = [
            "-o",
            f"Dir::State::lists={state / 'lists'}",
            "-o",
            f"Dir::Cache={state / 'cache'}",
            "-o",
            "APT::Sandbox::User=",
        ]
        _run(["apt-get", *own_lists, "update"], folder)
        result = _run(["apt-get", *own_lists, "download", *PACKAGES], folder)
    files = sorted(folder.glob("asterisk-core-sounds-en*.deb"))
    if result.returncode != 0 or len(files) < len(PACKAGES):
        raise StageFailedError(
            f"the packages cannot be downloaded: {_last_line(result)}",
            where="apt-get download",
            expected=" and ".join(PACKAGES),
            next_step=BY_HAND,
        )
    return files


def _run(command: List[str], folder: Path) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise StageFailedError(
            f"no answer within {TIMEOUT_S} s", where=command[0], next_step=BY_HAND
        ) from None


def _last_line(result: subprocess.CompletedProcess) -> str:
    lines = [line for line in result.stdout.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("E:")]
    return (errors or lines or [f"exit status {result.returncode}"])[-1]
