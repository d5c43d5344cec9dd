"""HDF5 files: what is exported comes back, in the layout that RETURNN reads."""

import h5py
import numpy as np
import pytest

from espnet_ext.alignment.exchange import export, import_alignments
from espnet_ext.errors import FormatError, MissingInputError
from tests.alignment.cases import TOKENS, aligned_set, same
from tests.asr.loss.paths import TOPOLOGY_NAMES


def exported(made, folder):
    export(made, folder, ["hdf5"])
    return folder / "alignment.hdf5"


@pytest.mark.parametrize("name", TOPOLOGY_NAMES)
def test_import_gives_back_what_was_exported(tmp_path, name):
    made = aligned_set(name)
    labels = {key: entry.labels.tolist() for key, entry in made.aligned.items()}
    back = import_alignments(exported(made, tmp_path), made.info, labels)
    assert len(made.aligned) > 2 and same(made, back, scores=False)


def test_the_layout_is_that_of_returnns_sparse_data(tmp_path):
    """As SimpleHDFWriter writes it with dim=V and ndim=1."""
    made = aligned_set()
    with h5py.File(exported(made, tmp_path), "r") as file:
        joined = np.concatenate([x.symbols for x in made.aligned.values()])
        assert file["inputs"].dtype == np.int32
        assert np.array_equal(file["inputs"][:], joined)
        assert file.attrs["numTimesteps"] == len(joined)
        assert file.attrs["numSeqs"] == len(made.aligned)
        assert file.attrs["numDims"] == 1
        assert file.attrs["inputPattSize"] == file.attrs["numLabels"] == len(TOKENS)
        assert file["labels"].asstr()[:].tolist() == list(TOKENS)
        assert file["seqTags"].asstr()[:].tolist() == list(made.aligned)
        counts = file["seqLengths"][:, 0].tolist()
        assert counts == [entry.frames for entry in made.aligned.values()]


def test_no_alignment_at_all_is_a_file_too(tmp_path):
    made = aligned_set()
    made.aligned.clear()
    assert import_alignments(exported(made, tmp_path), made.info).aligned == {}


def test_other_files_are_named(tmp_path):
    made = aligned_set()
    with pytest.raises(MissingInputError, match="no.hdf5"):
        import_alignments(tmp_path / "no.hdf5", made.info)
    (tmp_path / "text.hdf5").write_text("hello", encoding="utf-8")
    with pytest.raises(FormatError, match="text.hdf5: no alignment in HDF5"):
        import_alignments(tmp_path / "text.hdf5", made.info)
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["x"] = [1, 2]
    with pytest.raises(FormatError, match="no alignment in HDF5"):
        import_alignments(tmp_path / "other.hdf5", made.info)
