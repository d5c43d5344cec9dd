"""The batched search of each kind of our models, as Speech2Text calls it."""

# Dimensions: B batch, T frames, R what the search takes of a frame
import dataclasses
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch
from espnet2.asr.transducer.beam_search_transducer import Hypothesis

from espnet_ext.asr.attention_model import AttentionModel
from espnet_ext.asr.ctc_model import CtcModel
from espnet_ext.asr.decoder.mlp_attention import MlpAttentionDecoder
from espnet_ext.asr.framewise_model import FramewiseModel
from espnet_ext.asr.framewise_transducer_model import FramewiseTransducerModel
from espnet_ext.asr.search.attention import AttentionSearch
from espnet_ext.asr.search.beam import BeamEntry
from espnet_ext.asr.search.ctc import CtcPrefixSearch, FramewiseDecoder
from espnet_ext.asr.search.rnnt import RnntSearch
from espnet_ext.asr.search.time_sync import TimeSyncSearch
from espnet_ext.asr.transducer_model import TransducerModel
from espnet_ext.errors import OptionError

Beams = List[List[BeamEntry]]
Scorers = Sequence[Tuple[Any, float]]
OUR_MODELS = (
    "attention_encoder_decoder",
    "ctc",
    "framewise",
    "framewise_transducer",
    "full_sum_transducer",
)


@dataclasses.dataclass
class BeamHypothesis(Hypothesis):
    """A hypothesis that knows its path and, if it is the best, the whole beam.

    Attributes:
        words: Of a search over words; None of others.
    """

    symbols: List[int] = dataclasses.field(default_factory=list)
    words: Optional[List[str]] = None
    beam: Sequence[BeamEntry] = ()


class SearchAdapter:
    """Our search in the place of ESPnet's BeamSearchTransducer.

    Args:
        search: From frames [B, T, R] and lengths [B] to n-best lists.
        blank: Begins a hypothesis of ESPnet's.
        by_frames: The symbols of an entry are one a frame.
        ends: ESPnet takes the last id of a hypothesis for the sentence end.
    """

    def __init__(
        self,
        search: Callable[[torch.Tensor, torch.Tensor], Beams],
        blank: int,
        by_frames: bool = True,
        ends: bool = False,
    ):
        self.search = search
        self.blank = blank
        self.by_frames = by_frames
        self.ends = ends

    def __call__(self, enc_out: torch.Tensor) -> List[Hypothesis]:
        """N-best hypotheses, best first, for frames [T, R]."""
        lengths = torch.tensor([len(enc_out)])
        return self.batch(enc_out.unsqueeze(0), lengths)[0]

    def batch(
        self, frames_BTR: torch.Tensor, lengths_B: torch.Tensor
    ) -> List[List[Hypothesis]]:
        """N-best hypotheses of each utterance of a batch."""
        return [
            [self._hypothesis(entry, beam, rank) for rank, entry in enumerate(beam)]
            for beam in self.search(frames_BTR, lengths_B)
        ]

    def _hypothesis(self, entry: BeamEntry, beam, rank: int) -> Hypothesis:
        yseq = [self.blank, *entry.labels, *[self.blank] * self.ends]
        if not self.by_frames:
            return Hypothesis(score=entry.score, yseq=yseq, dec_state=None)
        return BeamHypothesis(
            score=entry.score,
            yseq=yseq,
            dec_state=None,
            symbols=entry.symbols,
            words=getattr(entry, "words", None),
            beam=beam if rank == 0 else (),
        )


def build_search(
    model,
    beam_size: int,
    config: Dict[str, Any],
    scorers: Scorers,
    max_length_ratio: float = 0.0,
    ctc_weight: float = 0.0,
) -> Optional[SearchAdapter]:
    """The search for a model, None if it is none of ours.

    Args:
        model: In evaluation mode.
        beam_size: K.
        config: ``transducer_conf``: options of TimeSyncSearch; of a CTC model
            ``collapse``, false for the original's search.
        scorers: Language models with weights.
        max_length_ratio: Of attention models; 0 for one label a frame.
        ctc_weight: Of attention models with a CTC layer.

    Raises:
        OptionError: An option is unknown or has a wrong value.
    """
    options = dict(config)
    try:
        if getattr(model, "topology", "rna") == "rnnt":
            search = RnntSearch(model.decoder, beam_size, scorers=scorers, **options)
            return SearchAdapter(search, model.blank_id, by_frames=False)
        if isinstance(model, (TransducerModel, FramewiseTransducerModel)):
            if options.get("recombine_by") == "text":
                options.setdefault("token_list", model.token_list)
            search = TimeSyncSearch(
                model.decoder, beam_size, scorers=scorers, **options
            )
            return SearchAdapter(search, model.blank_id)
        if isinstance(model, CtcModel):
            scores = model.ctc.log_softmax
            return _symbols(model, scores, beam_size, scorers, **options)
        if isinstance(model, FramewiseModel):
            scores = model.symbol_scores
            return _symbols(model, scores, beam_size, scorers, **options)
        if isinstance(model, AttentionModel):
            if not isinstance(model.decoder, MlpAttentionDecoder):
                return None
            search = AttentionSearch(
                model.decoder,
                beam_size,
                max_length_ratio or 1.0,
                ctc=None if model.ctc is None else model.ctc.log_softmax,
                ctc_weight=0.0 if model.ctc is None else ctc_weight,
                scorers=scorers,
                **options,
            )
            return SearchAdapter(search, 0, by_frames=False, ends=True)
    except (TypeError, ValueError) as error:
        raise OptionError(f"transducer_conf: {error}") from error
    return None


def _symbols(model, scores, beam_size: int, scorers: Scorers, collapse: bool = True):
    prefix: Callable[..., Beams] = CtcPrefixSearch(beam_size, scorers)
    if not collapse:
        decoder = FramewiseDecoder(model.vocab_size)
        prefix = TimeSyncSearch(decoder, beam_size, "none", scorers=scorers)

    def search(frames_BTD: torch.Tensor, lengths_B: torch.Tensor) -> Beams:
        return prefix(scores(frames_BTD), lengths_B)

    return SearchAdapter(search, model.blank_id, by_frames=not collapse, ends=True)
