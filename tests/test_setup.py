"""Setting up: which Python, when nothing is to be done, what an interruption leaves.

Nothing is installed here. The checkouts are copies in a folder with a space and a
letter outside ASCII, and their .venv borrows the packages of the running Python.
"""

import ast
import hashlib
import importlib.metadata as metadata
import os
import shutil
import site
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.shared import REPOSITORY

PARTS = ("Makefile", "setup.py", "constraints.txt", ".python-version", "scripts")


@pytest.fixture
def checkout(tmp_path) -> Path:
    folder = tmp_path / "mit Leerzeichen und ü"
    folder.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (REPOSITORY / part).is_dir() else shutil.copy
        copy(REPOSITORY / part, folder / part)
    (folder / "espnet_ext").symlink_to(REPOSITORY / "espnet_ext")
    (folder / "README.md").write_text("")
    return folder


def run(checkout, *command, **environment):
    """Run a command there; pip is denied the network, HOME has no interpreters."""
    # what `make test`, which may have started this process, hands down
    inherited = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHON", "TEST_ARGS")
    kept = {name: os.environ[name] for name in os.environ if name not in inherited}
    settings = {"PIP_NO_INDEX": "1", "HOME": str(checkout), "PYENV_ROOT": "/nowhere"}
    return subprocess.run(
        command,
        cwd=checkout,
        env={**kept, **settings, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def folder_of_programs(folder, *names):
    """A PATH with the named programs and nothing else."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(shutil.which(name))
    return folder


def add_script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def make_venv(checkout, extras=""):
    """An environment as bootstrap.sh leaves it, with borrowed packages."""
    venv = checkout / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    borrowed = [*site.getsitepackages(), str(checkout)]
    (packages / "borrowed.pth").write_text("\n".join(borrowed), encoding="utf-8")
    # no test may install: the borrowed packages are those of the running Python
    (packages / "pip.py").write_text("raise SystemExit('ERROR: no installing here')")
    content = "".join(
        (checkout / name).read_text(encoding="utf-8")
        for name in ("setup.py", "constraints.txt")
    )
    key = hashlib.sha256(f"{content.rstrip()}{checkout}".encode()).hexdigest()
    (venv / ".installed").write_text(f"{key}  -\n{extras}\n")


def test_a_finished_installation_is_left_alone_at_once(checkout):
    make_venv(checkout, "test")
    started = time.monotonic()
    finished = run(checkout, "make", "setup")
    assert (finished.returncode, finished.stdout) == (0, ""), finished.stderr
    assert time.monotonic() - started < 2


@pytest.mark.slow
def test_the_commands_work_in_a_path_with_space_and_umlaut(checkout):
    make_venv(checkout, "test")
    shutil.copytree(REPOSITORY / "tests", checkout / "tests")
    shutil.copy(REPOSITORY / "setup.cfg", checkout)
    tested = run(checkout, "make", "test", "TEST_ARGS=tests/test_errors.py -k status")
    assert " passed" in tested.stdout.splitlines()[-1], tested.stdout + tested.stderr
    examined = run(checkout, "make", "doctor")
    assert f"({checkout}/.venv/bin/python)" in examined.stdout
    assert "verdict: " in examined.stdout, examined.stderr


@pytest.mark.parametrize("changed", ["setup.py", "constraints.txt"])
def test_changed_requirements_are_installed(checkout, changed):
    make_venv(checkout)
    with open(checkout / changed, "a") as file:
        file.write("# another\n")
    finished = run(checkout, "make", "setup")
    assert finished.returncode != 0 and finished.stdout.startswith("installing")
    assert (checkout / ".venv" / ".unfinished").exists()


def test_a_moved_checkout_is_installed_again(checkout):
    make_venv(checkout)
    moved = checkout.rename(checkout.parent / "anderswo")
    assert run(moved, "make", "setup").stdout.startswith("installing")


def test_an_extra_that_is_not_installed_yet_is_installed(checkout):
    make_venv(checkout)
    assert run(checkout, "scripts/bootstrap.sh").stdout == ""
    assert run(checkout, "scripts/bootstrap.sh", "test").stdout.startswith("installing")


@pytest.mark.slow
def test_a_failed_installation_says_where_its_log_is_and_fails(checkout):
    finished = run(checkout, "make", "setup", PYTHON=sys.executable)
    assert finished.returncode != 0
    assert ".venv/install.log says why" in finished.stderr
    assert "No matching distribution" in (checkout / ".venv/install.log").read_text()


def test_an_interrupted_installation_starts_over(checkout):
    make_venv(checkout)
    (checkout / ".venv" / ".unfinished").write_text("")
    (checkout / ".venv" / "half-written").write_text("")
    finished = run(checkout, "make", "setup", PYTHON="/nowhere/python")
    assert finished.returncode != 0
    assert "interrupted: starting it again" in finished.stdout
    assert not (checkout / ".venv" / "half-written").exists()


def test_an_environment_somebody_else_made_is_not_touched(checkout):
    (checkout / ".venv" / "bin").mkdir(parents=True)
    finished = run(checkout, "make", "setup", PYTHON=sys.executable)
    assert finished.returncode != 0
    assert "was not made by this script" in finished.stderr
    assert [path.name for path in (checkout / ".venv").iterdir()] == ["bin"]


@pytest.mark.parametrize("target", ["demo", "test"])
def test_without_a_fitting_python_both_commands_say_how_to_get_one(checkout, target):
    programs = folder_of_programs(
        checkout / "bin", "bash", "make", "cat", "sha256sum", "dirname", "grep", "flock"
    )
    add_script(programs / "python3", "echo 'it is Python 3.9.2' >&2; exit 1")
    # as a version manager's stand-in for a version that is not installed
    add_script(programs / "python3.12", "echo 'command not found' >&2; exit 127")
    finished = run(checkout, "make", target, PATH=str(programs))
    assert finished.returncode != 0
    assert "Python 3.12 or 3.13 is needed" in finished.stderr
    assert "pyenv install 3.12" in finished.stderr
    assert "python3: it is Python 3.9.2" in finished.stderr
    assert not (checkout / ".venv").exists()


def test_a_named_python_that_does_not_fit_is_refused(checkout):
    add_script(checkout / "old", "echo 'it is Python 3.9.2' >&2; exit 1")
    finished = run(checkout, "scripts/find_python.sh", PYTHON="./old")
    assert finished.returncode != 0 and finished.stdout == ""
    assert "PYTHON=./old cannot be used: it is Python 3.9.2" in finished.stderr


def test_an_interpreter_off_the_path_is_found_where_pyenv_keeps_it(checkout):
    kept = checkout / "pyenv" / "versions" / "3.12.9" / "bin"
    kept.mkdir(parents=True)
    add_script(kept / "python3.12", f'exec "{sys.executable}" "$@"')
    programs = folder_of_programs(checkout / "bin", "bash", "dirname")
    finished = run(
        checkout,
        "scripts/find_python.sh",
        PATH=str(programs),
        PYENV_ROOT=str(checkout / "pyenv"),
    )
    assert finished.returncode == 0, finished.stderr
    assert os.access(finished.stdout.strip(), os.X_OK)


def test_without_apt_the_scoring_tools_are_replaced_with_a_notice(checkout):
    programs = folder_of_programs(
        checkout / "bin", "bash", "head", "dirname", "mkdir", "timeout"
    )
    finished = run(checkout, "scripts/install_sctk.sh", PATH=str(programs))
    assert finished.returncode == 0, finished.stderr
    assert "notice: no sclite" in finished.stdout
    assert "built-in scorer" in finished.stdout


def setup_lists():
    """CORE and EXTRAS of setup.py, read without running it."""
    tree = ast.parse((REPOSITORY / "setup.py").read_text(encoding="utf-8"))
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id in ("CORE", "EXTRAS")
    }


def test_every_package_of_setup_py_is_pinned_once():
    pins = [
        line.partition("==")[0]
        for line in (REPOSITORY / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert len(pins) == len(set(pins))
    lists = setup_lists()
    asked = lists["CORE"] + sum(lists["EXTRAS"].values(), [])
    names = {Requirement(line).name.lower() for line in asked}
    assert len(names) > 20 and names <= set(pins)


def top_level_imports(path):
    """Modules that are imported when ``path`` is, as (name, line number)."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0], node.lineno


# Triton comes with torch on Linux only; its folder is imported where its probe passed
KERNELS = REPOSITORY / "espnet_ext" / "asr" / "loss" / "triton"


def test_what_modules_import_at_once_is_installed_on_every_supported_python():
    """A requirement limited to one Python may only be imported where it is used."""
    everywhere = {
        Requirement(line).name.lower()
        for line in setup_lists()["CORE"]
        if Requirement(line).marker is None
    }
    providers = metadata.packages_distributions()
    undeclared = [
        f"{path}:{line}: {name}"
        for path in (REPOSITORY / "espnet_ext").rglob("*.py")
        for name, line in top_level_imports(path)
        if name not in sys.stdlib_module_names and name != "espnet_ext"
        # ESPnet and torch need these at import themselves
        and name not in ("packaging", "typeguard")
        and not (name == "triton" and path.parent == KERNELS)
        and not everywhere & {found.lower() for found in providers.get(name, [])}
    ]
    assert undeclared == []


@pytest.mark.slow
def test_the_losses_can_be_imported_without_triton():
    code = "import sys; sys.modules['triton'] = None; import espnet_ext.asr.loss"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
