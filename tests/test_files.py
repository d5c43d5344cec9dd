"""Files appear whole or not at all, whatever interrupts the writing."""

import errno
import os
import stat
import threading

import pytest

from espnet_ext.errors import (
    DiskFullError,
    FormatError,
    MissingInputError,
    OutputError,
)
from espnet_ext.files import atomic_path, atomic_write, read_lines


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_text_arrives_as_utf8_with_newlines_untouched(tmp_path):
    with atomic_write(tmp_path / "a.txt") as file:
        file.write("grün\n")
    assert (tmp_path / "a.txt").read_bytes() == b"gr\xc3\xbcn\n"


def test_folders_of_the_target_are_made(tmp_path):
    with atomic_write(tmp_path / "x" / "y" / "a.txt") as file:
        file.write("1\n")
    assert (tmp_path / "x" / "y" / "a.txt").read_text() == "1\n"


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_write_keeps_the_old_file_and_leaves_no_rest(
    tmp_path, interruption
):
    target = tmp_path / "a.txt"
    target.write_text("old\n")
    with pytest.raises(interruption):
        with atomic_write(target) as file:
            file.write("half")
            raise interruption()
    assert target.read_text() == "old\n"
    assert names(tmp_path) == ["a.txt"]


def test_the_target_is_not_visible_before_it_is_complete(tmp_path):
    target = tmp_path / "a.txt"
    with atomic_write(target) as file:
        file.write("1\n")
        file.flush()
        assert not target.exists()
    assert target.exists()


def test_the_temporary_file_is_hidden_beside_the_target_with_its_suffix(tmp_path):
    with atomic_path(tmp_path / "curve.png") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".png"
        assert temporary.name.startswith(".")
        temporary.write_bytes(b"1")


def test_a_writer_may_replace_the_temporary_file(tmp_path):
    with atomic_path(tmp_path / "a.bin") as temporary:
        temporary.unlink()
        temporary.write_bytes(b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"new"


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_permissions_are_those_of_any_new_file(tmp_path, umask):
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "atomic") as file:
            file.write("1")
        (tmp_path / "plain").write_text("1")
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o666 & ~umask}


def test_concurrent_writers_leave_one_whole_file(tmp_path):
    target = tmp_path / "a.txt"

    def write(digit):
        with atomic_write(target) as file:
            file.write(digit * 10_000)

    threads = [threading.Thread(target=write, args=(digit,)) for digit in "01234567"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = target.read_text()
    assert len(text) == 10_000 and len(set(text)) == 1
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_user_error_naming_the_target(tmp_path, number):
    target = tmp_path / "a.txt"
    with pytest.raises(DiskFullError, match="a.txt.*no space left") as caught:
        with atomic_write(target):
            raise OSError(number, os.strerror(number))
    assert "free some space" in str(caught.value)
    assert names(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_device_that_is_really_full_is_recognised(tmp_path):
    with pytest.raises(DiskFullError):
        with atomic_path(tmp_path / "a.txt"):
            with open("/dev/full", "w") as full:
                full.write("1")


def test_other_system_errors_are_not_called_a_full_disk(tmp_path):
    with pytest.raises(OSError) as caught:
        with atomic_write(tmp_path / "a.txt"):
            raise OSError(errno.EIO, "input/output error")
    assert not isinstance(caught.value, DiskFullError)


def test_a_target_whose_folder_is_a_file_is_a_user_error(tmp_path):
    (tmp_path / "exp").write_text("")
    with pytest.raises(OutputError, match="exp"):
        with atomic_write(tmp_path / "exp" / "a.txt"):
            pass


def test_a_target_that_is_a_folder_is_a_user_error_and_leaves_no_rest(tmp_path):
    (tmp_path / "exp").mkdir()
    with pytest.raises(OutputError, match="exp"):
        with atomic_write(tmp_path / "exp"):
            pass
    assert names(tmp_path) == ["exp"]


def test_an_error_of_the_block_is_not_blamed_on_the_target(tmp_path):
    with pytest.raises(PermissionError):
        with atomic_write(tmp_path / "a.txt"):
            raise PermissionError(errno.EACCES, "about another file")


def test_lines_are_read_without_line_ends_and_byte_order_mark(tmp_path):
    (tmp_path / "a").write_bytes("\ufeffeins\r\nzwei\ndrei".encode())
    assert read_lines(tmp_path / "a") == ["eins", "zwei", "drei"]


def test_only_newlines_end_a_line(tmp_path):
    """Unicode knows more line separators, which occur inside transcripts."""
    text = "a\u2028b\x0cc\x85d\nnext\n"
    (tmp_path / "a").write_bytes(text.encode())
    assert read_lines(tmp_path / "a") == ["a\u2028b\x0cc\x85d", "next"]


def test_an_empty_file_has_no_lines_and_empty_lines_are_kept(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "gaps").write_bytes(b"a\n\nb\n\n")
    assert read_lines(tmp_path / "empty") == []
    assert read_lines(tmp_path / "gaps") == ["a", "", "b", ""]


def test_a_missing_file_is_a_user_error_naming_it(tmp_path):
    with pytest.raises(MissingInputError, match="nowhere"):
        read_lines(tmp_path / "nowhere")


def test_a_folder_in_place_of_a_file_is_a_user_error(tmp_path):
    with pytest.raises(FormatError, match="folder"):
        read_lines(tmp_path)


def test_text_that_is_not_utf8_is_a_user_error_naming_the_byte(tmp_path):
    (tmp_path / "a").write_bytes(b"ab\xff")
    with pytest.raises(FormatError, match="byte 2"):
        read_lines(tmp_path / "a")
