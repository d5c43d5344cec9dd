"""Stamps: a finished stage is not repeated while its inputs and outputs are unchanged.

A stamp holds the settings and a digest of names, sizes and modification times. Files
are not read, so that 25,000 of them are compared in well under a second.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Union

from espnet_ext.files import atomic_write

PathLike = Union[str, Path]


def files_digest(paths: Iterable[PathLike]) -> str:
    """Digest of names, sizes and modification times; absent files count as such."""
    digest = hashlib.sha256()
    for path in sorted({str(path) for path in paths}):
        try:
            status = os.stat(path)
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        except FileNotFoundError:
            digest.update(f"{path}\0absent\n".encode())
    return digest.hexdigest()


def files_below(folders: Iterable[PathLike]) -> List[Path]:
    """The files of output folders (and files given as such)."""
    files = []
    for folder in map(Path, folders):
        files += sorted(folder.iterdir()) if folder.is_dir() else [folder]
    return files


class Stamp:
    """What one stage was made from and made.

    Args:
        path: Where the stamp is kept.
        settings: Anything that JSON holds; a changed value repeats the stage.
        inputs: Files that the stage reads.
    """

    def __init__(
        self, path: PathLike, settings: Dict[str, Any], inputs: Iterable[PathLike]
    ):
        self.path = Path(path)
        self.now = {
            "settings": json.loads(json.dumps(settings)),
            "inputs": files_digest(inputs),
        }

    def reason_to_run(self, outputs: Iterable[PathLike]) -> Optional[str]:
        """Why the stage must run; None if it is up to date."""
        before = self._load()
        if before is None:
            return "not done yet"
        changed = [
            key
            for key in {**before["settings"], **self.now["settings"]}
            if before["settings"].get(key) != self.now["settings"].get(key)
        ]
        if changed:
            return f"changed setting: {', '.join(sorted(changed))}"
        if before["inputs"] != self.now["inputs"]:
            return "changed input files"
        if before["outputs"] != files_digest(files_below(outputs)):
            return "changed or missing results"
        return None

    def write(self, outputs: Iterable[PathLike], result: Any = None) -> None:
        """Note that the stage is done; ``result`` is kept for the next summary."""
        content = {
            **self.now,
            "outputs": files_digest(files_below(outputs)),
            "result": result,
        }
        with atomic_write(self.path) as file:
            json.dump(content, file, indent=1, sort_keys=True)
            file.write("\n")

    def result(self) -> Any:
        """What the finished stage stored."""
        before = self._load()
        return None if before is None else before["result"]

    def _load(self) -> Optional[Dict[str, Any]]:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            return content if "outputs" in content else None
        except (FileNotFoundError, ValueError):
            return None
