"""The extended decoder of 2020: a slow LSTM over labels, a fast one over frames.

In frame t, with encoder output x_t (after a bottleneck) and attention vector a_t over
the frames around it:

    l_t = slow([embedding(last label), a_t])    where the frame before emitted a label,
          l_(t-1)                               otherwise
    s_t = fast([x_t, embedding'(last symbol), l_t])
    r_t = maxout(W [s_t, a_t, l_t] + b)
    log p(blank)   = log sigmoid(-e_t),         e_t = w s_t
    log p(label k) = log sigmoid(e_t) + log_softmax(W_out r_t)_k

The fast LSTM sees blanks, so the scores depend on the whole alignment, not only on its
labels. There is no full sum; training goes along given alignments. Before the first
frame the last label and symbol are BOS. As in the original, the slow LSTM is run in the
frame after a label, with the attention vector of that frame.

Ref: Zeyer et al. 2020, A New Training Pipeline for an Improved Neural Transducer,
section 2.1. Source: reference/models.md, "2020 extended transducer".
"""

# Dimensions: B batch, T frames, D encoder, E bottleneck, R = 2 E projected frame,
#             P slow steps, H slow LSTM, S fast LSTM, V vocabulary with blank (index 0)
from typing import Dict, Optional, Tuple

import torch
import torch.nn.functional as F
from espnet2.asr.decoder.abs_decoder import AbsDecoder

from espnet_ext.asr.decoder.extended_search import ExtendedSearchSteps
from espnet_ext.asr.joint.maxout_readout import maxout
from espnet_ext.asr.joint.window_attention import WindowAttention
from espnet_ext.asr.loss.frame_context import frame_context
from espnet_ext.errors import OptionError
from espnet_ext.layers.dropout import FeatureDropout
from espnet_ext.layers.init import glorot_uniform_, init_linear_
from espnet_ext.layers.lstm import Lstm
from espnet_ext.layers.switchout import AlignmentSwitchOut

BLANK = 0  # ESPnet wants blank first
EMISSIONS = ("fast", "readout")


class ExtendedTransducerDecoder(ExtendedSearchSteps, AbsDecoder):
    """See the module; names of the original's options are in parentheses.

    Args:
        vocab_size: V with blank at 0 and <sos/eos>, used as BOS, at V - 1.
        encoder_output_size: D.
        bottleneck_size: E (``encbottle256``); None: D, without a layer.
        attention: Options of WindowAttention (``attwb5``); None for no attention.
        embedding_size: Of labels, for the slow LSTM.
        hidden_size: H (``lm4a``).
        slow_attention: The slow LSTM sees the attention vector (else ``lm4a-noatt``).
        symbol_embedding_size: Of symbols, for the fast LSTM; 0: it does not see them
            (``noprevout``).
        fast_size: S (``dec1la-n128``).
        fast_input_dropout: On all inputs of the fast LSTM (``decdrop03``).
        fast_weight_dropout: On its recurrent matrix (``decwdrop03``).
        readout_size: Before maxout.
        label_dropout: Before the label softmax.
        emission: The emission logit is computed from the ``fast`` LSTM (``emit2``) or
            from the ``readout``.
        switchout: Options of AlignmentSwitchOut (``switchout6``: all at their
            defaults); None for none.
        dropout_mask: See FeatureDropout.
    """

    frame_dependent = True

    def __init__(
        self,
        vocab_size: int,
        encoder_output_size: int,
        bottleneck_size: Optional[int] = 256,
        attention: Optional[Dict] = None,
        embedding_size: int = 621,
        hidden_size: int = 1024,
        slow_attention: bool = True,
        symbol_embedding_size: int = 128,
        fast_size: int = 128,
        fast_input_dropout: float = 0.3,
        fast_weight_dropout: float = 0.3,
        readout_size: int = 1000,
        label_dropout: float = 0.3,
        emission: str = "fast",
        switchout: Optional[Dict] = None,
        dropout_mask: str = "shared",
    ):
        super().__init__()
        if emission not in EMISSIONS:
            raise ValueError(f"emission {emission!r}: expected one of {EMISSIONS}")
        if readout_size % 2:
            raise ValueError(f"readout_size {readout_size}: expected an even number")
        self.vocab_size = self.odim = vocab_size
        self.blank_id = BLANK
        # names that ESPnet's recognizer looks for in a transducer's decoder
        self.dunits, self.dlayers = hidden_size, 1
        self.bos_id = vocab_size - 1
        self.emission = emission
        self.bottleneck = None
        if bottleneck_size is not None:
            self.bottleneck = init_linear_(
                torch.nn.Linear(encoder_output_size, bottleneck_size)
            )
        size = self.frame_size = bottleneck_size or encoder_output_size
        self.attention = None
        if attention is not None:
            standard = {"key_bias": False, "key_dropout": 0.0}
            standard["dropout_mask"] = dropout_mask
            self.attention = WindowAttention(size, **{**standard, **attention})
        attended = 0 if self.attention is None else size
        self.slow_attention = slow_attention and attended > 0
        self.embedding = _embedding(vocab_size, embedding_size, vocab_size - 1)
        slow_input = embedding_size + (attended if self.slow_attention else 0)
        self.slow = Lstm(slow_input, hidden_size)
        self.symbol_embedding = None
        if symbol_embedding_size > 0:
            sizes = vocab_size, symbol_embedding_size
            self.symbol_embedding = _embedding(*sizes, vocab_size)
            self.symbol_bias = torch.nn.Parameter(torch.zeros(symbol_embedding_size))
        self.fast_dropout = FeatureDropout(fast_input_dropout, dropout_mask)
        self.fast = Lstm(
            size + symbol_embedding_size + hidden_size,
            fast_size,
            recurrent_dropout=fast_weight_dropout,
        )
        self.readout = init_linear_(
            torch.nn.Linear(fast_size + attended + hidden_size, readout_size)
        )
        self.label_dropout = FeatureDropout(label_dropout, dropout_mask)
        self.label_output = torch.nn.Linear(readout_size // 2, vocab_size - 1)
        init_linear_(self.label_output)
        source = fast_size if emission == "fast" else readout_size // 2
        self.emission_output = init_linear_(torch.nn.Linear(source, 1))
        self.switchout = None
        if switchout is not None:
            try:
                self.switchout = AlignmentSwitchOut(vocab_size, **switchout)
            except TypeError as error:
                raise ValueError(f"switchout: {error}") from None

    def set_device(self, device: torch.device) -> None:
        """ESPnet calls this before its searches, which know decoders of labels alone.

        Raises:
            OptionError: Always.
        """
        raise OptionError(
            "ESPnet's transducer searches step a decoder on labels, and "
            f"{type(self).__name__} steps on frames",
            next_step="decode with espnet_ext.Speech2Text or "
            "espnet_ext.bin.asr_inference",
        )

    def frame_parts(self) -> Dict[str, int]:
        """Weights whose input is encoder frames; only the bottleneck sees them."""
        return {} if self.bottleneck is None else {"bottleneck.weight": 1}

    def project_encoder(self, frames_BTD: torch.Tensor) -> torch.Tensor:
        """Frames [B, T, E] behind the bottleneck."""
        return frames_BTD if self.bottleneck is None else self.bottleneck(frames_BTD)

    def attend(
        self, frames_BTE: torch.Tensor, lengths_B: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """Frames and their attention vectors [B, T, R], what a search goes through."""
        if self.attention is None:
            return frames_BTE
        return torch.cat([frames_BTE, self.attention(frames_BTE, lengths_B)], dim=2)

    def project_frames(
        self, frames_BTD: torch.Tensor, lengths_B: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """All that depends on the encoder alone, [B, T, R]."""
        return self.attend(self.project_encoder(frames_BTD), lengths_B)

    def _slow_outputs(self, attended_BTE, symbols_BT, lengths_B, topology):
        """l_t of each frame [B, T, H]."""
        labels_BL, _, position_BT = frame_context(
            symbols_BT, lengths_B, self.blank_id, topology
        )
        labels_BP = F.pad(labels_BL.clamp(min=0), (1, 0), value=self.bos_id)
        inputs = F.embedding(labels_BP, self.embedding)
        if self.slow_attention:
            # the first frame in which a number of labels has been emitted
            frames_BT = torch.arange(position_BT.size(1), device=position_BT.device)
            frames_BT = frames_BT.expand_as(position_BT)
            padded_BT = frames_BT >= lengths_B.to(frames_BT.device).unsqueeze(1)
            place_BT = position_BT.masked_fill(padded_BT, labels_BP.size(1))
            first_BP = frames_BT.new_full(
                (len(frames_BT), labels_BP.size(1) + 1), frames_BT.size(1) - 1
            )
            first_BP = first_BP.scatter_reduce(1, place_BT, frames_BT, "amin")
            index_BPE = first_BP[:, :-1].unsqueeze(2)
            index_BPE = index_BPE.expand(-1, -1, attended_BTE.size(2))
            inputs = torch.cat([inputs, attended_BTE.gather(1, index_BPE)], dim=2)
        outputs_BPH, _ = self.slow(inputs)
        index_BTH = position_BT.unsqueeze(2).expand(-1, -1, outputs_BPH.size(2))
        return outputs_BPH.gather(1, index_BTH)

    def forward(
        self,
        frames_BTR: torch.Tensor,
        lengths_B: torch.Tensor,
        alignment_BT: torch.Tensor,
        topology: str = "rna",
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Label logits [B, T, V - 1] and emission logits [B, T] along an alignment.

        Args:
            frames_BTR: See ``project_frames``.
            lengths_B: Valid frames.
            alignment_BT: Symbol of each frame, padded with anything; that of frame t is
                not seen before frame t + 1. In training SwitchOut disturbs them.
            topology: Where a label begins, see ``frame_context``.
        """
        symbols_BT = alignment_BT.clamp(min=0)
        if self.switchout is not None:
            symbols_BT = self.switchout(symbols_BT)
        frames_BTE = frames_BTR[..., : self.frame_size]
        attended_BTE = frames_BTR[..., self.frame_size :]
        slow_BTH = self._slow_outputs(attended_BTE, symbols_BT, lengths_B, topology)
        parts = [frames_BTE]
        if self.symbol_embedding is not None:
            last_BT = F.pad(symbols_BT[:, :-1], (1, 0), value=self.bos_id)
            embedded = F.embedding(last_BT, self.symbol_embedding) + self.symbol_bias
            parts.append(embedded)
        fast_BTS, _ = self.fast(self.fast_dropout(torch.cat([*parts, slow_BTH], dim=2)))
        readout = self.readout(torch.cat([fast_BTS, attended_BTE, slow_BTH], dim=2))
        readout = maxout(readout)
        source = fast_BTS if self.emission == "fast" else readout
        emission_BT = self.emission_output(source).squeeze(2)
        return self.label_output(self.label_dropout(readout)), emission_BT


def _embedding(rows: int, size: int, symbols: int) -> torch.nn.Parameter:
    """Table [V, size], drawn like a linear layer on one-hot input of ``symbols``."""
    table = torch.nn.Parameter(torch.empty(rows, size))
    glorot_uniform_(table, symbols, size)
    return table
