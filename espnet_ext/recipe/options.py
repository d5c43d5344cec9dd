"""All options of the recipe: asr.sh's names and, where it has one, its default."""

import dataclasses
from typing import Any

CORPORA = ("embedded", "prompts", "embedded+prompts", "ldc")
LAST_STAGE = 14
ALIGN_STAGE = 21  # not one of asr.sh's: runs only where it is named
NAMED_STAGES = {"align": ALIGN_STAGE}


def _option(default: Any, group: str, help: str, choices: tuple = ()) -> Any:
    metadata = {"group": group, "help": help, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


def _general(default: Any, help: str) -> Any:
    return _option(default, "General", help)


def _data(default: Any, help: str, choices: tuple = ()) -> Any:
    return _option(default, "Data", help, choices)


def _tokens(default: Any, help: str, choices: tuple = ()) -> Any:
    return _option(default, "Tokens", help, choices)


def _lm(default: Any, help: str) -> Any:
    return _option(default, "Language model", help)


def _asr(default: Any, help: str, choices: tuple = ()) -> Any:
    return _option(default, "ASR model", help, choices)


def _alignment(default: Any, help: str, choices: tuple = ()) -> Any:
    return _option(default, "Alignment", help, choices)


def _pipeline(default: Any, help: str, choices: tuple = ()) -> Any:
    return _option(default, "Pipeline", help, choices)


def _decoding(default: Any, help: str, choices: tuple = ()) -> Any:
    return _option(default, "Decoding and scoring", help, choices)


@dataclasses.dataclass(frozen=True)
class RecipeOptions:
    """The settings of one call. Each field is an option ``--name value``."""

    stage: int = _general(1, "first stage; finished ones are still skipped")
    stop_stage: int = _general(10000, "last stage")
    skip_stages: str = _general("", "stages to leave out, for example '6 7 8'")
    skip_data_prep: bool = _general(
        False, "leave out stages 1-5; with --datadir only local/data.sh"
    )
    skip_train: bool = _general(False, "leave out stages 2 and 4-11")
    skip_eval: bool = _general(False, "leave out stages 12-13")
    skip_packing: bool = _general(True, "leave out stage 14")
    skip_upload_hf: bool = _general(True, "accepted for asr.sh's sake; never uploads")
    eval_valid_set: bool = _general(False, "decode and score the valid set too")
    force: bool = _general(False, "run stages again even if nothing has changed")
    ngpu: int = _general(1, "GPUs for training (0: CPU)")
    num_nodes: int = _general(1, "machines for training; only 1 here")
    nj: int = _general(32, "parallel jobs of data preparation and statistics")
    cluster: str = _option(
        "local", "General", "where stages 3 and 12 work", ("local", "slurm")
    )
    slurm_opts: str = _general("", "of its jobs: 'queue=short account=me memory=4GB'")
    inference_nj: int = _general(32, "parallel jobs of decoding")
    gpu_inference: bool = _general(False, "decode on the GPU")
    dumpdir: str = _general("dump", "directory for formatted data")
    expdir: str = _general("exp", "directory for experiments")
    python: str = _general("", "interpreter of the jobs (empty: the running one)")

    corpus: str = _data("", "corpora to train and test on (empty: ldc)", CORPORA)
    size: str = _data("demo", "size of the embedded corpus", ("demo", "tiny"))
    datadir: str = _data("", "folder of your own data directories, only read")
    train_set: str = _data("", "training set (empty: as the corpus has it)")
    valid_set: str = _data("", "validation set (empty: as the corpus has it)")
    test_sets: str = _data("", "test sets, blank-separated (empty: the corpus's)")
    local_data_opts: str = _data("", "options passed on to local/data.sh")
    speed_perturb_factors: str = _data("", "for example '0.9 1.0 1.1'")
    feats_type: str = _data("raw", "only raw: features are part of the model")
    audio_format: str = _data(
        "flac",
        "format of the dumped audio; segments: none is dumped, the source is read",
        ("flac", "wav", "segments"),
    )
    fs: str = _data("16k", "sampling rate of the dumped audio, for example 8k")
    min_wav_duration: float = _data(0.1, "shorter training utterances are dropped, s")
    max_wav_duration: float = _data(20.0, "longer training utterances are dropped, s")
    lang: str = _data("noinfo", "language tag in the names, for example en")
    nlsyms_txt: str = _data("none", "file of non-linguistic symbols")
    cleaner: str = _data("none", "text cleaner of ESPnet")
    g2p: str = _data("none", "only none: --token_type phn takes a --lexicon")

    token_type: str = _tokens(
        "bpe", "unit of the output", ("bpe", "char", "word", "phn")
    )
    nbpe: int = _tokens(30, "size of the BPE (subword_nmt: number of merges)")
    bpemode: str = _tokens(
        "unigram", "kind of BPE", ("unigram", "bpe", "word", "char", "subword_nmt")
    )
    bpe_train_text: str = _tokens(
        "", "texts of the BPE, utterance id first (empty: the training text)"
    )
    bpe_codes: str = _tokens("", "merges to use instead of learning (subword_nmt)")
    bpe_vocab: str = _tokens("", "their vocabulary as RETURNN has it (subword_nmt)")
    bpe_input_sentence_size: int = _tokens(100000000, "sentences read for the BPE")
    bpe_nlsyms: str = _tokens("", "file or comma list of symbols kept whole")
    bpe_char_cover: float = _tokens(1.0, "share of characters that BPE covers")
    lexicon: str = _tokens("", "pronunciation dictionary of the phonemes (phn)")
    lexicon_case: str = _tokens(
        "lower", "case of its words in the texts", ("lower", "upper", "keep")
    )
    lexicon_stress: str = _tokens("keep", "digits of its vowels", ("keep", "strip"))
    lexicon_fallback: str = _tokens(
        "none", "units of words it does not have", ("none", "graphemes", "unk")
    )
    phoneme_word_end: bool = _tokens(
        True, "the last phoneme of a word is a unit of its own (AH#)"
    )
    oov: str = _tokens("<unk>", "symbol of unknown tokens")
    blank: str = _tokens("<blank>", "symbol of blank, id 0")
    sos_eos: str = _tokens("<sos/eos>", "symbol of sentence ends, last id")

    use_lm: bool = _lm(True, "train and use a language model (stages 6-8)")
    use_word_lm: bool = _lm(False, "word units for the language model")
    use_ngram: bool = _lm(False, "make an n-gram model and use it (stage 9)")
    ngram_num: int = _lm(4, "longest n-gram, in tokens (asr.sh has 3)")
    ngram_exp: str = _lm("", "its directory (empty: expdir/ngram_<units>)")
    lm_tag: str = _lm("", "name of the language model (empty: from its settings)")
    lm_exp: str = _lm("", "its directory (empty: expdir/lm_<lm_tag>)")
    lm_stats_dir: str = _lm("", "its statistics directory")
    lm_config: str = _lm("", "its training configuration")
    lm_args: str = _lm("", "options passed on to lm_train")
    lm_train_text: str = _lm(
        "", "its texts, utterance id first (empty: data/lm/text, or the transcripts)"
    )
    lm_max_same_text: int = _lm(0, "a sentence counts this often at most (0: always)")
    lm_dev_text: str = _lm("", "its validation text (empty: the valid set's)")
    lm_test_text: str = _lm("", "text for its perplexity (empty: first test set's)")
    lm_fold_length: int = _lm(150, "fold length of lm_train")
    num_splits_lm: int = _lm(1, "only 1: splitting of the text is not supported")

    asr_task: str = _asr("asr", "only asr")
    asr_tag: str = _asr("", "name of the experiment (empty: from its settings)")
    asr_exp: str = _asr("", "its directory (empty: expdir/asr_<asr_tag>)")
    asr_stats_dir: str = _asr("", "directory of stage 10 (empty: from the settings)")
    exp: str = _asr(
        "", "experiment by name, instead of asr_config: espnet-ext exp list"
    )
    asr_config: str = _asr("", "training configuration, for example conf/....yaml")
    asr_args: str = _asr(
        "", "for asr_train, in the name; encoder.dropout=0.2 sets one value"
    )
    seed: str = _asr("", "seed of stage 11, part of the name (empty: ESPnet's)")
    pretrained_model: str = _asr("", "init_param: file[:src[:dst[:exclude]]]")
    alignment_dir: str = _asr(
        "", "alignments to train on: DIR/<set>/alignment.scp, as --stage align writes"
    )
    ignore_init_mismatch: bool = _asr(False, "drop pretrained weights that do not fit")
    feats_normalize: str = _asr(
        "global_mvn",
        "added at stage 11",
        ("global_mvn", "corpus_mvn", "utterance_mvn", "uttmvn", "none"),
    )
    corpora: str = _asr(
        "",
        "of corpus_mvn: 'NAME=PREFIX ..' of utterance ids (empty: as --corpus has it)",
    )
    asr_speech_fold_length: int = _asr(800, "speech fold length, frames of 100 samples")
    asr_text_fold_length: int = _asr(150, "text fold length")
    num_splits_asr: int = _asr(1, "only 1: splitting of the data is not supported")

    inference_tag: str = _decoding("", "name of the decode directory")
    inference_config: str = _decoding("", "decoding configuration: conf/decode_*.yaml")
    inference_args: str = _decoding("", "options passed on to asr_inference")
    inference_lm: str = _decoding("valid.loss.ave.pth", "weights of the LM")
    inference_ngram: str = _decoding("", "its ARPA file (empty: <ngram_num>gram.arpa)")
    inference_asr_model: str = _decoding(
        "valid.acc.ave.pth", "weights; transducers have valid.loss.ave.pth"
    )
    batch_size: int = _decoding(1, "utterances decoded at once")
    download_model: str = _decoding("", "packed model (zip) or model zoo tag to decode")
    scorer: str = _decoding(
        "auto", "auto: sclite where present", ("auto", "sclite", "builtin", "both")
    )
    word_rules: str = _decoding(
        "kaldi", "words that hub5 scoring is given", ("kaldi", "rwth")
    )
    results_dir: str = _decoding(
        "", "folder of the register of results (empty: results/ beside conf/)"
    )
    score_opts: str = _decoding("", "only empty: scoring follows the hub5 rules")
    local_score_opts: str = _decoding("", "options passed on to local/score.sh")

    align_sets: str = _alignment("", "sets to align (empty: training and validation)")
    align_method: str = _alignment(
        "exact", "kind of path", ("exact", "sum_alpha", "posterior")
    )
    align_output: str = _alignment("auto", "transducer, ctc, aux:N; auto: the main one")
    align_topology: str = _alignment("", "another than the model was trained with")
    align_prior_scale: float = _alignment(
        0.0, "scale of the softmax prior of a CTC output (0: none)"
    )
    align_dtype: str = _alignment(
        "float32",
        "bfloat16: the encoder in less time, a little less exactly",
        ("float32", "bfloat16"),
    )
    align_formats: str = _alignment("kaldi ctm", "of kaldi, ctm, textgrid, hdf5")

    pipeline: str = _pipeline(
        "", "stages after one another: a name in conf/pipelines, or a .yaml file"
    )
    pipeline_stages: str = _pipeline("", "only these of its stages, by name")
    pipeline_repeat: int = _pipeline(0, "how often its loop runs (0: as it says)")
    pipeline_score: str = _pipeline(
        "last", "trained models that are decoded and scored", ("last", "each")
    )
