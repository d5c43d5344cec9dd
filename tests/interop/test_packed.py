"""Archives are checked before anything is unpacked."""

import stat
import zipfile

import pytest

from espnet_ext.errors import FormatError
from espnet_ext.interop import packed


def archive(path, name="model.pth", attributes=0, content=b"x"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        info = zipfile.ZipInfo(name)
        info.external_attr = attributes << 16
        file.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "..\\evil"])
def test_members_outside_the_folder_are_refused(tmp_path, name):
    with pytest.raises(FormatError, match="leaves the folder"):
        packed.check_archive(archive(tmp_path / "m.zip", name))


def test_links_are_refused(tmp_path):
    link = archive(tmp_path / "m.zip", attributes=stat.S_IFLNK | 0o777)
    with pytest.raises(FormatError, match="is a link"):
        packed.check_archive(link)


def test_a_bomb_is_refused_without_unpacking_it(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "MAX_UNPACKED_BYTES", 1000)
    bomb = archive(tmp_path / "m.zip", content=b"0" * 100_000)
    assert bomb.stat().st_size < 1000
    with pytest.raises(FormatError, match="would unpack to"):
        packed.check_archive(bomb)


def test_a_bomb_of_modest_size_is_refused_by_its_ratio(tmp_path):
    bomb = archive(tmp_path / "m.zip", content=b"0" * 4_000_000)
    with pytest.raises(FormatError, match="times its size"):
        packed.check_archive(bomb)


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO])
def test_devices_and_pipes_are_refused(kind, tmp_path):
    device = archive(tmp_path / "m.zip", attributes=kind | 0o666)
    with pytest.raises(FormatError, match="neither a file nor a folder"):
        packed.check_archive(device)


def test_a_name_that_is_there_twice_is_refused(tmp_path):
    path = archive(tmp_path / "m.zip")
    with pytest.warns(UserWarning), zipfile.ZipFile(path, "a") as file:
        file.writestr("model.pth", b"y")
    with pytest.raises(FormatError, match="is there twice"):
        packed.check_archive(path)


def test_an_archive_without_meta_is_no_packed_model(tmp_path):
    with pytest.raises(FormatError, match="is no packed model"):
        packed.unpack_archive(archive(tmp_path / "m.zip"), tmp_path / "out")


def test_a_file_that_is_no_archive_is_named(tmp_path):
    (tmp_path / "m.zip").write_text("hello")
    with pytest.raises(FormatError, match="m.zip: cannot be read as a packed model"):
        packed.unpack_model(str(tmp_path / "m.zip"))


def test_a_plain_archive_passes(tmp_path):
    packed.check_archive(archive(tmp_path / "m.zip", "exp/model.pth"))
