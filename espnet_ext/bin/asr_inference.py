"""Decode with our searches: options of ``espnet2.bin.asr_inference``.

    python -m espnet_ext.bin.asr_inference --config conf/decode_rna.yaml ...

``transducer_conf`` of the configuration holds the options of TimeSyncSearch
(``recombination``, ``bos``). ``lm_train_config``, ``lm_file`` and ``lm_weight`` add a
language model of ESPnet, ``ngram_file`` (ARPA) and ``ngram_weight`` an n-gram, both of
the recognizer's own units. Models of other decoders are decoded as ESPnet does.
"""

import argparse
import sys
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import torch
import yaml
from espnet2.asr.transducer.beam_search_transducer import Hypothesis
from espnet2.bin import asr_inference as stock

from espnet_ext.asr.search.label_scorer import (
    LabelScorer,
    NeuralLmScorer,
    NgramScorer,
)
from espnet_ext.asr.search.time_sync import TimeSyncSearch
from espnet_ext.asr.transducer_model import TransducerModel
from espnet_ext.errors import OptionError, ToolMissingError, run_main
from espnet_ext.files import read_lines
from espnet_ext.lm.arpa import read_arpa
from espnet_ext.progress import report
from espnet_ext.register import register

register()


def _is_ours(asr_train_config) -> bool:
    """Whether a training configuration is of a model that our search decodes."""
    if not asr_train_config:
        return False
    text = Path(asr_train_config).read_text(encoding="utf-8")
    return yaml.safe_load(text).get("model") == "full_sum_transducer"


def check_lm_tokens(lm_train_config, token_list: Sequence[str]) -> None:
    """Refuse a language model of other units than the recognizer's.

    Raises:
        OptionError: Its token list is not the same.
    """
    text = Path(lm_train_config).read_text(encoding="utf-8")
    tokens = yaml.safe_load(text).get("token_list")
    if isinstance(tokens, str):
        tokens = read_lines(tokens)
    if list(tokens or []) != list(token_list):
        raise OptionError(
            f"the language model has {len(tokens or [])} tokens, the recognizer has "
            f"{len(token_list)}, and they are not the same",
            where=lm_train_config,
            expected="a language model trained with the recognizer's token list",
            next_step="train it with the same --token_type and --nbpe (stages 6-7)",
        )


class SearchAdapter:
    """Our search in the place of ESPnet's BeamSearchTransducer."""

    def __init__(self, search: TimeSyncSearch):
        self.search = search

    def __call__(self, enc_out: torch.Tensor) -> List[Hypothesis]:
        """N-best hypotheses, best first, for projected frames [T, R]."""
        blank = self.search.decoder.blank_id
        return [
            Hypothesis(score=entry.score, yseq=[blank, *entry.labels], dec_state=None)
            for entry in self.search(enc_out)
        ]


class Speech2Text(stock.Speech2Text):
    """ESPnet's Speech2Text; transducers with our decoder use TimeSyncSearch.

    Args:
        transducer_conf: Options of TimeSyncSearch (``recombination``, ``bos``).
        beam_size: Hypotheses kept in each frame; 1 is greedy search.
        lm_train_config: Configuration of a language model with the recognizer's
            tokens; its weights are ``lm_file``.
        lm_weight: Its weight where a label is emitted.
        ngram_file: ARPA file of an n-gram over the recognizer's tokens.
        ngram_weight: Its weight where a label is emitted.
        total: Number of utterances to come, for progress reports; 0 for unknown.
        kwargs: As ESPnet's Speech2Text.
    """

    def __init__(
        self,
        asr_train_config=None,
        asr_model_file=None,
        transducer_conf: Optional[dict] = None,
        beam_size: int = 20,
        total: int = 0,
        lm_train_config=None,
        lm_weight: float = 1.0,
        ngram_file=None,
        ngram_weight: float = 0.9,
        **kwargs,
    ):
        self.done, self.total = 0, total
        config = transducer_conf or {}
        ours = _is_ours(asr_train_config)
        try:
            super().__init__(
                asr_train_config=asr_train_config,
                asr_model_file=asr_model_file,
                beam_size=beam_size,
                lm_train_config=lm_train_config,
                lm_weight=lm_weight,
                # ESPnet would read it with KenLM
                ngram_file=None if ours else ngram_file,
                ngram_weight=ngram_weight,
                # ESPnet's own search is built first and would not know our options
                transducer_conf={},
                **kwargs,
            )
        except ModuleNotFoundError as error:
            if error.name != "kenlm":
                raise
            raise ToolMissingError(
                "ESPnet reads n-grams of this kind of model with KenLM",
                where=ngram_file,
                next_step="install kenlm, or leave out --ngram_file",
            ) from None
        if not isinstance(self.asr_model, TransducerModel):
            if config:
                raise OptionError(
                    f"transducer_conf {config} is for full_sum_transducer models",
                    where=asr_train_config,
                    next_step="decode other models with espnet2.bin.asr_inference",
                )
            return
        tokens = self.asr_model.token_list
        scorers: List[Tuple[LabelScorer, float]] = []
        if lm_train_config:
            check_lm_tokens(lm_train_config, tokens)
            lm = self.beam_search_transducer.lm
            scorers.append((NeuralLmScorer(lm, sos=len(tokens) - 1), lm_weight))
        if ngram_file:
            scorers.append((NgramScorer(read_arpa(ngram_file), tokens), ngram_weight))
        try:
            search = TimeSyncSearch(
                self.asr_model.decoder, beam_size, scorers=scorers, **config
            )
        except (TypeError, ValueError) as error:
            raise OptionError(f"transducer_conf: {error}") from error
        self.beam_search_transducer = SearchAdapter(search)

    def __call__(self, speech):
        """As upstream; an utterance too short for one frame gives an empty text."""
        if self.total and self.done % max(self.total // 50, 1) == 0:
            report(self.done, self.total)
        self.done += 1
        return super().__call__(speech)

    @staticmethod
    def from_pretrained(model_tag: Optional[str] = None, **kwargs) -> "Speech2Text":
        """From file names, or from a packed model (a .zip file) or a model-zoo tag.

        A .zip is unpacked by ESPnet's archive reader into a folder beside it.
        """
        if model_tag is not None:
            from espnet_ext.interop.packed import unpack_model

            kwargs.update(unpack_model(model_tag))
        return Speech2Text(**kwargs)


def get_parser() -> argparse.ArgumentParser:
    """Options of the command (ESPnet's)."""
    return stock.get_parser()


def decode(cmd: Optional[Sequence[str]] = None) -> int:
    """Decode a data set into ``output_dir/{1..n}best_recog``."""
    args = vars(get_parser().parse_args(cmd))
    args.pop("config", None)
    total = 0
    if args["key_file"]:
        with open(args["key_file"], encoding="utf-8") as file:
            total = sum(1 for _ in file)

    class CountingSpeech2Text(Speech2Text):
        """Speech2Text that knows how many utterances the command will decode."""

        @staticmethod
        def from_pretrained(model_tag=None, **kwargs):
            return Speech2Text.from_pretrained(model_tag, total=total, **kwargs)

    # ESPnet's inference() looks the class up in its own module
    original, stock.Speech2Text = stock.Speech2Text, CountingSpeech2Text
    try:
        stock.inference(**args)
    finally:
        stock.Speech2Text = original
    report(total, max(total, 1))
    return 0


def main(cmd: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    return run_main(lambda: decode(cmd))


if __name__ == "__main__":
    sys.exit(main())
