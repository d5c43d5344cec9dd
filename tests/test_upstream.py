"""docs/upstream.md is true: the files move into ESPnet's tree and need nothing else."""

import glob
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.shared import REPOSITORY

TEXT = (REPOSITORY / "docs" / "upstream.md").read_text(encoding="utf-8")
TABLE = TEXT.split("## Files that stand alone")[1].split("\n## ")[0]


def braces(pattern):
    """``a/{b,c}.py`` as two patterns."""
    found = re.search(r"\{(.*?)\}", pattern)
    if not found:
        return [pattern]
    before, after = pattern[: found.start()], pattern[found.end() :]
    return [f"{before}{part}{after}" for part in found[1].split(",")]


def named_files():
    """Files of the first column of the first table, relative to the package."""
    root = REPOSITORY / "espnet_ext"
    files = []
    for line in TABLE.splitlines():
        cell = line.split("|")[1] if line.startswith("| `") else ""
        for pattern in re.findall(r"`(.*?)`", cell):
            for part in braces(pattern):
                part = f"{part}*.py" if part.endswith("/") else part
                matches = glob.glob(str(root / part))
                assert matches, f"no file espnet_ext/{part}"
                files += matches
    return sorted(os.path.relpath(file, root) for file in files)


def test_every_plugin_of_the_register_is_in_the_table_or_said_to_stay():
    register = (REPOSITORY / "espnet_ext" / "register.py").read_text(encoding="utf-8")
    modules = re.findall(r"from espnet_ext\.(asr\.\S+) import", register)
    files = {module.replace(".", "/") + ".py" for module in modules}
    models = {file for file in files if file.endswith("_model.py")}
    assert not files - models - set(named_files())


@pytest.mark.slow
def test_the_files_are_imported_from_another_tree_without_this_package(tmp_path):
    """Copied under another name, with the errors module, and nothing else of ours."""
    own = tmp_path / "moved"
    needed = {"errors.py", "names.py", "files.py", "streams.py"}
    for name in [*named_files(), *sorted(needed)]:
        target = own / name
        target.parent.mkdir(parents=True, exist_ok=True)
        text = (REPOSITORY / "espnet_ext" / name).read_text(encoding="utf-8")
        target.write_text(text.replace("espnet_ext.", "moved."), encoding="utf-8")
    for folder in {path.parent for path in own.rglob("*.py")} | {own}:
        (folder / "__init__.py").touch()  # those of the table are there already
    modules = [
        "moved." + name[:-3].replace("/", ".")
        for name in named_files()
        if not name.endswith("__init__.py")
    ]
    program = (
        "import sys, importlib\n"
        "sys.modules['espnet_ext'] = None\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(own)
