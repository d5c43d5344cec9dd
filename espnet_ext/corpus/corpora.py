"""The LDC releases of the recipe: what each is for, and where it lies at a site."""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Tuple

from espnet_ext.corpus import fisher, hub5, rt03, swbd
from espnet_ext.corpus.eval_set import EvalFiles
from espnet_ext.corpus.find import find_one
from espnet_ext.errors import MissingInputError, OptionError
from espnet_ext.names import nearest


@dataclass(frozen=True)
class Release:
    """One root folder: catalogue number (its folder name) and use."""

    catalogue: str
    purpose: str


RELEASES: Dict[str, Release] = {
    "swbd": Release("LDC97S62", "Switchboard-1: the sets train and dev"),
    "eval2000_audio": Release("LDC2002S09", "audio of the set hub5e_00"),
    "eval2000_trans": Release("LDC2002T43", "references and GLM of the set hub5e_00"),
    "hub5e01": Release("LDC2002S13", "the set hub5e_01"),
    "rt03": Release("LDC2007S10", "the set rt03s"),
    "fisher1": Release("LDC2004T19", "Fisher part 1: text for language models"),
    "fisher2": Release("LDC2005T19", "Fisher part 2: text for language models"),
}
# how deep the folder of a release may lie below a common root
SEARCHED_LEVELS = 2
# not a release: MS98 transcripts kept apart from the audio
SWBD_TRANS = "swbd_trans"


@dataclass(frozen=True)
class Sources:
    """The files that were found; None or empty where a release is not given."""

    switchboard: Optional[swbd.SwitchboardFiles]
    eval_sets: Tuple[EvalFiles, ...]
    fisher: Dict[str, Path]

    def audio(self) -> List[Path]:
        """Every audio file once."""
        calls = dict(self.switchboard.audio) if self.switchboard else {}
        paths = list(calls.values())
        for eval_set in self.eval_sets:
            paths += eval_set.audio.values()
        return sorted(set(paths))

    def warnings(self, roots: Mapping[str, Path]) -> List[str]:
        """What is given in part only."""
        found = []
        halves = {"eval2000_audio", "eval2000_trans"}.intersection(roots)
        if len(halves) == 1:
            found.append(
                f"hub5e_00 needs audio and transcripts, only {halves.pop()} is given"
            )
        for eval_files in self.eval_sets:
            if eval_files.glm is None:
                found.append(
                    f"{eval_files.name}: no GLM found; sclite scoring needs one"
                )
        return found


def roots_below(root: Path) -> Dict[str, Path]:
    """Releases in a folder by the catalogue number in their names, in any case.

    ``LDC97S62``, ``ldc97s62`` and ``1997/swbd1_LDC97S62`` are all found.

    Raises:
        MissingInputError: The folder does not exist or holds none of them.
    """
    root = Path(root)
    if not root.is_dir():
        raise MissingInputError(
            "corpus folder not found",
            where=root,
            next_step="build or copy the corpus first, or correct the path",
        )
    found = {}
    for folder in _folders(root, SEARCHED_LEVELS):
        for key, release in RELEASES.items():
            # the number may have company (swbd1_LDC97S62), but no further digits
            if re.search(rf"{release.catalogue}(?!\d)", folder.name, re.IGNORECASE):
                found.setdefault(key, folder)
    if not found:
        raise MissingInputError(
            "holds none of the releases",
            where=root,
            expected="folders " + ", ".join(r.catalogue for r in RELEASES.values()),
            next_step="give each release its own option (--swbd DIR, ...)",
        )
    return found


def _folders(root: Path, levels: int) -> Iterator[Path]:
    """Folders below, the upper levels first, each level sorted."""
    below = [root]
    for _ in range(levels):
        above, below = below, []
        for folder in above:
            with contextlib.suppress(PermissionError):  # lost+found and its like
                below += sorted(f for f in folder.iterdir() if f.is_dir())
        yield from below


def missing_releases(roots: Dict[str, Path]) -> List[str]:
    """One line for each release that is not given: its name and what it is for."""
    return [
        f"{release.catalogue} not given ({release.purpose})"
        for key, release in RELEASES.items()
        if key not in roots
    ]


def locate(roots: Dict[str, Path]) -> Sources:
    """Find the files of every release that is given.

    Args:
        roots: Folder by key of RELEASES, and optionally ``swbd_trans``.

    Raises:
        OptionError: An unknown key.
        MissingInputError: A folder that is given does not hold its release.
    """
    for key, folder in roots.items():
        if key not in RELEASES and key != SWBD_TRANS:
            raise OptionError(
                f"unknown corpus {key!r}",
                expected=", ".join(RELEASES),
                next_step=f"did you mean {nearest(key, RELEASES) or 'swbd'}?",
            )
        require_folder(key, folder)
    switchboard = None
    if "swbd" in roots:
        switchboard = swbd.find_switchboard(roots["swbd"], roots.get(SWBD_TRANS))
    eval_sets = []
    if "eval2000_audio" in roots and "eval2000_trans" in roots:
        eval_sets.append(
            hub5.find_hub5e_00(roots["eval2000_audio"], roots["eval2000_trans"])
        )
    if "hub5e01" in roots:
        eval_sets.append(hub5.find_hub5e_01(roots["hub5e01"], hub5_glm(roots)))
    if "rt03" in roots:
        eval_sets.append(rt03.find_rt03(roots["rt03"]))
    parts = [roots[key] for key in ("fisher1", "fisher2") if key in roots]
    return Sources(switchboard, tuple(eval_sets), fisher.find_transcripts(parts))


def require_folder(key: str, folder: Path) -> None:
    """Raise a MissingInputError if the folder of a release is not there."""
    if not Path(folder).is_dir():
        name = RELEASES[key].catalogue if key in RELEASES else "MS98"
        raise MissingInputError(
            f"folder of {name} not found",
            where=folder,
            next_step=f"correct {key.upper()} in db.sh, or leave it empty",
        )


def hub5_glm(roots: Mapping[str, Path]) -> Optional[Path]:
    """GLM for hub5e_01, which has none: of hub5e_00, else of RT-03."""
    for key, pattern in (("eval2000_trans", "*hub5*.glm"), ("rt03", "en2003*.glm")):
        glm = find_one(roots[key], [pattern]) if key in roots else None
        if glm is not None:
            return glm
    return None
