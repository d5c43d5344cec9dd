"""Programs that the recipe uses where they are present."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from espnet_ext.analysis.sclite import find_sctk
from espnet_ext.doctor.finding import MISSING, NOTE, OK, WARNING, Finding, Findings

SECTION = "programs and data"
ESPEAK_FIX = "make setup   (or: pip install espeakng-loader)"


def check_tools() -> Findings:
    """sclite, hubscr, sph2pipe, and the voices of the embedded corpus."""
    yield from check_sctk()
    sph2pipe = shutil.which("sph2pipe")
    yield Finding(
        SECTION,
        "sph2pipe",
        OK if sph2pipe else NOTE,
        sph2pipe or "absent: needed only for shorten-compressed SPHERE files",
        None if sph2pipe else "build it from LDC's sources and put it on the PATH",
    )
    yield check_espeak()


def check_sctk() -> Findings:
    """NIST's scoring programs, looked for exactly as the scoring stage does."""
    folder = find_sctk()
    if folder is not None:
        yield check_program("sclite", folder / "sclite")
        yield check_program("hubscr", folder / "hubscr.pl")
        return
    own = Path(sys.prefix) / "bin"
    if (own / "sctk").exists():
        value, status = f"in {own}, which is not on the PATH", WARNING
        fix = f"export PATH={shlex.quote(str(own))}:$PATH"
    else:
        value, status, fix = "absent: the built-in scorer is used", NOTE, "make sctk"
    yield Finding(SECTION, "sclite", status, value, fix)


def check_program(name: str, path: Path) -> Finding:
    """Whether one of NIST's programs runs, with the version it prints."""
    try:
        finished = subprocess.run(
            [str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError) as error:
        value = f"{path} does not run: {error}"
        return Finding(SECTION, name, WARNING, value, "make sctk")
    # called without arguments, both print their usage and fail
    text = finished.stdout + finished.stderr
    if name not in text:
        value = f"{path} prints no usage (status {finished.returncode})"
        return Finding(SECTION, name, WARNING, value, "make sctk")
    versions = [line.strip() for line in text.splitlines() if "Version:" in line]
    version = f" ({versions[0]})" if versions else ""
    return Finding(SECTION, name, OK, f"{path}{version}")


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
