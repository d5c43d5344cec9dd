"""Implementations of the full-sum loss by name, each probed before it is used.

| name       | topologies | takes        | devices   | what it is                      |
|------------|------------|--------------|-----------|---------------------------------|
| torch      | all        | dense scores | CPU, CUDA | closed-form gradient, float64   |
|            |            |              |           | recursion (``dense.py``)        |
| reference  | all        | dense scores | CPU, CUDA | the definition, slow            |
| fused      | all        | a joint      | CPU, CUDA | scores never stored             |
| torchaudio | rnnt       | dense scores | CPU, CUDA | float32                         |
| warp_rnnt  | rnnt       | dense scores | CUDA      | float32, compiled at its        |
|            |            |              |           | installation                    |

``auto`` is ``fused`` for a joint; for dense scores it is ``warp_rnnt`` where that can
be used, else ``torch``.
"""

import functools
import importlib
import importlib.util
import logging
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

import torch

from espnet_ext.asr.loss.dense import dense_loss
from espnet_ext.asr.loss.external import torchaudio_loss, warp_rnnt_loss
from espnet_ext.asr.loss.probe import probe_joint, probe_loss
from espnet_ext.asr.loss.reference import reference_loss
from espnet_ext.asr.loss.topology import TOPOLOGIES, Topology
from espnet_ext.errors import OptionError, ToolMissingError
from espnet_ext.names import nearest

AUTO = "auto"
DENSE, JOINT = "dense", "joint"


class Backend(NamedTuple):
    """What an implementation can do.

    Attributes:
        name: Its name in configurations.
        takes: ``dense`` scores or a ``joint``.
        topologies: Names of those it knows.
        devices: Device types it runs on.
        double: Whether it computes in double precision where scores have it.
        package: Distribution whose version matters.
        module: What has to be importable.
        loss: Of dense scores; None where a joint computes it.
        instead: What to use where this one cannot be.
    """

    name: str
    takes: str
    topologies: Tuple[str, ...]
    devices: Tuple[str, ...]
    double: bool
    package: str
    module: str
    loss: Optional[Callable[..., torch.Tensor]]
    instead: str

    def probe(self, topology: Topology, device: str) -> Optional[str]:
        """What is wrong with its numbers; None if nothing is."""
        if self.takes == JOINT:
            return probe_joint(self.module, topology, device)
        return probe_loss(self.loss, topology, device)


_EVERY = tuple(TOPOLOGIES)
_ANY_DEVICE = ("cpu", "cuda")
_TABLE = (
    Backend(
        name="torch",
        takes=DENSE,
        topologies=_EVERY,
        devices=_ANY_DEVICE,
        double=True,
        package="torch",
        module="torch",
        loss=dense_loss,
        instead="reference",
    ),
    Backend(
        name="reference",
        takes=DENSE,
        topologies=_EVERY,
        devices=_ANY_DEVICE,
        double=True,
        package="torch",
        module="torch",
        loss=reference_loss,
        instead="torch",
    ),
    Backend(
        name="fused",
        takes=JOINT,
        topologies=_EVERY,
        devices=_ANY_DEVICE,
        double=True,
        package="torch",
        module="espnet_ext.asr.loss.fused",
        loss=None,
        instead="torch with the dense scores of the joint",
    ),
    Backend(
        name="torchaudio",
        takes=DENSE,
        topologies=("rnnt",),
        devices=_ANY_DEVICE,
        double=False,
        package="torchaudio",
        module="torchaudio",
        loss=torchaudio_loss,
        instead="torch",
    ),
    Backend(
        name="warp_rnnt",
        takes=DENSE,
        topologies=("rnnt",),
        devices=("cuda",),
        double=False,
        package="warp-rnnt",
        module="warp_rnnt",
        loss=warp_rnnt_loss,
        instead="torch",
    ),
)
BACKENDS: Dict[str, Backend] = {backend.name: backend for backend in _TABLE}


def choose_backend(name: str, topology: Topology, scores: Any) -> Backend:
    """The implementation of this name, if it can do what is asked.

    Args:
        name: ``auto`` or a name of ``BACKENDS``.
        topology: The alignments to sum over.
        scores: A tensor of dense scores, or a joint with ``full_sum``.

    Raises:
        OptionError: Unknown name, or it does not take these scores, this topology or
            this device.
        ToolMissingError: It is not installed, or its probe failed.
    """
    takes = DENSE if isinstance(scores, torch.Tensor) else JOINT
    if takes == JOINT and not callable(getattr(scores, "full_sum", None)):
        raise OptionError(
            f"scores of type {type(scores).__name__}",
            expected="a tensor of log-probabilities, or a joint with full_sum()",
        )
    device = str(getattr(getattr(scores, "device", None), "type", "cpu"))
    own = type(scores).__module__ != BACKENDS["fused"].module
    if takes == JOINT and own and name in (AUTO, "fused"):
        return BACKENDS["fused"]  # somebody's own joint answers for itself
    double = takes == DENSE and scores.dtype == torch.float64
    if name == AUTO:
        return automatic(topology, takes, device, double)
    if name not in BACKENDS:
        near = nearest(name, [AUTO, *BACKENDS])
        raise OptionError(
            f"unknown loss backend {name!r}",
            expected=", ".join([AUTO, *BACKENDS]),
            next_step=f"did you mean {near}?" if near else "espnet-ext doctor",
        )
    backend = BACKENDS[name]
    if backend.takes != takes:
        fitting = [other.name for other in _TABLE if other.takes == takes]
        raise OptionError(
            f"loss backend {name} takes {_words(backend.takes)}, not {_words(takes)}",
            expected=", ".join([AUTO, *fitting]),
        )
    if double and not backend.double:
        raise OptionError(
            f"loss backend {name} computes in float32 only, the scores are float64",
            next_step=f"use backend {backend.instead}, or cast the scores",
        )
    return _checked(backend, topology, device)


def _checked(backend: Backend, topology: Topology, device: str) -> Backend:
    """The same backend, or an error that names what to use instead."""
    for what, asked, known in (
        ("topology", topology.name, backend.topologies),
        ("device", device, backend.devices),
    ):
        if asked not in known:
            raise OptionError(
                f"loss backend {backend.name} does not know {what} {asked}",
                expected=", ".join(known),
                next_step=f"use backend {backend.instead}",
            )
    reason = why_not(backend.name, topology, device)
    if reason is not None:
        raise ToolMissingError(
            f"loss backend {backend.name} cannot be used for {topology.name} on "
            f"{device}: {reason}",
            next_step=f"use backend {backend.instead}; espnet-ext doctor shows all",
        )
    return backend


def _words(takes: str) -> str:
    return "a joint" if takes == JOINT else "a tensor of scores"


@functools.lru_cache(maxsize=None)
def why_not(name: str, topology: Topology, device: str) -> Optional[str]:
    """Why a backend cannot be used: absent, or what its probe found. None if it can."""
    backend = BACKENDS[name]
    if not is_there(backend):
        return "it is not installed"
    return backend.probe(topology, device)


def is_there(backend: Backend) -> bool:
    """Whether its module can be found."""
    try:
        return importlib.util.find_spec(backend.module) is not None
    except ValueError:  # somebody put a bare module under that name
        return True


@functools.lru_cache(maxsize=None)
def automatic(topology: Topology, takes: str, device: str, double: bool) -> Backend:
    """What ``auto`` stands for; arguments as the probes need them."""
    if takes == JOINT:
        return _checked(BACKENDS["fused"], topology, device)
    fast = BACKENDS["warp_rnnt"]
    fits = topology.name in fast.topologies and device in fast.devices and not double
    if fits and is_there(fast):
        reason = why_not(fast.name, topology, device)
        if reason is None:
            return fast
        logging.warning(f"loss backend warp_rnnt is not used: {reason}")
    return _checked(BACKENDS["torch"], topology, device)
