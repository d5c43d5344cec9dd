"""docs/add-a-variant.md is followed word by word in a copy of the checkout."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared import REPOSITORY

pytestmark = pytest.mark.slow
TEXT = (REPOSITORY / "docs" / "add-a-variant.md").read_text(encoding="utf-8")
NAME = "conformer_ln_pre10_d384_h6_blstmf2_fnoise01"
COPIED = ("espnet_ext", "conf", "docs", "tests", "results")


def blocks(number: int):
    """The code blocks of a numbered section, and the file that its title names."""
    title, section = re.search(
        rf"^## {number}\. (.*?)\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE
    ).groups()
    file = re.search(r"`(\S+\.(?:py|yaml))`", title)
    return re.findall(r"```\w*\n(.*?)```", section, re.DOTALL), file and file[1]


def insert(path: Path, before: str, text: str) -> None:
    """Put text in front of the first line that begins so."""
    content = path.read_text(encoding="utf-8")
    assert before in content
    path.write_text(content.replace(before, text + before, 1), encoding="utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The checkout with sections 1 to 4 carried out."""
    folder = tmp_path_factory.mktemp("variant")
    ignored = shutil.ignore_patterns("__pycache__", "images", "logs")
    for name in COPIED:
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)
    for name in ("README.md", "setup.cfg"):
        shutil.copy(REPOSITORY / name, folder)
    (code,), file = blocks(1)
    (folder / file).write_text(code, encoding="utf-8")
    (import_line, table_line), file = blocks(2)
    insert(folder / file, "    from espnet_ext.train", import_line)
    insert(folder / file, "        (asr.specaug_choices,", table_line)
    (row,), file = blocks(3)
    insert(folder / file, "  specaug:\n    group: augmentation\n", row)
    (test,), file = blocks(4)
    (folder / file).write_text(test, encoding="utf-8")
    return folder


def run(copy: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_command_of_the_page_that_needs_no_training_works(copy):
    (commands,), _ = blocks(5)
    ran = []
    for line in commands.splitlines():
        words = line.split("#")[0].split()
        if words[0] == "python":
            ran.append(run(copy, *words[2:]))
        elif words[0] == "espnet-ext":
            ran.append(run(copy, "espnet_ext", *words[1:]))
        elif words[0] == "pytest":
            ran.append(run(copy, "pytest", "-p", "no:cacheprovider", *words[1:]))
        else:
            assert words[0] == "./run.sh"
    _, shown, difference, own_test, effect = ran
    assert re.search(r"std: 0\.1\b", shown) and "feature_noise" in shown
    assert "fnoise" in difference
    assert "3 passed" in own_test
    assert re.search(r"[1-9] passed", effect)
    page = (copy / "docs" / "switches" / "augmentation.md").read_text()
    assert "fnoise" in page


def test_two_kinds_of_augmentation_in_one_name_are_refused(copy):
    with pytest.raises(AssertionError, match="fnoise01"):
        run(copy, "espnet_ext", "exp", "show", f"{NAME}_specaug")


def test_the_copy_is_in_the_form_that_the_checkout_has(copy):
    (code,), _ = blocks(1)
    (test,), _ = blocks(4)
    for source in (code, test):
        done = subprocess.run(
            [sys.executable, "-m", "black", "--check", "-q", "-"],
            input=source,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0
