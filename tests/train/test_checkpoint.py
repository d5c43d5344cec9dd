"""Checkpoints are whole, or known not to be; whatever happens while one is written."""

import errno
import os
import random
import resource
import signal
import time

import pytest
import torch

from espnet_ext.errors import CheckpointError, DiskFullError
from espnet_ext.train import checkpoint
from espnet_ext.train.checkpoint import CheckpointStore, canonical, damage
from tests.train.tiny_training import Child, assert_same_result, train, words


def content(number: int, size: int = 1000):
    """Content that is consistent in itself: every value is ``number``."""
    return {
        "number": number,
        "tensor": torch.full((size,), float(number)),
        "nested": [{"half": torch.full((3,), number, dtype=torch.bfloat16)}, None],
    }


def test_what_is_saved_is_loaded(tmp_path):
    store = CheckpointStore(tmp_path)
    assert store.load() is None and not store.exists()
    store.save(content(1))
    store.save(content(2))
    assert store.load()["number"] == 2
    assert torch.load(store.previous, weights_only=True)["number"] == 1
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint.previous.pth", "checkpoint.pth"]


def test_equal_states_give_equal_bytes_whoever_made_them(tmp_path):
    shared = torch.ones(4)
    name = "".join(["na", "me"])  # another object than the literal
    one = {"name": ["name", "name"], "a": shared, "b": (1, 2.5, True)}
    other = {"name": ["name", name], "a": torch.ones(8)[:4], "b": (1, 2.5, True)}
    for file, value in (("one", one), ("other", other)):
        checkpoint.write_verified(tmp_path / file, value)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_type_that_could_not_be_loaded_is_refused():
    with pytest.raises(TypeError, match="object"):
        canonical({"bad": [object()]})


@pytest.mark.parametrize("fault", ["flipped", "truncated", "empty", "no checksum"])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_is_used(
    tmp_path, caplog, fault
):
    store = CheckpointStore(tmp_path)
    store.save(content(1))
    store.save(content(2))
    data = bytearray(store.newest.read_bytes())
    if fault == "flipped":
        data[len(data) // 2] ^= 4
    elif fault == "truncated":
        del data[-100:]
    elif fault == "empty":
        data.clear()
    else:
        torch.save(content(2), store.newest)
        data = store.newest.read_bytes()
    store.newest.write_bytes(bytes(data))
    assert store.load()["number"] == 1
    assert "damaged" in caplog.text and str(store.newest) in caplog.text
    # the next save must not put the damaged one in the place of the whole one
    CheckpointStore(tmp_path).save(content(3))
    assert damage(store.previous) is None


def test_every_flipped_byte_is_noticed(tmp_path):
    path = tmp_path / "file"
    checkpoint.write_verified(path, content(1, size=10))
    data = path.read_bytes()
    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert damage(path) is not None, f"byte {place} of {len(data)}"


def test_no_whole_checkpoint_is_an_error_that_names_the_files(tmp_path):
    store = CheckpointStore(tmp_path)
    store.newest.write_bytes(b"x" * 500)
    store.previous.write_bytes(b"")
    with pytest.raises(CheckpointError, match="no checkpoint is whole") as raised:
        store.load()
    assert "checkpoint.previous.pth: only 0 bytes" in str(raised.value)


@pytest.mark.slow
def test_a_kill_while_saving_leaves_a_loadable_checkpoint(tmp_path):
    """Fifty kills at random moments of a process that does nothing but save."""
    generator = random.Random(2)
    store = CheckpointStore(tmp_path)
    store.save(content(0, 300_000))
    first, seen = 0, []

    def save_for_ever() -> int:
        number = first
        while True:
            number += 1
            CheckpointStore(tmp_path).save(content(number, 300_000))

    for moment in range(50):
        child = Child(save_for_ever, tmp_path / "log")
        time.sleep(0.03 + generator.random() * 0.06)
        child.kill(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL, child.text()
        loaded = CheckpointStore(tmp_path).load()
        assert loaded["number"] >= first, f"moment {moment}"
        assert bool((loaded["tensor"] == loaded["number"]).all())
        first = loaded["number"]
        seen.append(first)
    assert len(set(seen)) > 10, "saves must have happened in between"


def test_too_little_free_space_is_noticed_before_writing(tmp_path, monkeypatch):
    store = CheckpointStore(tmp_path)
    store.save(content(1))
    before = store.newest.read_bytes()
    usage = os.statvfs_result([4096, 4096, 100, 1, 1, 10, 10, 10, 0, 255])
    monkeypatch.setattr(
        checkpoint.shutil,
        "disk_usage",
        lambda path: type("Usage", (), {"free": usage.f_bfree * 4096})(),
    )
    with pytest.raises(DiskFullError, match="the checkpoint needs"):
        store.save(content(2))
    assert store.newest.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pth"]


@pytest.mark.parametrize("after_bytes", [0, 500, 3000])
def test_a_disk_that_fills_up_while_writing_leaves_the_old_checkpoint(
    tmp_path, monkeypatch, after_bytes
):
    store = CheckpointStore(tmp_path)
    store.save(content(1))
    write = checkpoint._Hashed.write

    def full(self, data):
        if self.file.tell() + len(data) > after_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint._Hashed, "write", full)
        with pytest.raises(DiskFullError):
            store.save(content(2))
    assert store.load()["number"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pth"]
    store.save(content(2))
    assert store.load()["number"] == 2


def test_a_training_on_a_full_disk_says_so_and_continues_when_there_is_space(
    tiny_data, tmp_path
):
    """The limit on file sizes gives the same error where the disk would be full."""
    whole, folder = tmp_path / "whole", tmp_path / "exp"
    train(words(tiny_data, whole), tmp_path / "log0")
    train(words(tiny_data, folder, "--max_epoch", "1"), tmp_path / "log1")
    before = (folder / "checkpoint.pth").read_bytes()

    def limited() -> int:
        from espnet_ext.errors import run_main
        from espnet_ext.tasks.asr import TransducerTask

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then EFBIG, not a signal
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
        return run_main(lambda: TransducerTask.main(cmd=words(tiny_data, folder)))

    child = Child(limited, tmp_path / "log2")
    assert child.wait() == 1
    assert "full" in child.text() or "space" in child.text(), child.text()
    assert (folder / "checkpoint.pth").read_bytes() == before
    train(words(tiny_data, folder), tmp_path / "log3")
    assert_same_result(whole, folder)
