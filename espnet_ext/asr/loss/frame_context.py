"""What a given alignment says about each frame: the labels so far, whole or in chunks.

An alignment has one symbol a frame, blank or a label. The prediction network runs over
the labels that it contains, and frame t sees its output after the labels that came
before t. With repetition of labels, the network advances only where the symbol is
neither blank nor the symbol of the frame before.

Chunks are cut for training on short pieces. A chunk knows nothing of what came before:
states start from zero, and the labels before its first frame are not in the context.

Source: reference/losses.md 3 and 8.
"""

# Dimensions: B batch, C chunks, T frames, N frames of a chunk, L labels
from typing import NamedTuple, Union

import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_ext.asr.loss.topology import Topology, get_topology
from espnet_ext.errors import OptionError

NO_SYMBOL = -1
CHUNK_SIZE, CHUNK_HOP = 60, 30  # encoder frames; experiments ``chunk60`` of 2020


class FrameContext(NamedTuple):
    """The label sequence of each alignment, and where each frame stands in it.

    Attributes:
        labels_BL: Labels in order, padded with -1; input of the prediction network.
        label_lens_B: How many.
        position_BT: Number of labels before frame t: the index of its context among
            the L + 1 outputs of the prediction network. 0 in padded frames.
    """

    labels_BL: torch.Tensor
    label_lens_B: torch.Tensor
    position_BT: torch.Tensor


def frame_context(
    alignment_BT: torch.Tensor,
    frame_lens_B: torch.Tensor,
    blank: int = 0,
    topology: Union[str, Topology] = "rna",
) -> FrameContext:
    """Labels and contexts of alignments.

    Args:
        alignment_BT: Symbol of each frame, padded with anything.
        frame_lens_B: Valid frames.
        blank: Its id.
        topology: ``rna``: each label counts. ``label_loop`` or ``ctc``: a label that
            was the symbol of the frame before is a repetition and does not count.

    Raises:
        OptionError: A topology in which an alignment does not tell where labels begin
            (the free loops), or has other symbols than frames (rnnt).
    """
    topology = get_topology(topology)
    if not topology.label_takes_frame or topology.repeats != topology.collapses:
        raise OptionError(
            f"framewise training on alignments of topology {topology.name}",
            expected="rna, label_loop or ctc",
        )
    frames_T = torch.arange(alignment_BT.size(1), device=alignment_BT.device)
    valid_BT = frames_T < frame_lens_B.to(alignment_BT.device).unsqueeze(1)
    is_new_BT = valid_BT & (alignment_BT != blank)
    if topology.repeats:
        is_new_BT[:, 1:] &= alignment_BT[:, 1:] != alignment_BT[:, :-1]
    count_BT = is_new_BT.cumsum(1)
    rows = [symbols[new] for symbols, new in zip(alignment_BT, is_new_BT)]
    labels_BL = alignment_BT.new_zeros(0, 0)
    if rows:
        labels_BL = pad_sequence(rows, batch_first=True, padding_value=NO_SYMBOL)
    position_BT = (count_BT - is_new_BT.long()).masked_fill(~valid_BT, 0)
    return FrameContext(labels_BL, is_new_BT.sum(1), position_BT)


class Chunks(NamedTuple):
    """Pieces of alignments as a batch of their own.

    Attributes:
        sequence_C: Which sequence of the batch a chunk is from.
        start_C: Its first frame there.
        alignment_CN: Symbols, padded with -1.
        frame_lens_C: Valid frames.
    """

    sequence_C: torch.Tensor
    start_C: torch.Tensor
    alignment_CN: torch.Tensor
    frame_lens_C: torch.Tensor

    def cut(self, frames_BTD: torch.Tensor) -> torch.Tensor:
        """The frames [B, T, ...] of all chunks, [C, N, ...]; zero in the padding.

        For encoder outputs, or, with chunks in input frames, for input features.
        """
        pieces = [
            frames_BTD[sequence, start : start + length]
            for sequence, start, length in zip(
                self.sequence_C.tolist(),
                self.start_C.tolist(),
                self.frame_lens_C.tolist(),
            )
        ]
        if not pieces:
            return frames_BTD.new_zeros(0, 0, *frames_BTD.shape[2:])
        return pad_sequence(pieces, batch_first=True)

    def times(self, reduction: int, input_lens_B: torch.Tensor) -> "Chunks":
        """The same chunks on the input of an encoder that reduces time.

        60 encoder frames are 360 input frames at a reduction of 6. The last chunk of a
        sequence ends with its input. There is no alignment of input frames.
        """
        start_C = self.start_C * reduction
        left_C = input_lens_B.to(start_C.device)[self.sequence_C] - start_C
        lens_C = torch.minimum(self.frame_lens_C * reduction, left_C)
        return Chunks(self.sequence_C, start_C, self.alignment_CN[:, :0], lens_C)


def cut_alignments(
    alignment_BT: torch.Tensor,
    frame_lens_B: torch.Tensor,
    size: int = CHUNK_SIZE,
    hop: int = CHUNK_HOP,
) -> Chunks:
    """Chunks of at most ``size`` frames that begin at 0, hop, 2 hop, ... < length.

    With hop < size they overlap, and the last ones get shorter. ``frame_context`` of
    the chunks gives labels and contexts without anything from before the chunk: a label
    that goes on from the frame before counts as a new one.

    Raises:
        OptionError: size or hop below 1.
    """
    if size < 1 or hop < 1:
        raise OptionError(f"chunks of {size} frames every {hop}", expected="both >= 1")
    lengths = frame_lens_B.tolist()
    places = [
        (sequence, start, min(size, length - start))
        for sequence, length in enumerate(lengths)
        for start in range(0, length, hop)
    ]
    device = alignment_BT.device
    table_3C = torch.tensor(places, dtype=torch.long, device=device).view(-1, 3).T
    empty = alignment_BT.new_zeros(len(places), 0)
    chunks = Chunks(table_3C[0], table_3C[1], empty, table_3C[2])
    symbols_CN = chunks.cut(alignment_BT)
    within_N = torch.arange(symbols_CN.size(1), device=device)
    padding_CN = within_N >= chunks.frame_lens_C.unsqueeze(1)
    return chunks._replace(alignment_CN=symbols_CN.masked_fill(padding_CN, NO_SYMBOL))


def swap_symbols(alignment_BT: torch.Tensor, one: int, other: int) -> torch.Tensor:
    """The alignment with two symbols exchanged; padding stays.

    The alignments of 2020 were dumped with blank 0, which is not a label there, and
    blank 1030 was put in its place afterwards.
    """
    swapped = torch.where(alignment_BT == one, other, alignment_BT)
    return torch.where(alignment_BT == other, one, swapped)
