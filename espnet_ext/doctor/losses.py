"""Each implementation of the full-sum loss: version, devices, and if it computes right.

The probes are those that training makes before it uses one: equal scores, whose sum
counts the alignments in closed form, and a small padded batch against the readable
reference, gradient included (``espnet_ext.asr.loss.probe``).
"""

import importlib

from espnet_ext.doctor.finding import MISSING, NOTE, OK, WARNING, Finding, Findings
from espnet_ext.doctor.versions import version_of

SECTION = "losses"
ESSENTIAL = "torch"  # the backend that needs nothing else, used where others fail
GET = {
    "torchaudio": "make setup",
    "warp_rnnt": "pip install -c constraints.txt -e '.[cuda]' where a GPU and nvcc are",
}


def check_losses() -> Findings:
    """One line for each backend by name."""
    try:
        backends = importlib.import_module("espnet_ext.asr.loss.backends")
        torch = importlib.import_module("torch")
    except Exception as error:  # a broken installation may raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        yield Finding(SECTION, "full sum", MISSING, f"fails: {reason}", "make setup")
        return
    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    for backend in backends.BACKENDS.values():
        yield check_loss(backends, backend, devices)
    yield check_kernels(torch.cuda.is_available())


def check_loss(backends, backend, devices) -> Finding:
    """What one backend can do here, or what to use instead.

    Args:
        backends: The module ``espnet_ext.asr.loss.backends``.
        backend: One of its backends.
        devices: Device types of this machine.
    """
    name, topologies = backend.name, ", ".join(backend.topologies)
    if backend.topologies == tuple(backends.TOPOLOGIES):
        topologies = "all topologies"
    bad_status = MISSING if name == ESSENTIAL else WARNING
    usable = [device for device in devices if device in backend.devices]
    instead = f"use backend {backend.instead}"
    if not backends.is_there(backend):
        value = f"absent: {topologies} on {', '.join(backend.devices)}"
        return Finding(SECTION, name, NOTE, value, GET.get(name, instead))
    version = f"{backend.package} {version_of(backend.package) or 'version unknown'}"
    if not usable:
        value = f"{version}: needs {' or '.join(backend.devices)}, here is none"
        return Finding(SECTION, name, NOTE, value, instead)
    wrong = [
        f"{topology} on {device} {reason}"
        for device in usable
        for topology in backend.topologies
        if (reason := _why_not(backends, name, topology, device)) is not None
    ]
    if wrong:
        value = f"{version}: {'; '.join(wrong)}"
        fix = "make setup" if name == ESSENTIAL else instead
        return Finding(SECTION, name, bad_status, value, fix)
    value = f"{version}: {topologies} on {', '.join(usable)}, as they should be"
    return Finding(SECTION, name, OK, value)


def check_kernels(has_gpu: bool) -> Finding:
    """Whether ``fused`` computes on Triton's kernels here."""
    name, otherwise = "fused on Triton", "fused computes the same in PyTorch"
    if not has_gpu:
        return Finding(SECTION, name, NOTE, f"needs a CUDA GPU: {otherwise}")
    module = importlib.import_module("espnet_ext.asr.loss.triton.probe")
    reason = module.probe("cuda")
    version = f"triton {version_of('triton') or 'absent'}"
    if reason is None:
        return Finding(SECTION, name, OK, f"{version}: as it should be")
    value = f"{version}: not used ({reason}), {otherwise}, more slowly"
    return Finding(SECTION, name, WARNING, value, "make setup")


def _why_not(backends, name, topology, device):
    return backends.why_not(name, backends.TOPOLOGIES[topology], device)
