"""Where things lie: directory and experiment names as asr.sh makes them.

All paths are relative to the recipe directory, so that a recipe can be moved.
"""

import re
from pathlib import Path
from typing import List, NamedTuple, Optional

from espnet_ext.corpus_ids import EVERYTHING, Corpora
from espnet_ext.errors import OptionError
from espnet_ext.recipe.options import RecipeOptions


class CorpusSets(NamedTuple):
    """The sets that stage 1 makes of a corpus."""

    train: str
    valid: str
    tests: str


HUB5_TESTS = "hub5e_00 hub5e_01 rt03s"
CORPUS_SETS = {
    "embedded": CorpusSets("train", "dev", HUB5_TESTS),
    "ldc": CorpusSets("train", "dev", HUB5_TESTS),
    "prompts": CorpusSets("prompts_train", "prompts_dev", "prompts_test"),
    "embedded+prompts": CorpusSets(
        "train_and_prompts", "dev_and_prompts", f"{HUB5_TESTS} prompts_test"
    ),
}


# sets that stage 1 puts together out of those of two corpora
COMBINED = {
    "train_and_prompts": ("train", "prompts_train"),
    "dev_and_prompts": ("dev", "prompts_dev"),
}
# the corpora in a training set by the beginnings of utterance ids, for corpus_mvn
CORPORA_IN = {"embedded+prompts": "switchboard= prompts=allison-"}
# keeps the results of corpora apart that one call after the other may use
CORPUS_TAGS = {"prompts": "prompts", "embedded+prompts": "embedded_prompts"}


class Layout:
    """All names of one call, derived from its options."""

    def __init__(self, options: RecipeOptions):
        self.options = options
        sets = CORPUS_SETS[options.corpus or "ldc"]
        # your own sets are only read, and what is made of them lies apart
        self.data = Path(options.dumpdir, "data") if options.datadir else Path("data")
        self.dump = Path(options.dumpdir) / "raw"
        self.exp = Path(options.expdir)
        self.unperturbed_train_set = options.train_set or sets.train
        self.train_set = self.unperturbed_train_set
        if options.speed_perturb_factors.strip():
            self.train_set += "_sp"
        self.valid_set = options.valid_set or sets.valid
        self.test_sets: List[str] = (options.test_sets or sets.tests).split()
        if not self.test_sets:
            raise OptionError("there is no test set", where="--test_sets")

    @property
    def trains(self) -> bool:
        """Whether a model is trained at all, or only used."""
        return not (self.options.skip_train or self.options.download_model)

    @property
    def sets(self) -> List[str]:
        """The sets whose audio is dumped, each once."""
        trained = [self.train_set, self.valid_set] if self.trains else []
        return list(dict.fromkeys([*trained, *self.decode_sets]))

    @property
    def decode_sets(self) -> List[str]:
        """The sets that are decoded and scored."""
        first = [self.valid_set] if self.options.eval_valid_set else []
        return list(dict.fromkeys(first + self.test_sets))

    @property
    def subword_nmt(self) -> bool:
        """True if the text is cut by subword-nmt, which ESPnet cannot read itself."""
        return self.options.token_type == "bpe" and self.options.bpemode == (
            "subword_nmt"
        )

    @property
    def cuts_text(self) -> bool:
        """True if ESPnet reads texts that the recipe has cut, as if of words."""
        return self.subword_nmt or self.options.token_type == "phn"

    # Token lists

    @property
    def token_root(self) -> Path:
        """data/[<lang>_]token_list (with --datadir: <dumpdir>/data/...)"""
        return self.data / "_".join([*self._language, "token_list"])

    @property
    def _language(self) -> List[str]:
        """Parts of names that say which language and corpus they are about."""
        options = self.options
        parts = [] if options.lang == "noinfo" else [options.lang]
        if options.corpus in CORPUS_TAGS and not options.train_set:
            parts.append(CORPUS_TAGS[options.corpus])
        return parts

    def token_dir(self, token_type: str) -> Path:
        """The folder of one token list, for example bpe_unigram80."""
        if token_type == "bpe":
            return self.token_root / f"bpe_{self.options.bpemode}{self.options.nbpe}"
        if token_type == "phn":
            return self.token_root / self._phonemes
        return self.token_root / token_type

    @property
    def _phonemes(self) -> str:
        """phn, and what is not the default of the options about the lexicon."""
        options = self.options
        name = "phn" if options.phoneme_word_end else "phn_plain"
        name += "_nostress" if options.lexicon_stress == "strip" else ""
        fallback = options.lexicon_fallback
        return name if fallback == "none" else f"{name}_{fallback}"

    @property
    def lexicon(self) -> Path:
        """The lexicon of the recognizer, which stage 5 makes."""
        return self.token_dir("phn") / "lexicon.txt"

    def cut_text(self, name: str) -> Path:
        """Where the cut text of a set lies."""
        return self.token_dir(self.options.token_type) / "text" / name

    def token_list(self, token_type: str) -> Path:
        """tokens.txt: one token a line, blank first, sentence end last."""
        return self.token_dir(token_type) / "tokens.txt"

    @property
    def bpe_model(self) -> Path:
        """sentencepiece's model, or subword-nmt's merges."""
        name = "bpe.codes" if self.subword_nmt else "bpe.model"
        return self.token_dir("bpe") / name

    @property
    def lm_token_type(self) -> str:
        """Unit of the language model."""
        return "word" if self.options.use_word_lm else self.options.token_type

    # Experiment names

    def _units_tag(self, token_type: str) -> str:
        kind = self._phonemes if token_type == "phn" else token_type
        tag = "".join(f"_{part}" for part in [*self._language, kind])
        if token_type == "bpe":
            # asr.sh leaves the kind out; its text differs, so ours must not be mixed up
            tag += "_nmt" if self.subword_nmt else ""
            tag += str(self.options.nbpe)
        return tag

    @property
    def asr_tag(self) -> str:
        """<config>_raw[_<lang>]_<token_type>[<nbpe>][args][_seedN][_sp]"""
        options = self.options
        if options.asr_tag:
            return options.asr_tag
        tag = Path(options.asr_config).stem if options.asr_config else "train"
        tag += f"_{options.feats_type}{self._units_tag(options.token_type)}"
        tag += arguments_tag(options.asr_args)
        tag += f"_seed{options.seed}" if options.seed else ""
        return tag + ("_sp" if self.train_set.endswith("_sp") else "")

    @property
    def asr_exp(self) -> Path:
        """Directory of the ASR experiment."""
        return Path(self.options.asr_exp or self.exp / f"asr_{self.asr_tag}")

    @property
    def asr_stats(self) -> Path:
        """Directory of stage 10."""
        options = self.options
        name = f"asr_stats_{options.feats_type}{self._units_tag(options.token_type)}"
        name += "_sp" if self.train_set.endswith("_sp") else ""
        return Path(options.asr_stats_dir or self.exp / name)

    @property
    def corpora(self) -> Optional[Corpora]:
        """The corpora that are normalised each by itself; None if none is.

        Raises:
            OptionError: ``--corpora`` is not understood.
        """
        options = self.options
        if options.feats_normalize != "corpus_mvn":
            return None
        preset = "" if options.train_set else CORPORA_IN.get(options.corpus, "")
        return Corpora.parse(options.corpora or preset or EVERYTHING)

    @property
    def normalisation_file(self) -> Optional[Path]:
        """Statistics of the features that stage 10 writes, if they are used."""
        names = {"global_mvn": "feats_stats.npz", "corpus_mvn": "corpus_stats.npz"}
        name = names.get(self.options.feats_normalize)
        return None if name is None else self.asr_stats / "train" / name

    @property
    def lm_tag(self) -> str:
        """<config>[_<lang>]_<token_type>[<nbpe>][args]"""
        options = self.options
        if options.lm_tag:
            return options.lm_tag
        tag = Path(options.lm_config).stem if options.lm_config else "train"
        return (
            tag + self._units_tag(self.lm_token_type) + arguments_tag(options.lm_args)
        )

    @property
    def lm_exp(self) -> Path:
        """Directory of the language model."""
        return Path(self.options.lm_exp or self.exp / f"lm_{self.lm_tag}")

    @property
    def lm_stats(self) -> Path:
        """Directory of stage 6."""
        name = f"lm_stats{self._units_tag(self.lm_token_type)}"
        return Path(self.options.lm_stats_dir or self.exp / name)

    @property
    def lm_train_text(self) -> Path:
        """Text of the language model, utterance id first."""
        return self.dump / "lm_train.txt"

    @property
    def ngram_exp(self) -> Path:
        """Directory of the n-gram model; unlike asr.sh's, it names the units."""
        name = f"ngram{self._units_tag(self.lm_token_type)}"
        return Path(self.options.ngram_exp or self.exp / name)

    @property
    def ngram_file(self) -> str:
        """Name of the n-gram model in its directory."""
        options = self.options
        return options.inference_ngram or f"{options.ngram_num}gram.arpa"

    @property
    def decode_name(self) -> str:
        """Name of the decode directory; starts with decode_ if its config's does."""
        options = self.options
        if options.inference_tag:
            return options.inference_tag
        tag = "inference"
        if options.inference_config:
            tag = Path(options.inference_config).stem
        tag += arguments_tag(options.inference_args, keep_slash=True)
        if options.use_lm:
            tag += f"_lm_{self.lm_exp.name}_{_model_tag(options.inference_lm)}"
        if options.use_ngram:
            tag += f"_ngram_{self.ngram_exp.name}_{_model_tag(self.ngram_file)}"
        return f"{tag}_asr_model_{_model_tag(options.inference_asr_model)}"

    @property
    def decode_dir(self) -> Path:
        """Directory of the decoded sets."""
        return self.asr_exp / self.decode_name

    @property
    def packed(self) -> Path:
        """The archive of stage 14."""
        name = f"{self.asr_exp.name}_{_model_tag(self.options.inference_asr_model)}.zip"
        return self.asr_exp / name


def _model_tag(file_name: str) -> str:
    return re.sub(r"\.[^.]*$", "", file_name.replace("/", "_"))


def arguments_tag(arguments: str, keep_slash: bool = False) -> str:
    """Extra options as part of a name: '--max_epoch 3' becomes '_max_epoch3'."""
    unwanted = "[ |=]" if keep_slash else "[ |=/]"
    return re.sub(unwanted, "", arguments.replace("--", "_"))
