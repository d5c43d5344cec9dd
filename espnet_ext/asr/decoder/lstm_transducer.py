"""LSTM prediction network with its joint, as an ESPnet transducer decoder.

ESPnet has no table of joint networks, so the decoder builds its own and the model
exposes it. The interface of ``espnet2.asr.decoder.transducer_decoder`` is kept, so
that ESPnet's searches run on it.

Source: reference/models.md (b) "prediction network".
"""

# Dimensions: B batch, L labels, S = L + 1 positions, E embedding, H LSTM, R readout
from typing import Any, Dict, List, Optional, Tuple

import torch
from espnet2.asr.decoder.transducer_decoder import TransducerDecoder
from espnet2.asr.transducer.beam_search_transducer import Hypothesis

from espnet_ext.asr.decoder.lstm_search import LstmSearchSteps
from espnet_ext.asr.joint.maxout_readout import MaxoutReadout
from espnet_ext.layers.dropout import FeatureDropout, switch_out
from espnet_ext.layers.init import glorot_uniform_
from espnet_ext.layers.lstm import Lstm, State
from espnet_ext.layers.zoneout_lstm import ZoneoutLstm

JOINTS = {"maxout_readout": MaxoutReadout}
BOS_VECTORS = ("label", "zero")
BLANK = 0  # ESPnet wants blank first


class LstmTransducerDecoder(LstmSearchSteps, TransducerDecoder):
    """Embedding with bias, dropout, one LSTM; run over [BOS, y_1 .. y_L].

    Args:
        vocab_size: V with blank at 0 and <sos/eos>, used as BOS, at V - 1.
        encoder_output_size: D.
        embedding_size: E.
        hidden_size: H.
        embedding_dropout: Rate on the LSTM input.
        dropout_mask: See FeatureDropout; handed on to the joint.
        zoneout: Options of ZoneoutLstm (``cell``, ``output``, ``step_output``) in the
            place of a plain LSTM (``declstmz``).
        recurrent_weight_dropout: On the recurrent matrix (``declstmwdrop``).
        bos_vector: ``label``: BOS is <sos/eos>; ``zero``: a zero vector stands for it,
            so that the first input is the bias (``orig``, whose BOS is one beyond the
            table).
        label_switchout: In training, each input label, BOS included, is replaced by
            a random one with this probability (``decswitchout``).
        joint: Options of the joint; ``type`` names its class (maxout_readout).
    """

    def __init__(
        self,
        vocab_size: int,
        encoder_output_size: int,
        embedding_size: int = 256,
        hidden_size: int = 1024,
        embedding_dropout: float = 0.2,
        dropout_mask: str = "shared",
        zoneout: Optional[Dict] = None,
        recurrent_weight_dropout: float = 0.0,
        label_switchout: float = 0.0,
        bos_vector: str = "label",
        joint: Optional[Dict] = None,
    ):
        # Skips the constructor of TransducerDecoder, which builds ESPnet's network;
        # only its interface is wanted.
        torch.nn.Module.__init__(self)
        self.vocab_size = self.odim = vocab_size
        self.blank_id = BLANK
        self.bos_id = vocab_size - 1
        self.dunits = hidden_size
        self.dlayers = 1
        self.ignore_id = -1
        self.device = torch.device("cpu")
        self.embedding = torch.nn.Parameter(torch.empty(vocab_size, embedding_size))
        self.embedding_bias = torch.nn.Parameter(torch.zeros(embedding_size))
        glorot_uniform_(self.embedding, vocab_size - 1, embedding_size)
        self.embedding_dropout = FeatureDropout(embedding_dropout, dropout_mask)
        if bos_vector not in BOS_VECTORS:
            raise ValueError(f"bos_vector {bos_vector!r}: expected {BOS_VECTORS}")
        self.bos_vector = bos_vector
        self.label_switchout = label_switchout
        sizes = (embedding_size, hidden_size)
        if zoneout is None:
            self.lstm = Lstm(*sizes, recurrent_dropout=recurrent_weight_dropout)
        else:
            zoneout = {"recurrent_dropout": recurrent_weight_dropout, **zoneout}
            self.lstm = ZoneoutLstm(*sizes, **zoneout)
        options = {"dropout_mask": dropout_mask, **(joint or {})}
        name = options.pop("type", "maxout_readout")
        if name not in JOINTS:
            raise ValueError(f"joint type {name!r}: expected one of {sorted(JOINTS)}")
        self.joint_network = JOINTS[name](
            vocab_size, encoder_output_size, hidden_size, **options
        )

    def embed(self, labels: torch.Tensor) -> torch.Tensor:
        """Embedding vectors [..., E]; blank stands for BOS: ESPnet begins with it."""
        is_bos = labels == self.blank_id
        labels = torch.where(is_bos, self.bos_id, labels)
        vectors = torch.nn.functional.embedding(labels, self.embedding)
        if self.bos_vector == "zero":
            vectors = vectors.masked_fill(is_bos.unsqueeze(-1), 0.0)
        return self.embedding_dropout(vectors + self.embedding_bias)

    def run(
        self, labels_BN: torch.Tensor, state: Optional[State] = None
    ) -> Tuple[torch.Tensor, State]:
        """Projected outputs [B, N, R] after each of N symbols, and the next state."""
        outputs, state = self.lstm(self.embed(labels_BN), state)
        return self.joint_network.project_prediction(outputs), state

    def forward(self, labels: torch.Tensor) -> torch.Tensor:
        """Projected outputs [B, S, R]; the inputs [B, S] begin with blank or BOS."""
        return self.run(self._switch_out(labels))[0]

    def _switch_out(self, labels: torch.Tensor) -> torch.Tensor:
        """Labels, in training some of them replaced by random labels."""
        if not self.training:
            return labels
        return switch_out(labels, self.label_switchout, self.vocab_size)

    # ESPnet's search interface

    def set_device(self, device: torch.device) -> None:
        """ESPnet calls this before a search; states follow the parameters' device."""
        self.device = device

    def init_state(self, batch_size: int) -> State:
        """Zero state (h, c), each [1, B, H]."""
        return self.lstm.zero_state(batch_size)

    def score(
        self, hyp: Hypothesis, cache: Dict[str, Any]
    ) -> Tuple[torch.Tensor, State, torch.Tensor]:
        """Output [R], next state and last label [1] of one hypothesis, cached."""
        device = self.embedding.device
        label = torch.full((1, 1), hyp.yseq[-1], dtype=torch.long, device=device)
        key = "_".join(map(str, hyp.yseq))
        if key not in cache:
            output, state = self.run(label, hyp.dec_state)
            cache[key] = (output[0, 0], state)
        return *cache[key], label[0]

    def batch_score(
        self,
        hyps: List[Hypothesis],
        dec_states: State,
        cache: Dict[str, Any],
        use_lm: bool,
    ) -> Tuple[torch.Tensor, State, Optional[torch.Tensor]]:
        """Outputs [B, R], stacked states and last labels of several hypotheses."""
        results = [self.score(hyp, cache) for hyp in hyps]
        outputs = torch.stack([output for output, _, _ in results])
        states = self.create_batch_states(
            dec_states, [state for _, state, _ in results]
        )
        labels = torch.cat([label for _, _, label in results]) if use_lm else None
        return outputs, states, labels

    def select_state(self, states: State, idx: int) -> State:
        """State of hypothesis ``idx``."""
        return states[0][:, idx : idx + 1], states[1][:, idx : idx + 1]

    def create_batch_states(
        self,
        states: State,
        new_states: List[State],
        check_list: Optional[List] = None,
    ) -> State:
        """Stack the states of single hypotheses along the batch axis."""
        return (
            torch.cat([state[0] for state in new_states], dim=1),
            torch.cat([state[1] for state in new_states], dim=1),
        )
