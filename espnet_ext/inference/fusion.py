"""Language models of a decoding, by their options: what is added and subtracted.

    score(labels) = log p_transducer + lm_weight log p_lm + ngram_weight log p_ngram
        - ilm_weight log p_ilm - source_lm_weight log p_source_lm
        - source_ngram_weight log p_source_ngram + penalty * number of labels

The two source models are estimated on the training transcripts: density ratio
(McDermott et al. 2019), and with an n-gram of low order LODR (Zheng et al. 2022).
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import torch
import yaml

from espnet_ext.asr.search.internal_lm import InternalLmScorer, LengthScorer
from espnet_ext.asr.search.label_scorer import LabelScorer, NeuralLmScorer, NgramScorer
from espnet_ext.errors import OptionError
from espnet_ext.files import read_lines
from espnet_ext.inference.internal_lm_files import build_internal_lm
from espnet_ext.lm.arpa import read_arpa

# option of the weight -> sign with which the scores of its model count
SIGNS = {
    "lm_weight": 1.0,
    "ngram_weight": 1.0,
    "ilm_weight": -1.0,
    "source_lm_weight": -1.0,
    "source_ngram_weight": -1.0,
    "penalty": 1.0,
}


@dataclasses.dataclass(frozen=True)
class FusionOptions:
    """Files of language models and their weights; no file, no model.

    Args:
        lm_train_config, lm_file: A language model of ESPnet.
        ngram_file: ARPA file, added.
        ilm_type: Estimate of the internal language model: zero, average, mini_lstm or
            hat (see ``asr.search.internal_lm``).
        ilm_file: What ``espnet_ext.bin.internal_lm`` wrote, for average and mini_lstm.
        source_lm_train_config, source_lm_file: A language model of the transcripts.
        source_ngram_file: An n-gram of the transcripts.
        penalty: Reward for each label (ESPnet's name), negative to make texts shorter.
    """

    lm_train_config: Optional[str] = None
    lm_file: Optional[str] = None
    lm_weight: float = 1.0
    ngram_file: Optional[str] = None
    ngram_weight: float = 0.9
    ilm_type: Optional[str] = None
    ilm_file: Optional[str] = None
    ilm_weight: float = 0.3
    source_lm_train_config: Optional[str] = None
    source_lm_file: Optional[str] = None
    source_lm_weight: float = 0.3
    source_ngram_file: Optional[str] = None
    source_ngram_weight: float = 0.2
    penalty: float = 0.0

    def weights(self) -> Dict[str, float]:
        """Weights of the models that are there, by option name."""
        there = {
            "lm_weight": self.lm_train_config,
            "ngram_weight": self.ngram_file,
            "ilm_weight": self.ilm_type,
            "source_lm_weight": self.source_lm_train_config,
            "source_ngram_weight": self.source_ngram_file,
            "penalty": True,
        }
        return {name: getattr(self, name) for name in SIGNS if there[name]}

    @classmethod
    def of(cls, values: Dict[str, Any]) -> "FusionOptions":
        """From a dictionary that may hold other options as well."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: values[name] for name in names & set(values)})


# names in full: recipe.config finds the valid keys by reading this text
OPTION_HELP = {
    "--lm_train_config": "configuration of a language model of ESPnet",
    "--lm_file": "its weights",
    "--lm_weight": "weight of its scores",
    "--ngram_file": "n-gram as ARPA file",
    "--ngram_weight": "weight of its scores",
    "--ilm_type": "internal language model to subtract: zero, average, mini_lstm, hat",
    "--ilm_file": "for average and mini_lstm: file of espnet_ext.bin.internal_lm",
    "--ilm_weight": "its scores are subtracted with this weight",
    "--source_lm_train_config": "language model of the transcripts (density ratio)",
    "--source_lm_file": "its weights",
    "--source_lm_weight": "its scores are subtracted with this weight",
    "--source_ngram_file": "n-gram of the transcripts as ARPA file (LODR)",
    "--source_ngram_weight": "its scores are subtracted with this weight",
    "--penalty": "reward for every label",
}


def add_fusion_options(parser: argparse.ArgumentParser) -> None:
    """Options ``--NAME`` of FusionOptions that the parser does not have yet."""
    known = {action.dest for action in parser._actions}
    group = parser.add_argument_group("Language models")
    for field in dataclasses.fields(FusionOptions):
        if field.name not in known:
            kind = float if field.type is float else str
            group.add_argument(
                f"--{field.name}",
                type=kind,
                default=field.default,
                help=OPTION_HELP[f"--{field.name}"],
            )


class Fused(NamedTuple):
    """A scorer with the option that names its weight, and the weight with its sign."""

    option: str
    scorer: LabelScorer
    weight: float


def build_scorers(
    options: FusionOptions,
    token_list: Sequence[str],
    decoder: Optional[torch.nn.Module] = None,
    encoder_size: int = 0,
    device: str = "cpu",
) -> List[Fused]:
    """Load what the options name, in the order of SIGNS.

    Args:
        options: Files and weights.
        token_list: Tokens of the recognizer.
        decoder: Decoder of the recognizer, for the internal language model.
        encoder_size: Features of an encoder frame, for the internal language model.
        device: Where neural models are to be.

    Raises:
        OptionError: A language model has other tokens; an unknown ``ilm_type``.
        MissingInputError: A file does not exist.
    """
    scorers: Dict[str, LabelScorer] = {}
    sos = len(token_list) - 1
    for prefix in ("", "source_"):
        config = getattr(options, f"{prefix}lm_train_config")
        if config:
            check_lm_tokens(config, token_list)
            lm = load_lm(config, getattr(options, f"{prefix}lm_file"), device)
            scorers[f"{prefix}lm_weight"] = NeuralLmScorer(lm, sos)
        ngram = getattr(options, f"{prefix}ngram_file")
        if ngram:
            scorers[f"{prefix}ngram_weight"] = read_ngram(ngram, token_list)
    if options.ilm_type:
        if decoder is None:
            raise OptionError(
                "this command knows no recognizer",
                where=f"--ilm_type {options.ilm_type}",
                expected="--asr_train_config and --asr_model_file of a transducer",
            )
        internal = build_internal_lm(
            options.ilm_type, options.ilm_file, decoder, encoder_size
        )
        scorers["ilm_weight"] = InternalLmScorer(internal.to(device))
    scorers["penalty"] = LengthScorer(len(token_list))
    weights = options.weights()
    return [
        Fused(name, scorers[name], sign * weights[name])
        for name, sign in SIGNS.items()
        if name in scorers
    ]


def read_ngram(path: str, token_list: Sequence[str]) -> LabelScorer:
    """An ARPA file, or with the package kenlm installed also KenLM's binary files."""
    if Path(path).suffix in (".bin", ".binary", ".klm"):
        from espnet_ext.inference.kenlm_scorer import KenLmScorer

        return KenLmScorer(path, token_list)
    return NgramScorer(read_arpa(path), token_list)


def load_lm(config, file, device: str = "cpu"):
    """A language model of ESPnet, ready to score.

    Raises:
        OptionError: Its weights are not named.
    """
    from espnet2.tasks.lm import LMTask

    if not file:
        raise OptionError(
            "has no weights", where=config, next_step="--lm_file (--source_lm_file)"
        )
    model, _ = LMTask.build_model_from_file(config, file, device)
    return model.lm.eval()


def check_lm_tokens(lm_train_config, token_list: Sequence[str]) -> None:
    """Refuse a language model of other units than the recognizer's.

    Raises:
        OptionError: Its token list is not the same.
    """
    text = "\n".join(read_lines(lm_train_config))
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
