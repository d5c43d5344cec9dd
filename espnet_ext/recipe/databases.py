"""Which releases ``db.sh`` names, and so which test sets there can be."""

import dataclasses
import subprocess
from pathlib import Path
from typing import Callable, Dict, List

from espnet_ext.corpus.corpora import RELEASES, SWBD_TRANS
from espnet_ext.errors import FormatError
from espnet_ext.recipe.layout import CORPUS_SETS
from espnet_ext.recipe.options import RecipeOptions

FILE = Path("db.sh")
# what each test set is made from
NEEDED = {
    "hub5e_00": ("eval2000_audio", "eval2000_trans"),
    "hub5e_01": ("hub5e01",),
    "rt03s": ("rt03",),
}
PRINT = '. ./db.sh >&2; for name in "$@"; do printf "%s\\n" "${!name:-}"; done'


def given_roots() -> Dict[str, str]:
    """Folder by release, as ``db.sh`` and the environment have it; empty ones absent.

    Raises:
        FormatError: bash cannot read the file.
    """
    keys = [*RELEASES, SWBD_TRANS]
    names = [key.upper() for key in keys]
    done = subprocess.run(
        ["bash", "-euc", PRINT, "db.sh", *names], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise FormatError(
            f"bash cannot read it: {done.stderr.strip()}",
            where=FILE,
            expected='lines NAME="${NAME:-folder}"',
            next_step="correct it",
        )
    return {key: root for key, root in zip(keys, done.stdout.splitlines()) if root}


def with_owned_tests(
    options: RecipeOptions, say: Callable[[str], None]
) -> RecipeOptions:
    """Without ``--test_sets``: those whose releases are named in ``db.sh``.

    A test set that is not owned is said aloud, and the rest of the recipe works.
    """
    is_ldc = options.corpus in ("", "ldc") and not options.test_sets.strip()
    elsewhere = "--corpus_root" in options.local_data_opts.replace("-root", "_root")
    if not is_ldc or elsewhere or not FILE.exists():
        return options
    roots = given_roots()
    owned: List[str] = []
    for name in CORPUS_SETS["ldc"].tests.split():
        missing = [key for key in NEEDED[name] if key not in roots]
        if missing:
            numbers = ", ".join(RELEASES[key].catalogue for key in missing)
            say(f"test set {name} left out: {numbers} not named in {FILE}")
        else:
            owned.append(name)
    if not owned:  # the data preparation says what to do
        return options
    return dataclasses.replace(options, test_sets=" ".join(owned))
