"""House style: formatters, linters, and the rules no linter knows."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared import REPOSITORY

MAXIMUM_LINES = 400
MAXIMUM_RUN_SH_LINES = 150
LIGHT_PACKAGES = ("analysis", "corpus", "doctor", "experiments", "lexicon", "recipe")
HEAVY_MODULES = ("torch", "torchaudio", "espnet", "espnet2", "espnet3")


def repository_files(*suffixes):
    """Files of the project that git knows or would add, so nothing of .venv."""
    finished = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = [REPOSITORY / name for name in finished.stdout.split("\0") if name]
    return sorted(path for path in paths if path.suffix in suffixes and path.is_file())


def python_files():
    files = repository_files(".py")
    assert len(files) > 20, "the list of files is not what it should be"
    return files


def shell_files():
    """Scripts by suffix, and those without one by their first line."""
    bare = [
        path
        for path in repository_files("")
        if path.read_bytes().split(b"\n")[0].endswith((b"bash", b"/sh"))
    ]
    files = [
        path for path in [*repository_files(".sh"), *bare] if not path.is_symlink()
    ]
    assert REPOSITORY / ".ci" / "run" in files
    return files


def complaints(*command):
    """What a tool prints, nothing if it is content."""
    finished = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    if finished.returncode == 0:
        return ""
    return finished.stdout + finished.stderr or f"status {finished.returncode}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "tool",
    [("black", "--check"), ("isort", "--check"), ("flake8",)],
    ids=lambda tool: tool[0],
)
def test_python_files_please(tool):
    text = complaints(sys.executable, "-m", *tool, *map(str, python_files()))
    assert not text, text


@pytest.mark.slow
def test_shell_files_please_shellcheck():
    beside_python = Path(sys.executable).parent / "shellcheck"
    shellcheck = shutil.which("shellcheck", path=str(beside_python.parent))
    shellcheck = shellcheck or shutil.which("shellcheck")
    assert shellcheck, "shellcheck is missing: make test installs it"
    text = complaints(shellcheck, "-x", "-P", "SCRIPTDIR", *map(str, shell_files()))
    assert not text, text


def test_shell_files_stop_at_errors_and_can_be_run():
    sourced = ("path.sh", "cmd.sh", "db.sh")
    for path in shell_files():
        if path.name not in sourced:
            assert path.stat().st_mode & 0o111, f"{path} is not executable"
            assert "set -euo pipefail" in path.read_text(), path


def test_run_sh_only_parses_and_calls():
    for path in REPOSITORY.glob("egs2/*/run.sh"):
        assert len(path.read_text().splitlines()) < MAXIMUM_RUN_SH_LINES


def test_no_python_file_is_longer_than_a_reader_takes_in():
    lengths = {path: len(path.read_text().splitlines()) for path in python_files()}
    too_long = {str(p): n for p, n in lengths.items() if n > MAXIMUM_LINES}
    assert not too_long


def calls(tree):
    """Each call as (dotted name of what is called, node)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(node, name):
    """Source of a keyword argument, None if it is not given."""
    values = [ast.unparse(item.value) for item in node.keywords if item.arg == name]
    return values[0] if values else None


FORBIDDEN = {"eval", "exec", "os.system", "os.popen", "pickle.load", "yaml.unsafe_load"}


def is_unsafe(name, node, text):
    """Whether a call in ``text`` can run text or the content of a file as code."""
    if name in FORBIDDEN or keyword(node, "shell") == "True":
        return True
    if name == "yaml.load":  # allowed with a loader derived from the safe one
        return f"class {keyword(node, 'Loader')}(yaml.SafeLoader)" not in text
    if name == "torch.load":
        return keyword(node, "weights_only") != "True"
    return name in ("np.load", "numpy.load") and keyword(node, "allow_pickle") == "True"


def test_no_text_is_run_as_code_and_no_file_can_run_any():
    found = []
    for path in python_files():
        text = path.read_text(encoding="utf-8")
        for name, node in calls(ast.parse(text)):
            if is_unsafe(name, node, text):
                found.append(f"{path}:{node.lineno}: {name}")
    assert found == []


def module_level_imports(tree):
    """Top-level modules imported when the file is, ``if TYPE_CHECKING`` left out."""
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]
        elif isinstance(node, (ast.Try, ast.With, ast.ClassDef)):
            waiting += node.body
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            waiting += node.body + node.orelse


def light_files():
    folders = [f"espnet_ext/{name}/" for name in LIGHT_PACKAGES]
    return [
        path
        for path in python_files()
        if path.relative_to(REPOSITORY).as_posix().startswith(tuple(folders))
    ]


def test_light_packages_import_neither_torch_nor_espnet_when_they_are_imported():
    """Their commands have to start in well under a second."""
    assert light_files()
    heavy = {
        str(path): found
        for path in light_files()
        if (
            found := set(HEAVY_MODULES)
            & set(module_level_imports(ast.parse(path.read_text(encoding="utf-8"))))
        )
    }
    assert heavy == {}


def test_library_modules_import_neither_trainer_nor_task_nor_corpus():
    folders = ("asr", "layers", "optimizers", "schedulers")
    pattern = re.compile(
        r"^\s*(?:from|import) (?:espnet_ext\.(?:train|tasks|bin|corpus|recipe)"
        r"|espnet2\.(?:train\.(?:trainer|abs_espnet_trainer)|tasks))\b",
        re.MULTILINE,
    )
    for folder in folders:
        for path in (REPOSITORY / "espnet_ext" / folder).rglob("*.py"):
            assert not pattern.search(path.read_text(encoding="utf-8")), path


def test_every_module_of_the_package_says_what_it_is_for():
    for path in python_files():
        text = path.read_text(encoding="utf-8")
        if (REPOSITORY / "espnet_ext") in path.parents and text.strip():
            assert ast.get_docstring(ast.parse(text)), f"{path} has no docstring"


def test_relative_links_of_the_documents_lead_somewhere():
    broken = []
    for path in repository_files(".md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
            target = target.split("#")[0]
            if not target or "://" in target:
                continue
            if not (path.parent / target).exists():
                broken.append(f"{path}: {target}")
    assert broken == []
