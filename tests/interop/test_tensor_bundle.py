"""Checkpoints that TensorFlow itself wrote, read without it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from espnet_ext.errors import FormatError, MissingInputError
from espnet_ext.interop.tensor_bundle import masked_crc, read_checkpoint

DATA = Path(__file__).parent / "data"
# as data/make_checkpoint.py writes them
SHAPES = [(), (3,), (2, 3), (1, 2, 2), (0,), (5, 1)]
DTYPES = [np.float32, np.float64, np.int32, np.int64]


@pytest.fixture
def copied(tmp_path):
    for file in DATA.glob("epoch.007.*"):
        shutil.copy(file, tmp_path)
    return tmp_path


@pytest.mark.parametrize("end", ["", ".index", ".data-00000-of-00001"])
def test_every_tensor_has_its_name_type_shape_and_values(end):
    tensors = read_checkpoint(DATA / f"epoch.007{end}")
    assert len(tensors) == 120  # and one of strings, which is no parameter
    for number in range(120):
        name = f"encoder/layers/{number // 10}/part_{number}/weight/param"
        shape, dtype = SHAPES[number % 6], DTYPES[number % 4]
        values = number + np.arange(np.prod(shape)).reshape(shape) / 8
        assert tensors[name].dtype == dtype and tensors[name].shape == shape
        np.testing.assert_array_equal(tensors[name], values.astype(dtype))


def test_the_checksum_is_the_one_of_the_standard():
    """RFC 3720 B.4: CRC-32C of 32 zero bytes is 0x8A9136AA; LevelDB rotates it."""
    crc = 0x8A9136AA
    rotated = ((crc >> 15 | crc << 17) & 0xFFFFFFFF) + 0xA282EAD8
    assert masked_crc(bytes(32)) == rotated & 0xFFFFFFFF


def test_a_missing_data_file_is_named(copied):
    (copied / "epoch.007.data-00000-of-00001").unlink()
    with pytest.raises(MissingInputError, match="epoch.007.data-00000-of-00001"):
        read_checkpoint(copied / "epoch.007")
    with pytest.raises(MissingInputError, match="epoch.008.index"):
        read_checkpoint(copied / "epoch.008")


def test_a_changed_byte_of_the_index_is_noticed(copied):
    index = copied / "epoch.007.index"
    data = bytearray(index.read_bytes())
    data[100] ^= 1
    index.write_bytes(bytes(data))
    with pytest.raises(FormatError, match="epoch.007.index: a block has a wrong check"):
        read_checkpoint(index)


def test_a_short_data_file_names_the_tensor(copied):
    data = copied / "epoch.007.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-100])
    with pytest.raises(FormatError, match="tensor .* has"):
        read_checkpoint(copied / "epoch.007")


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\0" * 48])
def test_a_file_that_is_no_table_is_refused(tmp_path, content):
    (tmp_path / "a.index").write_bytes(content)
    with pytest.raises(FormatError, match="a.index: is no table of tensors"):
        read_checkpoint(tmp_path / "a")
