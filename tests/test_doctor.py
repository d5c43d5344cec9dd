"""The doctor tells a working installation from a broken one, and how to mend it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from espnet_ext import doctor
from espnet_ext.asr.loss import backends as loss_backends
from espnet_ext.asr.loss.triton import probe
from espnet_ext.doctor import backends, losses, machine, tools, versions
from espnet_ext.doctor.finding import MISSING, NOTE, OK, WARNING, Finding


def by_name(findings):
    return {finding.name: finding for finding in findings}


def test_this_installation_can_run_the_demo_as_far_as_the_quick_check_sees(capsys):
    assert doctor.main(["--quick"]) == 0
    last_line = capsys.readouterr().out.splitlines()[-1]
    assert last_line.startswith("verdict: ready for the demo")


def test_the_json_file_holds_what_is_printed(tmp_path, capsys):
    doctor.main(["--quick", "--json", str(tmp_path / "doctor.json")])
    result = json.loads((tmp_path / "doctor.json").read_text())
    printed = capsys.readouterr().out
    assert result["ready"] is True
    assert printed.endswith(f"verdict: {result['verdict']}\n")
    for finding in result["findings"]:
        assert finding["name"] in printed and finding["value"] in printed


def test_what_is_missing_is_named_with_its_remedy_and_fails(monkeypatch, capsys):
    missing = Finding("versions", "torch", MISSING, "not installed", "make setup")
    monkeypatch.setattr(doctor, "check_versions", lambda: iter([missing]))
    assert doctor.main(["--quick"]) == 1
    last_line = capsys.readouterr().out.splitlines()[-1]
    assert last_line == "verdict: not ready for the demo: torch; do: make setup"


def test_a_warning_is_counted_but_does_not_fail():
    findings = [Finding("machine", "free disk", WARNING, "3 GiB", "free some")]
    assert "ready for the demo, with 1 warning above" in doctor.verdict(findings)


def test_the_quick_check_imports_no_torch_and_takes_less_than_a_second():
    program = (
        "import sys, time; start = time.monotonic()\n"
        "from espnet_ext import doctor; doctor.main(['--quick'])\n"
        "assert 'torch' not in sys.modules and 'espnet2' not in sys.modules\n"
        "print(time.process_time())"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert float(finished.stdout.splitlines()[-1]) < 1.0


@pytest.mark.slow
def test_the_full_check_ends_within_fifteen_seconds_and_finds_the_losses_right():
    finished = subprocess.run(
        [sys.executable, "-m", "espnet_ext", "doctor"],
        capture_output=True,
        text=True,
        timeout=15,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    for name in ("torch", "reference", "torchaudio"):
        assert re.search(rf"^  ok +{name} .*as they should", finished.stdout, re.M)


@pytest.mark.parametrize(
    "line, status",
    [
        ("numpy>=1", OK),
        ("numpy>=99", WARNING),
        ("no-such-package-here", MISSING),
    ],
)
def test_a_requirement_is_met_or_of_another_version_or_absent(line, status):
    (finding,) = versions.check_requirement(line)
    assert finding.status == status
    assert (finding.fix is None) == (status == OK)


def test_a_requirement_for_another_python_is_not_asked_for():
    assert list(versions.check_requirement('nothing; python_version < "3"')) == []


def test_a_wrong_python_is_missing(monkeypatch):
    monkeypatch.setattr(versions.sys, "version_info", (3, 11, 7, "final", 0))
    assert by_name(versions.check_versions())["python"].status == MISSING


def test_the_commit_and_uncommitted_changes_are_named(tmp_path):
    assert versions.git_state(tmp_path) == "no checkout"
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    git = ["git", *identity, "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    assert versions.git_state(tmp_path) == "commit unknown"
    (tmp_path / "a").write_text("1")
    subprocess.run([*git, "add", "a"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "one"], check=True)
    hash_ = subprocess.run(
        [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout
    state = versions.git_state(tmp_path)
    assert state.startswith("commit ") and hash_.startswith(state.split()[1])
    (tmp_path / "a").write_text("2")
    assert versions.git_state(tmp_path) == f"{state}+changes"


def test_an_optional_package_is_present_absent_or_broken(tmp_path, monkeypatch):
    (tmp_path / "whole_package.py").write_text("")
    (tmp_path / "broken_package.py").write_text("raise OSError('libcuda.so: gone')")
    monkeypatch.syspath_prepend(tmp_path)
    asked = [
        backends.Backend(name, name, "testing", "get it")
        for name in ("whole_package", "broken_package", "absent_package")
    ]
    whole, broken, absent = (backends.check_backend(item, False) for item in asked)
    assert (whole.status, broken.status, absent.status) == (OK, WARNING, NOTE)
    assert "libcuda.so: gone" in broken.value
    assert backends.check_backend(asked[1], quick=True).status == OK


def test_kaldiio_is_never_listed_without_its_licence():
    (kaldiio,) = [item for item in backends.BACKENDS if item.module == "kaldiio"]
    assert "evaluation only" in kaldiio.purpose


@pytest.mark.parametrize("free_gib, status", [(3, WARNING), (200, OK)])
def test_little_free_disk_is_a_warning(monkeypatch, tmp_path, free_gib, status):
    usage = machine.shutil._ntuple_diskusage(0, 0, free_gib * machine.GIB)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: usage)
    finding = by_name(machine.check_machine(tmp_path))["free disk"]
    assert finding.status == status and f"{free_gib}.0 GiB" in finding.value


def test_a_folder_that_cannot_be_written_is_missing():
    """/proc refuses new files to everyone, root included."""
    finding = machine.check_writable(Path("/proc"))
    assert finding.status == MISSING and "/proc" in finding.value


def test_the_quota_of_a_container_limits_cores_and_memory(monkeypatch):
    files = {"/sys/fs/cgroup/cpu.max": "50000 100000", "/sys/fs/cgroup/memory.max": "7"}
    monkeypatch.setattr(machine, "_first_line", files.get)
    assert machine.cpu_limit() == 0.5
    assert machine.memory_limit() == 7
    monkeypatch.setattr(machine, "_first_line", lambda path: "max 100000")
    assert machine.cpu_limit() == len(os.sched_getaffinity(0))


def test_a_locale_without_utf8_is_a_warning(monkeypatch):
    monkeypatch.setattr(machine.locale, "getencoding", lambda: "ISO-8859-1")
    finding = machine.check_encoding()
    assert finding.status == WARNING and "C.UTF-8" in finding.fix


def fake_program(path, text):
    path.write_text(f"#!/bin/sh\necho '{text}' >&2\nexit 1\n")
    path.chmod(0o755)


def test_the_scoring_programs_are_found_run_and_their_version_read(
    tmp_path, monkeypatch
):
    fake_program(tmp_path / "sclite", "sclite Version: 2.99")
    fake_program(tmp_path / "hubscr.pl", "Segmentation fault")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = by_name(tools.check_sctk())
    assert found["sclite"].status == OK and "2.99" in found["sclite"].value
    assert found["hubscr"].status == WARNING


def test_without_scoring_programs_the_built_in_scorer_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tools.sys, "prefix", str(tmp_path))
    (finding,) = tools.check_sctk()
    assert finding.status == NOTE and "built-in scorer" in finding.value
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sctk").write_text("")
    (finding,) = tools.check_sctk()
    assert finding.status == WARNING and "not on the PATH" in finding.value


CPU = ["cpu"]


def test_every_loss_backend_is_listed_and_right():
    findings = by_name(losses.check_losses())
    assert set(findings) == {*loss_backends.BACKENDS, "fused on Triton"}
    assert findings["torch"].status == findings["reference"].status == OK
    assert findings["torchaudio"].status == OK
    assert "torchaudio 2." in findings["torchaudio"].value
    assert "rnnt on cpu" in findings["torchaudio"].value


def test_an_absent_loss_backend_and_one_without_its_device_are_notes():
    warp = loss_backends.BACKENDS["warp_rnnt"]
    absent = warp._replace(module="no_such_module")
    finding = losses.check_loss(loss_backends, absent, CPU)
    assert finding.status == NOTE and "absent: rnnt on cuda" in finding.value
    assert "[cuda]" in finding.fix
    finding = losses.check_loss(loss_backends, warp._replace(module="json"), CPU)
    assert finding.status == NOTE and "needs cuda, here is none" in finding.value


@pytest.mark.parametrize("name, status", [("torch", MISSING), ("torchaudio", WARNING)])
@pytest.mark.parametrize("factor", [0.5, float("nan")])
def test_a_loss_that_computes_something_else_is_reported(
    monkeypatch, name, status, factor
):
    right = loss_backends.BACKENDS[name]

    def wrong(*arguments):
        return factor * right.loss(*arguments)

    monkeypatch.setitem(loss_backends.BACKENDS, name, right._replace(loss=wrong))
    loss_backends.why_not.cache_clear()
    try:
        backend = loss_backends.BACKENDS[name]
        finding = losses.check_loss(loss_backends, backend, CPU)
    finally:
        loss_backends.why_not.cache_clear()
    assert finding.status == status and finding.fix
    assert "rnnt on cpu computes" in finding.value and "expected" in finding.value


def test_losses_that_cannot_be_imported_are_reported_with_their_reason(monkeypatch):
    def broken(name):
        raise ImportError("libgomp.so.1: cannot open\nmore")

    monkeypatch.setattr(losses.importlib, "import_module", broken)
    (finding,) = losses.check_losses()
    assert finding.status == MISSING
    assert finding.value == "fails: libgomp.so.1: cannot open"


def test_kernels_of_the_fused_loss_need_a_gpu_and_right_numbers(monkeypatch):
    finding = losses.check_kernels(has_gpu=False)
    assert finding.status == NOTE
    assert finding.value == ("needs a CUDA GPU: fused computes the same in PyTorch")
    monkeypatch.setattr(probe, "probe", lambda device: "the loss differs by 3")
    finding = losses.check_kernels(has_gpu=True)
    assert finding.status == WARNING
    assert "not used (the loss differs by 3)" in finding.value
    monkeypatch.setattr(probe, "probe", lambda device: None)
    assert losses.check_kernels(has_gpu=True).status == OK
