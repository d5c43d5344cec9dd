"""The processes of a distributed training, or the only one of an ordinary training."""

import contextlib
import datetime
from typing import Any, ContextManager, Dict, Iterator, List, Sequence

import torch
import torch.distributed as dist

from espnet_ext.errors import PeerError

COMMUNICATION_ERRORS = (dist.DistBackendError, dist.DistNetworkError)


class Processes:
    """What the processes of a training tell each other.

    Args:
        distributed: More than one process; torch.distributed is initialised.
        device: Of the model; its backend carries the messages.
        timeout_s: A process that waits longer for another one gives up.
    """

    def __init__(self, distributed: bool, device: torch.device, timeout_s: float):
        self.distributed = distributed
        self.device = device
        self.rank, self.count, self.group = 0, 1, None
        if distributed:
            self.rank, self.count = dist.get_rank(), dist.get_world_size()
            # a group of our own, because ESPnet makes its own without a timeout
            timeout = datetime.timedelta(seconds=timeout_s)
            self.group = dist.new_group(timeout=timeout)

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def sums(self, values: Sequence[float]) -> List[float]:
        """Sums over the processes, in float64 where the device has it."""
        if not self.distributed:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        with peer_errors():
            dist.all_reduce(tensor, group=self.group)
        return tensor.tolist()

    def any(self, flags: Sequence[bool]) -> List[bool]:
        """For each flag whether it is set in any process."""
        return [total > 0 for total in self.sums([float(flag) for flag in flags])]

    def add(self, tensor: torch.Tensor) -> None:
        """Sum over the processes, in place."""
        if self.distributed:
            with peer_errors():
                dist.all_reduce(tensor, group=self.group)

    def gather(self, value: Any) -> List[Any]:
        """The values of all processes in the main one; [] in the others."""
        if not self.distributed:
            return [value]
        collected = [None] * self.count if self.is_main else None
        with peer_errors():
            dist.gather_object(value, collected, dst=0, group=self.group)
        return collected or []

    def gather_all(self, value: Any) -> List[Any]:
        """The values of all processes, in every process."""
        if not self.distributed:
            return [value]
        collected = [None] * self.count
        with peer_errors():
            dist.all_gather_object(collected, value, group=self.group)
        return collected

    def wrap(self, model: torch.nn.Module, options: Any) -> torch.nn.Module:
        """The model in DistributedDataParallel, with ESPnet's options of it."""
        if not self.distributed:
            return model
        devices = [self.device] if self.device.type == "cuda" else None
        wrapped = torch.nn.parallel.DistributedDataParallel(
            model,
            device_ids=devices,
            find_unused_parameters=options.unused_parameters or has_unused(model),
            gradient_as_bucket_view=options.gradient_as_bucket_view,
            process_group=self.group,
        )
        if options.ddp_comm_hook not in (None, "none"):
            from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

            hook = getattr(default_hooks, options.ddp_comm_hook)
            wrapped.register_comm_hook(None, hook)
        return wrapped


def has_unused(model: torch.nn.Module) -> bool:
    """Whether some parameters get no gradient in some sub-epochs (growth, transdN)."""
    grows = bool(getattr(model, "used_entries", dict)())
    return grows or getattr(model, "transducer_start_epoch", 1) > 1


def local_gradients(model: torch.nn.Module, wanted: bool) -> ContextManager:
    """Keep gradients in this process for a while, in DistributedDataParallel."""
    if wanted and isinstance(model, torch.nn.parallel.DistributedDataParallel):
        return model.no_sync()
    return contextlib.nullcontext()


@contextlib.contextmanager
def peer_errors() -> Iterator[None]:
    """Turn the death of another process into a message."""
    try:
        yield
    except (RuntimeError, *COMMUNICATION_ERRORS) as error:
        if not is_communication_error(error):
            raise
        raise PeerError(
            f"another process of this training died or fell silent: {error}",
            next_step="look for the first error in the logs of the other processes; "
            "the same command continues from the last checkpoint",
        ) from error


def is_communication_error(error: BaseException) -> bool:
    """Whether an error says that a message could not be exchanged."""
    text = str(error).lower()
    marks = ("connection", "timed out", "timeout", "gloo", "nccl", "peer")
    return isinstance(error, COMMUNICATION_ERRORS) or any(m in text for m in marks)


def average_models(processes: Processes, tensors: Dict[str, torch.Tensor]) -> None:
    """Replace each floating-point tensor by its mean over the processes."""
    for name in sorted(tensors):
        tensor = tensors[name]
        if torch.is_floating_point(tensor):
            processes.add(tensor)
            tensor /= processes.count
