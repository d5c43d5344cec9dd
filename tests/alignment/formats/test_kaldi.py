"""Kaldi archives by the description of the format, and by other programs."""

import struct

import kaldi_native_io
import numpy as np
import pytest
from omniio import kaldi

from espnet_ext.alignment.exchange import export, import_alignments
from espnet_ext.alignment.formats.kaldi import read_kaldi, write_archive
from espnet_ext.errors import FormatError, MissingInputError
from tests.alignment.cases import aligned_set, same

VECTORS = {"a": [0, 7, 7, 0], "bü": [], "c": [12]}
MATRIX = np.random.default_rng(0).random((5, 3)).astype(np.float32)


def kaldiio():
    """Not in the extra ``test``: its licence is for evaluation, each chooses it."""
    return pytest.importorskip(
        "kaldiio", reason="kaldiio (extra kaldi) is not installed: not compared"
    )


def int_vector(values):
    """Kaldi's binary int vector, by its description."""
    body = b"".join(b"\4" + struct.pack("<i", value) for value in values)
    return b"\0B\4" + struct.pack("<i", len(values)) + body


def int_vectors(path):
    """The reverse for a whole archive, byte by byte."""
    data, place, found = path.read_bytes(), 0, {}
    while place < len(data):
        space = data.index(b" ", place)
        key = data[place:space].decode()
        assert data[space + 1 : space + 4] == b"\0B\4"
        (count,) = struct.unpack_from("<i", data, space + 4)
        place = space + 8
        values = []
        for _ in range(count):
            assert data[place] == 4
            values += struct.unpack_from("<i", data, place + 1)
            place += 5
        found[key] = values
    return found


def as_lists(vectors):
    return {key: vector.tolist() for key, vector in vectors.items()}


@pytest.mark.parametrize("name", ["plain", "a, b c|"])
def test_the_archive_is_kaldis_format_wherever_it_lies(tmp_path, name):
    made, folder = aligned_set(), tmp_path / name
    export(made, folder, ["kaldi"])
    expected = {key: entry.symbols.tolist() for key, entry in made.aligned.items()}
    assert int_vectors(folder / "alignment.ark") == expected
    scp = (folder / "alignment.scp").read_text(encoding="utf-8").splitlines()
    data = (folder / "alignment.ark").read_bytes()
    for line, key in zip(scp, expected, strict=True):
        name, place = line.split(" ", 1)
        file, offset = place.rsplit(":", 1)
        assert name == key and file == str(folder / "alignment.ark")
        assert data[int(offset) :].startswith(int_vector(expected[key]))
    assert same(import_alignments(folder / "alignment.scp", made.info), made, False)


def test_posteriors_are_kaldis_float_matrices(tmp_path):
    write_archive({"a": MATRIX}, tmp_path, "posteriors")
    head = b"a \0BFM \4" + struct.pack("<i", 5) + b"\4" + struct.pack("<i", 3)
    written = (tmp_path / "posteriors.ark").read_bytes()
    assert written == head + MATRIX.astype("<f4").tobytes()


def test_binary_and_text_archives_of_kaldi_are_read(tmp_path):
    """``copy-int-vector ark:A ark,t:-`` writes no brackets; other programs do."""
    (tmp_path / "b.ark").write_bytes(
        b"".join(f"{k} ".encode() + int_vector(v) for k, v in VECTORS.items())
    )
    plain = "".join(f"{k} {''.join(f'{x} ' for x in v)}\n" for k, v in VECTORS.items())
    (tmp_path / "t.ark").write_text(plain, encoding="utf-8")
    other = "".join(f"{k}  [ {' '.join(map(str, v))} ]\n" for k, v in VECTORS.items())
    (tmp_path / "o.ark").write_text(other, encoding="utf-8")
    lines, offset = [], 0
    for line, key in zip(plain.splitlines(), VECTORS):
        lines.append(f"{key} {tmp_path}/t.ark:{offset + len(f'{key} '.encode())}\n")
        offset += len(f"{line}\n".encode())
    (tmp_path / "t.scp").write_text("".join(lines), encoding="utf-8")
    for name in ("b.ark", "t.ark", "o.ark", "t.scp"):
        assert as_lists(read_kaldi(tmp_path / name)) == VECTORS, name


def test_a_command_in_an_index_is_refused_and_never_run(tmp_path):
    trace = tmp_path / "ran"
    (tmp_path / "a.scp").write_text(f"a touch {trace} |\n", encoding="utf-8")
    with pytest.raises(FormatError, match="line 1.*\n.*no commands"):
        read_kaldi(tmp_path / "a.scp")
    assert not trace.exists()


@pytest.mark.parametrize(
    "content, message",
    [
        (b"a \0BFM \4\1\0\0\0\4\1\0\0\0\0\0\0\0", "float32, 2 axes"),
        (b"a 1 2.5\n", "a cannot be read"),
        (b"a \0B\4\5\0\0\0\4\1", "a cannot be read"),
        (b"<html>", "not followed by a vector"),
        (b"a 99999999999\n", "a cannot be read"),
    ],
)
def test_other_contents_are_named(tmp_path, content, message):
    (tmp_path / "x.ark").write_bytes(content)
    with pytest.raises(FormatError, match=message):
        read_kaldi(tmp_path / "x.ark")


def test_an_index_of_a_lost_archive_or_with_a_range_says_its_line(tmp_path):
    index = tmp_path / "x.scp"
    index.write_text(f"\na {tmp_path}/lost.ark:2\n", encoding="utf-8")
    with pytest.raises(MissingInputError, match="x.scp line 2: .*lost.ark: No such"):
        read_kaldi(index)
    index.write_text(f"a {tmp_path}/x.ark:2[0:3]\n", encoding="utf-8")
    with pytest.raises(FormatError, match="no ranges"):
        read_kaldi(index)


def test_kaldis_own_code_reads_our_alignments_and_posteriors(tmp_path):
    """kaldi_native_io wraps the C++ readers of Kaldi itself."""
    made = aligned_set()
    export(made, tmp_path, ["kaldi"])
    wanted = {key: entry.symbols.tolist() for key, entry in made.aligned.items()}
    for kind in ("ark", "scp"):
        source = f"{kind}:{tmp_path}/alignment.{kind}"
        with kaldi_native_io.SequentialInt32VectorReader(source) as reader:
            assert {key: list(symbols) for key, symbols in reader} == wanted, kind
    scp = write_archive({"a": MATRIX}, tmp_path, "posteriors")
    with kaldi_native_io.RandomAccessFloatMatrixReader(f"scp:{scp}") as matrices:
        assert np.array_equal(matrices["a"], MATRIX)


@pytest.mark.parametrize("kind", ["ark", "ark,t"])
def test_what_kaldis_own_code_writes_is_read(tmp_path, kind):
    ark, scp = tmp_path / "k.ark", tmp_path / "k.scp"
    kind = kind.replace("ark", "ark,scp")
    with kaldi_native_io.Int32VectorWriter(f"{kind}:{ark},{scp}") as writer:
        for key, values in VECTORS.items():
            writer[key] = values
    assert as_lists(read_kaldi(ark)) == as_lists(read_kaldi(scp)) == VECTORS


def test_kaldiio_reads_our_alignments_and_posteriors(tmp_path):
    made = aligned_set()
    export(made, tmp_path, ["kaldi"])
    read = kaldiio().load_scp(str(tmp_path / "alignment.scp"))
    assert set(read) == set(made.aligned)
    for key, entry in made.aligned.items():
        assert read[key].tolist() == entry.symbols.tolist()
    scp = write_archive({"a": MATRIX}, tmp_path, "posteriors")
    assert np.array_equal(kaldiio().load_scp(str(scp))["a"], MATRIX)
    place = scp.read_text(encoding="utf-8").split(maxsplit=1)[1].strip()
    part = kaldiio().load_mat(f"{place}[1:3]")
    assert np.array_equal(part, MATRIX[1:4])  # Kaldi counts the last row


@pytest.mark.parametrize("kind", ["ark", "ark,t"])
def test_what_kaldiio_writes_is_read(tmp_path, kind):
    module, ark, scp = kaldiio(), tmp_path / "k.ark", tmp_path / "k.scp"
    kind = kind.replace("ark", "ark,scp")
    with module.WriteHelper(f"{kind}:{ark},{scp}") as writer:
        for key, values in VECTORS.items():
            if values:
                writer[key] = np.array(values, dtype=np.int32)
    wanted = {key: values for key, values in VECTORS.items() if values}
    assert as_lists(read_kaldi(ark)) == as_lists(read_kaldi(scp)) == wanted


@pytest.mark.parametrize("method", range(1, 8))
def test_compressed_posteriors_mean_the_same_to_kaldiio_and_omniio(tmp_path, method):
    module, ours, theirs = kaldiio(), tmp_path / "o.ark", tmp_path / "k.ark"
    kaldi.save_ark(str(ours), {"a": MATRIX}, compression_method=method)
    module.save_ark(str(theirs), {"a": MATRIX}, compression_method=method)
    for path in (ours, theirs):
        left, right = dict(kaldi.load_ark(str(path))), dict(module.load_ark(str(path)))
        np.testing.assert_allclose(left["a"], right["a"], atol=1e-6)
