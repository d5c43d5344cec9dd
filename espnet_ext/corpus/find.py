"""Finding files of a release in whatever layout a site unpacked it.

Names are compared without regard to case and links are followed, so disk folders
(``swb1_d1/data``), a flat folder of links, upper-case copies of CD-ROMs and a middle
folder more or less make no difference. Converted copies (WAV, FLAC) are taken where the
original is absent, with both sides in a file or one.
"""

import fnmatch
import os
import re
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, Union

from espnet_ext.errors import MissingInputError

PathLike = Union[str, Path]

# the original first: a converted copy beside it adds nothing
AUDIO_SUFFIXES = (".sph", ".wav", ".flac")
# what text files of the releases are written in where they are not ASCII
OLD_ENCODING = "latin-1"
ONE_SIDE = re.compile(r"^(.*\d)(?:[-_.]?([ab])|[-_.]([12]))$")
SIDE_NAMES = {"a": "A", "b": "B", "1": "A", "2": "B"}


def walk_files(root: PathLike) -> Iterator[Path]:
    """All files below a folder, sorted, links followed, link loops cut.

    Raises:
        MissingInputError: The folder does not exist or is no folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise MissingInputError(
            "corpus folder not found" if not root.exists() else "is not a folder",
            where=root,
            next_step="correct the path in db.sh or on the command line",
        )
    seen = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders.sort()
        for name in sorted(names):
            yield Path(folder) / name


def find_files(root: PathLike, patterns: Iterable[str]) -> List[Path]:
    """Files whose name matches one of the patterns (``*``, ``?``, ``[...]``)."""
    lowered = [pattern.lower() for pattern in patterns]
    return [
        path
        for path in walk_files(root)
        if any(fnmatch.fnmatchcase(path.name.lower(), p) for p in lowered)
    ]


def find_one(root: PathLike, patterns: Iterable[str]) -> Optional[Path]:
    """The first match of the first pattern that has one; None if none has."""
    files = list(walk_files(root))
    for pattern in patterns:
        for path in files:
            if fnmatch.fnmatchcase(path.name.lower(), pattern.lower()):
                return path
    return None


def require_one(root: PathLike, patterns: Iterable[str], what: str) -> Path:
    """Like ``find_one``, but its absence is an error that says what is needed."""
    patterns = list(patterns)
    path = find_one(root, patterns)
    if path is None:
        raise MissingInputError(
            f"{what} not found",
            where=root,
            expected=f"a file {' or '.join(patterns)} somewhere below",
            next_step="correct the path, or unpack the release completely",
        )
    return path


def audio_by_call(
    roots: Iterable[PathLike], name_pattern: str
) -> Tuple[Dict[str, Path], List[Path]]:
    """Audio file of each call or side, and further copies that were left aside.

    Args:
        roots: Folders to search.
        name_pattern: Pattern of the name of a call, for example ``sw0*``.

    Returns:
        Path by lower-case call (``sw02001``), or by side (``sw02001-A``) where a site
        keeps each side in a file of its own (``sw02001-A.wav``, ``sw02001_a.flac``,
        ``sw02001.1.wav``). A file of both sides wins over those of one, the original
        format over a converted copy, then the first path in order.
    """
    found: Dict[str, List[Path]] = {}
    for root in roots:
        names = [name_pattern + end for end in ("", "[ab]", "[-_.][ab12]")]
        patterns = [name + suffix for name in names for suffix in AUDIO_SUFFIXES]
        for path in find_files(root, patterns):
            found.setdefault(_call_or_side(path), []).append(path)
    chosen: Dict[str, Path] = {}
    copies: List[Path] = []
    for key in sorted(found):
        ranked = sorted(
            found[key], key=lambda p: AUDIO_SUFFIXES.index(p.suffix.lower())
        )
        if key[:-2] in found:
            copies += ranked
            continue
        chosen[key] = ranked[0]
        copies += ranked[1:]
    return chosen, copies


def audio_of_side(
    audio: Mapping[str, Path], call: str, side: str
) -> Optional[Tuple[Path, int]]:
    """File and channel that hold a side (A or B) of a call; None if there is none."""
    alone = audio.get(f"{call}-{side}")
    if alone is not None:
        return alone, 0
    both = audio.get(call)
    return None if both is None else (both, ord(side) - ord("A"))


def _call_or_side(path: Path) -> str:
    match = ONE_SIDE.match(path.stem.lower())
    if match is None:
        return path.stem.lower()
    return f"{match[1]}-{SIDE_NAMES[match[2] or match[3]]}"
