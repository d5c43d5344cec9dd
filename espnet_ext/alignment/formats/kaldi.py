"""Kaldi archives of integer vectors: one symbol id a step, as ``ali-to-phones`` has it.

Written and read with omniio, which ESPnet itself uses, and which any program that reads
Kaldi archives understands (``copy-int-vector``, kaldiio).
"""

from pathlib import Path
from typing import Dict

import numpy as np

from espnet_ext.alignment.store import AlignmentSet
from espnet_ext.errors import FormatError, MissingInputError
from espnet_ext.files import PathLike, atomic_path

NAME = "alignment"


def write_kaldi(alignments: AlignmentSet, folder: PathLike) -> Path:
    """Write ``alignment.ark`` and ``alignment.scp``; returns the scp."""
    vectors = {k: x.symbols.astype(np.int32) for k, x in alignments.aligned.items()}
    return write_archive(vectors, folder, NAME)


def write_archive(arrays: Dict[str, np.ndarray], folder: PathLike, name: str) -> Path:
    """Write vectors of int32 or matrices of float32 as ``<name>.ark`` and ``.scp``."""
    from omniio import kaldi

    ark, scp = (Path(folder) / f"{name}.{kind}" for kind in ("ark", "scp"))
    with atomic_path(ark) as new_ark, atomic_path(scp) as new_scp:
        with kaldi.WriteHelper(f"ark,scp:{new_ark},{new_scp}") as writer:
            for key, array in arrays.items():
                writer[key] = array
        # the index was written with the temporary name of the archive
        text = new_scp.read_text(encoding="utf-8").replace(str(new_ark), str(ark))
        new_scp.write_text(text, encoding="utf-8")
    return scp


def read_kaldi(path: PathLike) -> Dict[str, np.ndarray]:
    """Symbols by utterance id, of an .scp or an .ark file.

    Raises:
        MissingInputError: It does not exist.
        FormatError: It does not hold integer vectors.
    """
    from omniio import kaldi

    path = Path(path)
    if not path.exists():
        raise MissingInputError("there is no such archive", where=path)
    kind = "scp" if path.suffix == ".scp" else "ark"
    symbols = {}
    try:
        with kaldi.ReadHelper(f"{kind}:{path}") as reader:
            for key, vector in reader:
                vector = np.asarray(vector)
                if vector.dtype.kind != "i" or vector.ndim != 1:
                    raise FormatError(
                        f"{key} is of type {vector.dtype}, {vector.ndim} axes",
                        where=path,
                        expected="vectors of integers",
                    )
                symbols[key] = vector.astype(np.int32)
    except (kaldi.ReadError, ValueError, UnicodeDecodeError) as error:
        raise FormatError(f"no Kaldi archive: {error}", where=path) from None
    return symbols
