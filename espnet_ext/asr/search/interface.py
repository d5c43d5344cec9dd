"""What the searches ask of a decoder and of a language model: the only place.

A batch of B sequences with K hypotheses each is N = B K rows; the hypotheses of
sequence b are rows b K to b K + K - 1. A state is a tuple of tensors (or of such
tuples) whose first axis is N, and nothing else, so that any code can select rows of it.
"""

# Dimensions: B batch, K hypotheses of a sequence, N = B K rows, R projected frame,
#             V vocabulary with blank
from typing import Any, Protocol, Tuple, Union

import torch

State = Any  # nested tuples of tensors [N, ...]
BOS_MODES = ("run", "skip")


def check_bos(bos: Union[str, int], vocab_size: int) -> None:
    """Raise ValueError if ``bos`` is neither a mode nor a label's id."""
    is_label = isinstance(bos, int) and 0 < bos < vocab_size
    if bos not in BOS_MODES and not is_label:
        raise ValueError(f"bos {bos!r}: expected one of {BOS_MODES} or a label's id")


class SearchDecoder(Protocol):
    """A transducer decoder, step by step.

    Attributes:
        blank_id: Index of blank.
        vocab_size: V.
        frame_dependent: Whether the state depends on more than the labels (blanks, or
            the frames of the labels): then a merged hypothesis continues the state of
            its best path.
    """

    blank_id: int
    vocab_size: int
    frame_dependent: bool

    def search_start(self, batch: int, bos: Union[str, int]) -> State:
        """State of ``batch`` rows before the first frame.

        Args:
            batch: Number of rows.
            bos: ``run``: BOS is fed as in training; ``skip``: the prediction network
                is not run before the first label and contributes zero; a label's id:
                it is fed in the place of BOS.
        """

    def search_scores(
        self, frames_BR: torch.Tensor, state: State
    ) -> Tuple[torch.Tensor, State]:
        """Log-probabilities [N, V] of the next symbol, and the state at this frame.

        Args:
            frames_BR: Projected frames; N / B adjacent rows share one.
            state: Of N rows. A decoder that depends on frames steps here, on the frame
                and on the last symbol, which it keeps in its state.
        """

    def search_advance(
        self, state: State, rows_N: torch.Tensor, symbols_N: torch.Tensor
    ) -> State:
        """Row n continues old row ``rows_N[n]`` with ``symbols_N[n]``.

        After blank what depends on labels stays as it is.
        """


class SearchScorer(Protocol):
    """Log-probabilities of labels given labels: a language model, for all rows."""

    def start(self, batch: int) -> State:
        """State of ``batch`` rows before the first label."""

    def scores(self, state: State) -> torch.Tensor:
        """Scores [N, V] of the next label; what it says of blank is not used."""

    def advance(
        self, state: State, rows_N: torch.Tensor, symbols_N: torch.Tensor
    ) -> State:
        """As SearchDecoder.search_advance; a row with blank keeps its state."""


def map_state(state: State, function) -> State:
    """``function`` of each tensor."""
    if torch.is_tensor(state):
        return function(state)
    return tuple(map_state(part, function) for part in state)


def select_rows(state: State, rows_N: torch.Tensor) -> State:
    """Rows of a state, copied."""
    return map_state(state, lambda x: x.index_select(0, rows_N))


def replace_rows(old: State, new: State, rows_E: torch.Tensor) -> State:
    """``old``, in place, with ``new`` (of E rows) at these rows."""
    if torch.is_tensor(old):
        return old.index_copy_(0, rows_E, new)
    return tuple(replace_rows(o, n, rows_E) for o, n in zip(old, new))


def where_rows(chosen_N: torch.Tensor, new: State, old: State) -> State:
    """``new`` in chosen rows, ``old`` in the others."""
    if torch.is_tensor(old):
        mask = chosen_N.view(-1, *[1] * (old.dim() - 1))
        return torch.where(mask, new, old)
    return tuple(where_rows(chosen_N, n, o) for n, o in zip(new, old))


def steps_only_what_emits(symbols_N: torch.Tensor) -> bool:
    """Whether looking which rows emit costs less than stepping all."""
    return symbols_N.device.type == "cpu"


def advance_emitted(state: State, rows_N, symbols_N, blank: int, step) -> State:
    """Select rows, and step those that emit: ``step(labels_E, state) -> state``.

    On the CPU only they are computed. On a GPU all are, and kept where they emit: that
    needs no answer from the GPU, and shapes that a captured graph can have.
    """
    state = select_rows(state, rows_N)
    emits_N = symbols_N != blank
    if not steps_only_what_emits(symbols_N):
        return where_rows(emits_N, step(symbols_N, state), state)
    rows_E = emits_N.nonzero().flatten()
    if rows_E.numel() == 0:
        return state
    if rows_E.numel() == symbols_N.numel():
        return step(symbols_N, state)
    new = step(symbols_N[rows_E], select_rows(state, rows_E))
    return replace_rows(state, new, rows_E)
