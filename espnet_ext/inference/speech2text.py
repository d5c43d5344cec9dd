"""ESPnet's Speech2Text with our search, language models and word times."""

import dataclasses
import functools
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import torch
import yaml
from espnet2.bin import asr_inference as stock
from espnet2.torch_utils.device_funcs import to_device

from espnet_ext.asr.attention_model import AttentionModel
from espnet_ext.asr.ctc_model import CtcModel
from espnet_ext.asr.framewise_model import FramewiseModel
from espnet_ext.asr.framewise_transducer_model import FramewiseTransducerModel
from espnet_ext.asr.transducer_model import TransducerModel
from espnet_ext.errors import AudioError, OptionError, ToolMissingError
from espnet_ext.inference.fusion import FusionOptions, build_scorers
from espnet_ext.inference.latency import (
    FrameShift,
    chunk_in_evaluation,
    frame_shift,
)
from espnet_ext.inference.model_search import (
    OUR_MODELS,
    BeamHypothesis,
    SearchAdapter,
    build_search,
)
from espnet_ext.inference.recognizer import joins_pieces
from espnet_ext.inference.word_search import (
    WordOptions,
    build_vocabulary,
    build_word_search,
    lexicon_of,
    timed_entry,
)
from espnet_ext.inference.word_times import (
    TimedWord,
    confidences,
    emission_frames,
    spelled,
    timed_words,
    words_of,
)
from espnet_ext.layers.corpus_mvn import (
    choose_corpus,
    utterances_are,
    utterances_of,
)
from espnet_ext.recipe import subword_nmt
from espnet_ext.register import register

register()


OURS = (
    *(TransducerModel, CtcModel, AttentionModel),
    *(FramewiseModel, FramewiseTransducerModel),
)


def _is_ours(asr_train_config) -> bool:
    """Whether a training configuration is of a model that our search decodes."""
    if not asr_train_config:
        return False
    text = Path(asr_train_config).read_text(encoding="utf-8")
    return yaml.safe_load(text).get("model") in OUR_MODELS


class Speech2Text(stock.Speech2Text):
    """ESPnet's Speech2Text; our models use our batched searches.

    Args:
        transducer_conf: Options of the search, see ``build_search``.
        beam_size: Hypotheses kept in each frame; 1 is greedy search.
        batch_encoder: Encode the utterances of a batch together: faster on a GPU, but
            then their last frames depend on the batch.
        chunked: Encode in the windows of training (``chunk_size``), as a stream is.
        corpus: What all utterances are normalised as, of the corpora that a model with
            ``corpus_mvn`` knows; by default their ids tell.
        kwargs: Options of FusionOptions and WordOptions, and those of ESPnet's
            Speech2Text.
    """

    def __init__(
        self,
        asr_train_config=None,
        asr_model_file=None,
        transducer_conf: Optional[dict] = None,
        beam_size: int = 20,
        batch_encoder: bool = False,
        chunked: bool = False,
        corpus: Optional[str] = None,
        **kwargs,
    ):
        config = transducer_conf or {}
        fusion = FusionOptions.of(kwargs)
        names = {field.name for field in dataclasses.fields(FusionOptions)}
        given = {name: kwargs.pop(name) for name in names & set(kwargs)}
        by_words = WordOptions.take(kwargs)
        batch_size = kwargs.get("batch_size", 1)
        if _is_ours(asr_train_config):
            kwargs["batch_size"] = 1  # ESPnet's own transducer search knows no other
        else:
            _refuse_ours(config, given, by_words, chunked, asr_train_config)
            kwargs.update({k: v for k, v in given.items() if k in STOCK_FUSION})
        try:
            super().__init__(
                asr_train_config=asr_train_config,
                asr_model_file=asr_model_file,
                beam_size=beam_size,
                # ESPnet's own search is built first and would not know our options
                transducer_conf={},
                **kwargs,
            )
        except ModuleNotFoundError as error:
            if error.name != "kenlm":
                raise
            raise ToolMissingError(
                "ESPnet reads n-grams of this kind of model with KenLM",
                where=given.get("ngram_file"),
                next_step="install kenlm, or leave out --ngram_file",
            ) from None
        self.fusion, self.batch_size, self.by_words = fusion, batch_size, by_words
        self.batch_encoder = batch_encoder
        model = self.asr_model
        if corpus:
            choose_corpus(model, corpus)
        if not isinstance(model, OURS):
            return
        if fusion.ilm_type and not isinstance(model, TransducerModel):
            raise OptionError(
                f"ilm_type {fusion.ilm_type} is for full_sum_transducer models",
                where=asr_train_config,
                next_step="decode other models without it",
            )
        if chunked:
            chunk_in_evaluation(model.encoder)
        scorers = build_scorers(
            fusion,
            model.token_list,
            model.decoder,
            model.encoder.output_size(),
            self.device,
        )
        weighted = [(fused.scorer, fused.weight) for fused in scorers]
        lexicon = lexicon_of(by_words, self.asr_train_args)
        if lexicon is not None:
            vocabulary = build_vocabulary(
                lexicon, by_words.word_ngram_file, model.token_list
            )
            adapter = build_word_search(
                model, vocabulary, beam_size, config, by_words, weighted
            )
        else:
            adapter = build_search(
                model,
                beam_size,
                config,
                weighted,
                self.maxlenratio,
                kwargs.get("ctc_weight", 0.0),
            )
        if adapter is not None:
            self.beam_search_transducer = adapter

    def _can_batch_decode(self) -> bool:
        return self._has_our_search() or super()._can_batch_decode()

    def _has_our_search(self) -> bool:
        return isinstance(self.beam_search_transducer, SearchAdapter)

    @torch.no_grad()
    def _batch_decode_padded(
        self, speech: torch.Tensor, speech_lengths: torch.Tensor
    ) -> List[Any]:
        if not self._has_our_search():
            return super()._batch_decode_padded(speech, speech_lengths)
        am_BTR, lengths_B = self._encode(speech, speech_lengths)
        beams = self.beam_search_transducer.batch(am_BTR, lengths_B)
        return [self._hyps_to_results(hypotheses) for hypotheses in beams]

    def _hyps_to_results(self, nbest_hyps: List[Any]) -> Any:
        results = super()._hyps_to_results(nbest_hyps)
        if any(getattr(hyp, "words", None) is not None for hyp in nbest_hyps):
            return [(" ".join(r[3].words), *r[1:]) for r in results]
        if not joins_pieces(self.asr_train_args):
            return results
        return [(subword_nmt.join(text), *others) for text, *others in results]

    def _encode(self, speech, speech_lengths):
        """Projected frames [B, T, R] and lengths.

        Convolutions and pooling see frames after the end of a sequence, and SAME
        padding is placed by the length of the whole batch. Encoded by itself, an
        utterance has the same frames whatever it is decoded with.
        """
        if self.batch_encoder:
            batch = {"speech": speech, "speech_lengths": speech_lengths}
            return self.asr_model.encode(**to_device(batch, self.device))
        frames, lengths = [], []
        ids = utterances_of(self.asr_model) or [None] * len(speech)
        for samples, length, key in zip(speech, speech_lengths.tolist(), ids):
            one = samples[:length].unsqueeze(0).to(self.device)
            with utterances_are(self.asr_model, key and [key]):
                am_1TR, length_1 = self.asr_model.encode(one, torch.tensor([length]))
            frames.append(am_1TR[0])
            lengths.append(length_1)
        return torch.nn.utils.rnn.pad_sequence(frames, True), torch.cat(lengths)

    @functools.cached_property
    def shift(self) -> FrameShift:
        """Seconds from one encoder frame to the next, and what they are made of."""
        return frame_shift(self.asr_model, self.asr_train_args)

    def words(self, nbest: Sequence[Any]) -> Optional[List[TimedWord]]:
        """Words of the best hypothesis with times and confidences.

        None for models whose hypotheses have no symbol for each frame.
        """
        best = nbest[0][3]
        if not isinstance(best, BeamHypothesis):
            return None
        if best.words is not None:
            return timed_entry(best.beam, self.asr_model.blank_id, self.shift.seconds)
        kind = self.asr_train_args.token_type
        names = self.asr_model.token_list
        hypotheses = []
        for entry in best.beam:
            tokens = [names[label] for label in entry.labels]
            groups = words_of(tokens, kind)
            hypotheses.append([spelled([tokens[p] for p in g], kind) for g in groups])
        posteriors = confidences(hypotheses, [entry.score for entry in best.beam])
        frames = emission_frames(best.symbols, self.asr_model.blank_id)
        return timed_words(nbest[0][1], frames, self.shift.seconds, kind, posteriors)

    def transcribe(
        self, waves: Sequence[np.ndarray], utterance_ids: Optional[List[str]] = None
    ) -> List[Any]:
        """N-best list and words (or None) of each of several utterances.

        Args:
            waves: Samples of each.
            utterance_ids: Of each; only a model with ``corpus_mvn`` asks for them.

        Raises:
            AudioError: An utterance is too short for one encoder frame.
        """
        with utterances_are(self.asr_model, utterance_ids):
            if len(waves) == 1:
                nbest = [self(waves[0])]
            else:
                nbest = self.batch_decode(list(waves))
        results = []
        for wave, hypotheses in zip(waves, nbest):
            if isinstance(hypotheses, tuple):
                hypotheses = hypotheses[0]  # beside it: intermediate CTC
            best = hypotheses[0][3]
            if isinstance(best, BeamHypothesis) and not best.symbols:
                raise AudioError(f"{len(wave)} samples are too short for one frame")
            results.append((hypotheses, self.words(hypotheses)))
        return results

    @staticmethod
    def from_pretrained(model_tag: Optional[str] = None, **kwargs) -> "Speech2Text":
        """From file names, or from a packed model (a .zip file) or a model-zoo tag.

        A .zip is checked and then unpacked into a folder beside it.
        """
        if model_tag is not None:
            from espnet_ext.interop.packed import unpack_model

            kwargs.update(unpack_model(model_tag))
        return Speech2Text(**kwargs)


STOCK_FUSION = frozenset(
    "lm_train_config lm_file lm_weight ngram_file ngram_weight penalty".split()
)


def _refuse_ours(
    config, given: Dict[str, Any], by_words: WordOptions, chunked: bool, where
) -> None:
    """Options that only our search knows, with a model of another kind.

    Raises:
        OptionError: One of them was given.
    """
    defaults = FusionOptions()
    named = [
        f"{name} {value}"
        for name, value in given.items()
        if name not in STOCK_FUSION and value != getattr(defaults, name)
    ]
    named += [f"transducer_conf {config}"] if config else []
    if by_words != WordOptions():
        named.append("a lexicon or an n-gram of words")
    named += ["chunked"] if chunked else []
    if named:
        raise OptionError(
            f"{named[0]} is for our own models ({', '.join(OUR_MODELS)})",
            where=where,
            next_step="decode other models without it",
        )
