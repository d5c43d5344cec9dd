"""Named random streams, so that each source of chance has a state of its own.

``init``, ``data``, ``augment``, ``dropout`` and ``noise`` are independent: more noise
does not change the order of the data. All their states are part of a checkpoint.

torch's default generator carries the stream ``dropout``, because ``torch.nn`` layers
draw from nothing else; ESPnet's own SpecAugment draws from it as well. The other
streams are generators of their own, on the CPU; what is drawn on another device comes
from a seed that they give (``on_device``). Python's and numpy's global generators,
which we do not use, are seeded and stored all the same, for other people's code.

A module that draws from one of the streams says so:

    class RandomMasks(torch.nn.Module):
        random_stream = "augment"  # attach() sets self.generator
        generator: Optional[torch.Generator] = None  # None: torch's default

What a data-loader worker draws depends on (seed, epoch, utterance) alone
(``utterance_generator``), so that it is the same for any number of workers and after a
resumption in the middle of an epoch.
"""

import hashlib
import random
from typing import Any, Dict, Optional

import numpy
import torch

STREAMS = ("init", "data", "augment", "dropout", "noise")


def derived_seed(*parts: object) -> int:
    """A 63-bit seed from any values; other values give an unrelated seed."""
    text = "\0".join(str(part) for part in parts)
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def utterance_generator(
    seed: int, epoch: int, utterance_id: str, purpose: str
) -> numpy.random.Generator:
    """Random numbers of one utterance in one 1-based sub-epoch for one purpose."""
    return numpy.random.default_rng(derived_seed(seed, epoch, utterance_id, purpose))


def on_device(
    generator: Optional[torch.Generator], device: torch.device
) -> Optional[torch.Generator]:
    """A generator for tensors of a device: the stream itself on its own device, one
    seeded by it on another (so that the stream alone is what has to be stored).
    """
    if generator is None or generator.device.type == torch.device(device).type:
        return generator
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.Generator(device=device).manual_seed(seed)


class Streams:
    """The streams of one training process.

    Args:
        seed: Of the training.
        rank: Number of the process; ranks differ in everything but ``init`` and
            ``data``, which all processes must share.
    """

    def __init__(self, seed: int, rank: int = 0):
        self.seed = seed
        self.rank = rank
        self.generators: Dict[str, torch.Generator] = {}
        for name in STREAMS:
            own = () if name in ("init", "data") else (rank,)
            number = derived_seed(seed, name, *own)
            if name == "dropout":
                torch.manual_seed(number)  # every device's default generator
                self.generators[name] = torch.default_generator
            else:
                self.generators[name] = torch.Generator().manual_seed(number)
        number = derived_seed(seed, "others", rank)
        random.seed(number)
        numpy.random.seed(number % 2**32)

    def generator(self, name: str) -> torch.Generator:
        """The stream of that name."""
        return self.generators[name]

    def state_dict(self) -> Dict[str, Any]:
        """States of all streams, of ``dropout`` on the GPUs as well."""
        state: Dict[str, Any] = {n: g.get_state() for n, g in self.generators.items()}
        state["python"] = random.getstate()
        kind, key, *rest = numpy.random.get_state()
        state["numpy"] = (kind, torch.from_numpy(key.astype(numpy.int64)), *rest)
        if torch.cuda.is_available():
            for number, value in enumerate(torch.cuda.get_rng_state_all()):
                state[f"dropout.cuda{number}"] = value
        return state

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Continue from a ``state_dict``."""
        random.setstate(state["python"])
        kind, key, *rest = state["numpy"]
        numpy.random.set_state((kind, key.numpy().astype(numpy.uint32), *rest))
        for name, generator in self.generators.items():
            generator.set_state(state[name].cpu())
        for number in range(torch.cuda.device_count()):
            if f"dropout.cuda{number}" in state:
                torch.cuda.set_rng_state(state[f"dropout.cuda{number}"].cpu(), number)


def attach(part: Any, streams: Streams) -> None:
    """Give whatever has ``random_stream`` the generator of that name.

    Args:
        part: A module, with all modules inside of it, or an optimizer.
        streams: Of this process.
    """
    inside = part.modules() if isinstance(part, torch.nn.Module) else [part]
    for each in inside:
        name: Optional[str] = getattr(each, "random_stream", None)
        if name is not None:
            each.generator = streams.generator(name)
