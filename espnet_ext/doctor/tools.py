"""Programs that the recipe uses where they are present."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List, Optional

from espnet_ext.doctor.finding import MISSING, NOTE, OK, WARNING, Finding, Findings

SECTION = "programs and data"
ESPEAK_FIX = "make setup   (or: pip install espeakng-loader)"


def search_path() -> str:
    """PATH, and the folder of this Python, which need not be on it."""
    return os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.prefix) / "bin")])


def find_program(name: str) -> Optional[str]:
    """Full path of a program, None if there is none."""
    return shutil.which(name, path=search_path())


def sctk_command(program: str) -> Optional[List[str]]:
    """How to start one of SCTK's programs: by itself or through Debian's ``sctk``."""
    for name in (program, f"{program}.pl"):
        found = find_program(name)
        if found:
            return [found]
    wrapper = find_program("sctk")
    return [wrapper, program] if wrapper else None


def check_tools() -> Findings:
    """sclite, hubscr, sph2pipe, and the voices of the embedded corpus."""
    yield check_sctk("sclite")
    yield check_sctk("hubscr")
    sph2pipe = find_program("sph2pipe")
    yield Finding(
        SECTION,
        "sph2pipe",
        OK if sph2pipe else NOTE,
        sph2pipe or "absent: needed only for shorten-compressed SPHERE files",
        None if sph2pipe else "build it from LDC's sources and put it on the PATH",
    )
    yield check_espeak()


def check_sctk(program: str) -> Finding:
    """One of NIST's scoring programs, with the version it prints."""
    command = sctk_command(program)
    if command is None:
        return Finding(
            SECTION, program, NOTE, "absent: the built-in scorer is used", "make sctk"
        )
    try:
        finished = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError) as error:
        value = f"{' '.join(command)} does not run: {error}"
        return Finding(SECTION, program, WARNING, value, "make sctk")
    # called without arguments, both print their usage and fail
    text = finished.stdout + finished.stderr
    if program not in text:
        value = f"{' '.join(command)} prints no usage (status {finished.returncode})"
        return Finding(SECTION, program, WARNING, value, "make sctk")
    versions = [line.strip() for line in text.splitlines() if "Version:" in line]
    version = f" ({versions[0]})" if versions else ""
    return Finding(SECTION, program, OK, f"{' '.join(command)}{version}")


def check_espeak() -> Finding:
    """The speech synthesiser of the embedded corpus: its library and its voices."""
    try:
        import espeakng_loader
    except ImportError:
        return Finding(SECTION, "espeak-ng", MISSING, "not installed", ESPEAK_FIX)
    library = Path(espeakng_loader.get_library_path())
    voices = Path(espeakng_loader.get_data_path()) / "voices"
    for path in (library, voices):
        if not path.exists():
            return Finding(
                SECTION, "espeak-ng", MISSING, f"{path} does not exist", ESPEAK_FIX
            )
    return Finding(SECTION, "espeak-ng", OK, str(library))
