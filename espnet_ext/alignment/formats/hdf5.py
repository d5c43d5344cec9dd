"""HDF5 files as RETURNN's HDFDataset reads them: alignments as targets of training.

All sequences joined in ``inputs``, with ``seqLengths`` and ``seqTags``; the tokens are
in ``labels``. Needs h5py (extra ``hdf5``).

Ref: RETURNN, datasets/hdf.py, SimpleHDFWriter (layout of sparse data of one axis).
"""

from typing import Dict

import numpy as np

from espnet_ext.alignment.store import AlignmentSet
from espnet_ext.errors import FormatError, MissingInputError, ToolMissingError
from espnet_ext.files import PathLike, atomic_path


def require_h5py():
    """The package h5py.

    Raises:
        ToolMissingError: It is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise ToolMissingError(
            "HDF5 needs the package h5py",
            next_step="pip install -c constraints.txt -e '.[hdf5]', or choose another "
            "format",
        ) from None
    return h5py


def write_hdf5(alignments: AlignmentSet, path: PathLike) -> None:
    """Write all alignments.

    Raises:
        ToolMissingError: h5py is not installed.
    """
    h5py = require_h5py()
    entries = alignments.aligned
    tokens = alignments.info.tokens
    symbols = [entry.symbols for entry in entries.values()]
    joined = np.concatenate([np.zeros(0, np.int32), *symbols]).astype(np.int32)
    text = h5py.string_dtype("utf-8")
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["inputPattSize"] = file.attrs["numLabels"] = len(tokens)
        file.attrs["numDims"] = 1
        file.attrs["numSeqs"] = len(symbols)
        file.attrs["numTimesteps"] = len(joined)
        file.attrs["alignment"] = alignments.info.to_json()
        file["inputs"] = joined
        lengths = np.array([[len(x)] for x in symbols], np.int32).reshape(-1, 1)
        file["seqLengths"] = lengths
        file.create_dataset("seqTags", data=list(entries), dtype=text)
        file.create_dataset("labels", data=list(tokens), dtype=text)


def read_hdf5(path: PathLike) -> Dict[str, np.ndarray]:
    """Symbols by utterance id.

    Raises:
        ToolMissingError: h5py is not installed.
        MissingInputError, FormatError: The file is not there, or another kind.
    """
    h5py = require_h5py()
    try:
        with h5py.File(path, "r") as file:
            joined = file["inputs"][:]
            counts = file["seqLengths"][:, 0]
            tags = file["seqTags"].asstr()[:].tolist()
    except FileNotFoundError:
        raise MissingInputError("there is no such file", where=path) from None
    except (OSError, KeyError) as error:
        raise FormatError(f"no alignment in HDF5: {error}", where=path) from None
    if joined.ndim != 1 or counts.sum() != len(joined):
        raise FormatError("not a row of symbols for each sequence", where=path)
    parts = np.split(joined.astype(np.int32), np.cumsum(counts)[:-1])
    return dict(zip(tags, parts))
