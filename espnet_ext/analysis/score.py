"""Scores the decoded sets of an ESPnet experiment and writes all of its reports."""

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

PathLike = Union[str, Path]


def score_set(
    data_dir: PathLike,
    decode_set_dir: PathLike,
    *,
    scorer: str = "auto",
    seed: int = 1,
):
    """Score one set: WER, CER, TER, and hub5 scoring where the set has an STM."""
    raise NotImplementedError("being written")


def score_experiment(
    exp_dir: PathLike,
    decode_dir_name: str,
    data_dir: PathLike,
    test_sets: Sequence[str],
    *,
    scorer: str = "auto",
    provenance: Optional[Dict[str, Any]] = None,
    audio_dir: Optional[PathLike] = None,
    note: str = "",
    worst: int = 10,
    bootstrap_seed: int = 1,
) -> List["SetScore"]:  # noqa: F821
    """Score all sets of one decode directory and write the reports.

    Reads EXP/DECODE/SET/text (and token), DATA/SET/{text,segments,
    reco2file_and_channel,stm,glm,wav.scp,utt2spk}. Writes
    EXP/DECODE/SET/score_{wer,cer,ter,hub5}/ and EXP/{RESULTS.md,results.csv,index.html,
    report/}; prints one table.

    Args:
        exp_dir: Experiment directory, for example exp/asr_train_demo_raw_bpe80.
        decode_dir_name: Its decode directory, for example decode_greedy_asr_model_....
        data_dir: Folder with one Kaldi-style data directory per set.
        test_sets: Names of the sets.
        scorer: "auto" (sclite where present, else builtin), "sclite" or "builtin".
        provenance: Extra facts for the report and the CSV row: any of command, config,
            seed, hardware, selection_rule, data_hash, exp (its name).
        audio_dir: Data directory holding wav.scp for the players, if not DATA.
        note: An honest line about the data, such as "synthetic speech".
        worst: How many utterances with the most errors to show.
        bootstrap_seed: Seed of the confidence intervals.

    Raises:
        UserError: Missing or extra hypotheses, missing reference, scorer failure.
    """
    raise NotImplementedError("being written")
