"""One function to export alignments in any format, and one to read them back."""

import re
from pathlib import Path
from typing import Dict, Iterable, List, Mapping, Optional, Sequence

import numpy as np

from espnet_ext.alignment.formats import ctm, hdf5, kaldi, textgrid
from espnet_ext.alignment.paths import labels_of, walk
from espnet_ext.alignment.store import Aligned, AlignmentInfo, AlignmentSet
from espnet_ext.errors import FormatError, OptionError
from espnet_ext.files import PathLike, atomic_write
from espnet_ext.names import nearest

KALDI, CTM, TEXTGRID, HDF5 = FORMATS = ("kaldi", "ctm", "textgrid", "hdf5")
UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def export(
    alignments: AlignmentSet,
    folder: PathLike,
    formats: Iterable[str],
    spoken: Optional[Mapping[str, Sequence[str]]] = None,
) -> List[Path]:
    """Write alignments into a folder; returns the files (or folder) made.

    ``alignment.ark`` and ``.scp``; ``labels.ctm`` and ``words.ctm``;
    ``textgrid/UTTERANCE.TextGrid``; ``alignment.hdf5``.

    Raises:
        OptionError: Unknown format.
        ToolMissingError: A package that it needs is not installed.
    """
    folder, made = Path(folder), []
    for name in check_formats(formats):
        if name == KALDI:
            made.append(kaldi.write_kaldi(alignments, folder))
        elif name == CTM:
            made += [folder / "labels.ctm", folder / "words.ctm"]
            ctm.write_label_ctm(alignments, made[-2])
            ctm.write_word_ctm(alignments, made[-1], spoken)
        elif name == TEXTGRID:
            made.append(folder / "textgrid")
            _write_textgrids(alignments, made[-1], spoken or {})
        else:
            made.append(folder / "alignment.hdf5")
            hdf5.write_hdf5(alignments, made[-1])
    return made


def check_formats(formats: Iterable[str]) -> List[str]:
    """The names, if all can be written; asked before hours of aligning.

    Raises:
        OptionError: Unknown format.
        ToolMissingError: A package that it needs is not installed.
    """
    names = list(formats)
    for name in names:
        if name not in FORMATS:
            near = nearest(name, FORMATS)
            raise OptionError(
                f"unknown format {name!r}",
                where="--formats",
                expected=", ".join(FORMATS),
                next_step=f"did you mean {near!r}?" if near else None,
            )
        if name == HDF5:
            hdf5.require_h5py()
    return names


def _write_textgrids(alignments: AlignmentSet, folder: Path, spoken) -> None:
    names = {key: _file_name(key) for key in alignments.aligned}
    if len(set(names.values())) != len(names):
        raise FormatError("two utterance ids give the same file name", where=folder)
    for key, entry in alignments.aligned.items():
        path = folder / names[key]
        textgrid.write_textgrid(entry, alignments.info, path, spoken.get(key))
    with atomic_write(folder / "utterances") as file:
        file.writelines(f"{key} {name}\n" for key, name in names.items())


def _file_name(key: str) -> str:
    return UNSAFE.sub("_", key) + ".TextGrid"


def read_symbols(path: PathLike, info: AlignmentInfo) -> Dict[str, np.ndarray]:
    """Symbols by utterance id of a file that ``export`` made, told by its name.

    Raises:
        OptionError: The name says no known format.
        FormatError: The content does not fit.
    """
    path = Path(path)
    if path.is_dir():
        files = {file.stem: file for file in sorted(path.glob("*.TextGrid"))}
        if (path / "utterances").exists():
            rows = (path / "utterances").read_text(encoding="utf-8").splitlines()
            files = {k: path / name for k, name in (row.split(" ", 1) for row in rows)}
        return {k: textgrid.read_textgrid(f, info) for k, f in files.items()}
    suffix = path.suffix.lower()
    if suffix in (".ark", ".scp"):
        return kaldi.read_kaldi(path)
    if suffix in (".hdf5", ".hdf", ".h5"):
        return hdf5.read_hdf5(path)
    if suffix == ".ctm":
        return ctm.read_label_ctm(path, info)
    if suffix == ".textgrid":
        return {path.stem: textgrid.read_textgrid(path, info)}
    raise OptionError(
        f"{path.name} is of no known format",
        expected=".ark, .scp, .ctm, .hdf5, .TextGrid or a folder of these",
    )


def import_alignments(
    path: PathLike,
    info: AlignmentInfo,
    labels: Optional[Mapping[str, Sequence[int]]] = None,
) -> AlignmentSet:
    """Alignments of a file, checked: each has to be one of its labels.

    Args:
        path: As ``read_symbols``.
        info: Tokens, topology and frame shift; the scores are not known (nan).
        labels: Label ids of the utterances; where they are not given, they are what
            the symbols stand for.

    Raises:
        FormatError: An id is no token, or the symbols are no alignment of the labels;
            the utterance is named.
    """
    made = AlignmentSet(info)
    for key, symbols in read_symbols(path, info).items():
        try:
            made.aligned[key] = _checked(symbols, info, (labels or {}).get(key))
        except FormatError as error:
            raise FormatError(f"{key}: {error.found}", where=path) from None
    return made


def _checked(symbols: np.ndarray, info: AlignmentInfo, labels) -> Aligned:
    outside = symbols[(symbols < 0) | (symbols >= len(info.tokens))]
    if len(outside):
        raise FormatError(f"symbol {outside[0]} of {len(info.tokens)} tokens")
    values = symbols.tolist()
    if labels is None:
        labels = labels_of(values, info.rules, info.blank)
    labels = [int(label) for label in labels]
    takes_frame = info.rules.label_takes_frame
    frames = len(values) if takes_frame else len(values) - len(labels)
    walk(values, labels, frames, info.rules, info.blank)
    return Aligned(symbols, np.array(labels, dtype=np.int32), frames)
