"""What the prediction network has learned of the training text, as a label scorer.

A transducer's label distribution holds a language model of its transcripts. With an
external language model it counts twice, so an estimate of it is subtracted (a negative
weight):

    p_ilm(k | labels before) = p(k | frame, labels before) / (1 - p(blank | ..))

with a frame that knows nothing of the audio: ``zero`` encoder output, the ``average``
encoder output of some audio, or what a small LSTM makes of the labels (``mini_lstm``),
trained so that the estimate fits transcripts while all else is fixed. ``hat`` is
``zero`` for joints that have a probability of emission of their own: the labels'
softmax is taken as it is, and nothing has to be divided by 1 - p(blank).

Ref: Variani et al. 2020, Hybrid autoregressive transducer, section 3.2 (``hat``); Meng
et al. 2021, Internal language model estimation, equations 15-17 (``zero``); Zeineldeen
et al. 2021, Investigating methods to improve language model integration, section 3
(``average``, ``mini_lstm``); Zhou et al. 2022, On language model integration for RNN
transducer based speech recognition, section 3.
"""

# Dimensions: B batch, L labels, E hypotheses that emitted, V vocabulary with blank,
#             D encoder, R readout, E embedding, H LSTM
from typing import Any, List, Optional, Sequence, Tuple

import torch

from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
from espnet_ext.errors import OptionError
from espnet_ext.layers.init import init_linear_
from espnet_ext.layers.lstm import Lstm

State = Tuple[torch.Tensor, ...]  # each [1, B, H]
KINDS = ("zero", "average", "mini_lstm", "hat")
CONTEXT_FRAMES = 33  # more than any attention window around a frame sees


def projected_frame(
    decoder: LstmTransducerDecoder, frame_D: torch.Tensor
) -> torch.Tensor:
    """The joint's view [R] of audio in which every encoder frame is ``frame_D``."""
    frames_1TD = frame_D.expand(1, CONTEXT_FRAMES, -1)
    am_1TR = decoder.joint_network.project_frames(frames_1TD)
    return am_1TR[0, CONTEXT_FRAMES // 2].detach()


def zero_frame(decoder: LstmTransducerDecoder, encoder_size: int) -> torch.Tensor:
    """``projected_frame`` of zero encoder output of ``encoder_size`` features."""
    like = next(decoder.parameters())
    return projected_frame(decoder, like.new_zeros(encoder_size))


class FixedFrame(torch.nn.Module):
    """The same projected frame [R] after all labels."""

    def __init__(self, am_R: torch.Tensor):
        super().__init__()
        self.register_buffer("am_R", am_R)

    def forward(
        self, labels_BN: torch.Tensor, vectors: torch.Tensor, state: Optional[State]
    ) -> Tuple[torch.Tensor, State]:
        """[R], which is the same for all labels, and an empty state."""
        return self.am_R, ()


class MiniLstm(torch.nn.Module):
    """Projected frames that depend on the labels before: Linear(LSTM(embedding)).

    Args:
        embedding_size: Of the decoder, whose label vectors are the input.
        readout_size: R of the joint.
        hidden_size: Units of the LSTM.
    """

    def __init__(self, embedding_size: int, readout_size: int, hidden_size: int = 50):
        super().__init__()
        self.lstm = Lstm(embedding_size, hidden_size)
        self.output = init_linear_(torch.nn.Linear(hidden_size, readout_size))

    def forward(
        self, labels_BN: torch.Tensor, vectors: torch.Tensor, state: Optional[State]
    ) -> Tuple[torch.Tensor, State]:
        """[B, N, R] after each of N labels with these embeddings, and the state."""
        outputs, state = self.lstm(vectors, state or None)
        return self.output(outputs), state


class InternalLm(torch.nn.Module):
    """Label distribution of a transducer on frames that do not come from audio.

    Args:
        decoder: Prediction network with its joint.
        frames: FixedFrame or MiniLstm.
        separate_emission: The joint has a label softmax without blank (``hat``).

    Raises:
        OptionError: The joint has none.
    """

    def __init__(
        self,
        decoder: LstmTransducerDecoder,
        frames: torch.nn.Module,
        separate_emission: bool = False,
    ):
        super().__init__()
        if separate_emission and not hasattr(decoder.joint_network, "logits"):
            raise OptionError(
                f"{type(decoder.joint_network).__name__} has no emission probability "
                "of its own",
                where="--ilm_type hat",
                expected="a joint with separate label and emission outputs",
                next_step="--ilm_type zero",
            )
        self.decoder = decoder
        self.frames = frames
        self.separate_emission = separate_emission

    def run(
        self, labels_BN: torch.Tensor, state: Optional[Tuple[State, State]] = None
    ) -> Tuple[torch.Tensor, Tuple[State, State]]:
        """Log-probabilities [B, N, V] after each of N labels; 0 for blank.

        Sequences begin with blank, which stands for the sentence begin.
        """
        decoder_state, frame_state = state or (None, None)
        lm_BNR, decoder_state = self.decoder.run(labels_BN, decoder_state)
        vectors = self.decoder.embed(labels_BN)
        am, frame_state = self.frames(labels_BN, vectors, frame_state)
        joint, blank = self.decoder.joint_network, self.decoder.blank_id
        if self.separate_emission:
            labels = joint.logits(am, lm_BNR)[0].log_softmax(-1)
        else:
            labels = joint(am, lm_BNR)[..., blank + 1 :].log_softmax(-1)
        scores = torch.nn.functional.pad(labels, (blank + 1, 0))
        return scores, (decoder_state, frame_state)

    def nll(self, labels_BL: torch.Tensor, label_lens_B: torch.Tensor) -> torch.Tensor:
        """Negative log-likelihood [B] of label sequences; no sentence end counts."""
        inputs = torch.nn.functional.pad(labels_BL.clamp(min=0), (1, 0))[:, :-1]
        scores = self.run(inputs)[0]
        nll_BL = -scores.gather(2, labels_BL.clamp(min=0).unsqueeze(2)).squeeze(2)
        positions_L = torch.arange(labels_BL.size(1), device=labels_BL.device)
        outside = positions_L >= label_lens_B.to(labels_BL.device).unsqueeze(1)
        return nll_BL.masked_fill(outside, 0.0).sum(1)


def _stack(states: Sequence[State]) -> State:
    return tuple(torch.cat(parts, dim=1) for parts in zip(*states))


class InternalLmScorer:
    """InternalLm as a LabelScorer; give it a negative weight.

    <sos/eos>, which no transducer emits, has score 0: its probability is next to
    nothing, and to subtract the logarithm of that would be a large reward.
    """

    def __init__(self, internal_lm: InternalLm):
        self.internal_lm = internal_lm.eval()
        self.decoder = internal_lm.decoder

    def start(self) -> Tuple[torch.Tensor, Any]:
        """Scores [V] of the first label, and the state before it."""
        return self._run([self.decoder.blank_id], None, first=True)

    def step(
        self, labels: Sequence[int], states: Sequence[Any]
    ) -> Tuple[torch.Tensor, List[Any]]:
        """Scores [E, V] of what follows, and states, after a label in each state."""
        both = _stack([s[0] for s in states]), _stack([s[1] for s in states])
        return self._run(labels, both)

    @torch.no_grad()
    def _run(self, labels, state, first: bool = False):
        device = self.decoder.embedding.device
        labels_E1 = torch.tensor(labels, device=device).unsqueeze(1)
        scores_E1V, state = self.internal_lm.run(labels_E1, state)
        scores_E1V[..., self.decoder.bos_id] = 0.0
        rows = [
            tuple(tuple(x[:, e : e + 1] for x in part) for part in state)
            for e in range(len(labels))
        ]
        if first:
            return scores_E1V[0, 0], rows[0]
        return scores_E1V[:, 0], rows


class LengthScorer:
    """One for each label, so that its weight is a reward for every label."""

    def __init__(self, vocab_size: int):
        self.vocab_size = vocab_size

    def start(self) -> Tuple[torch.Tensor, Any]:
        """Ones [V]; there is no state."""
        return torch.ones(self.vocab_size), None

    def step(
        self, labels: Sequence[int], states: Sequence[Any]
    ) -> Tuple[torch.Tensor, List[Any]]:
        """Ones [E, V]."""
        return torch.ones(len(labels), self.vocab_size), [None] * len(labels)
