"""Frames of a search in fixed memory, on a GPU as one captured graph.

A frame of the search is some sixty small operations, which a GPU starts more slowly
than it computes. Captured once, they are started together. Nothing in a frame may ask
the GPU for a value, so that language models which keep states in Python are not
possible.

On a CPU the same code runs without a graph; this is what the tests see.
"""

# Dimensions: B batch, K hypotheses, R projected frame
import torch

from espnet_ext.asr.search.interface import State, map_state

WARM_UP = 3  # runs before the capture, as torch.cuda.graph asks for


class FixedFrames:
    """The beams of a search in fixed places, and the step from one to the next.

    Args:
        search: With ``frame(beam, frames) -> (beam, step)`` of tensors.
        beam: The beams before the first frame.
        frames_BR: Any frames; they give shape and device.
    """

    def __init__(self, search, beam, frames_BR: torch.Tensor):
        self.search = search
        self.beam = type(beam)(*(map_state(x, torch.clone) for x in beam))
        self.frames_BR = frames_BR.clone()
        self.step = self.graph = None
        if frames_BR.device.type == "cuda":
            self._capture(beam)

    def _run(self) -> None:
        after, self.step = self.search.frame(self.beam, self.frames_BR)
        copy_state(self.beam, after)

    def _capture(self, beam) -> None:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self._run()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self._run()
        copy_state(self.beam, beam)

    def __call__(self, frames_BR: torch.Tensor):
        """Take one frame: the step, whose tensors are the caller's."""
        self.frames_BR.copy_(frames_BR)
        if self.graph is None:
            self._run()
            return self.step
        self.graph.replay()
        return type(self.step)(*(x if x is None else x.clone() for x in self.step))


def copy_state(target: State, source: State) -> None:
    """Copy all tensors of ``source`` into those of ``target``."""
    if torch.is_tensor(target):
        target.copy_(source)
        return
    for one, other in zip(target, source):
        copy_state(one, other)
