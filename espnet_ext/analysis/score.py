"""Scores the decoded sets of an ESPnet experiment and writes all of its reports."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

from espnet_ext.analysis import hub5, official, sclite, wer
from espnet_ext.analysis.confidence import bootstrap_interval
from espnet_ext.analysis.ctm import WORD_RULES, make_ctm, write_ctm
from espnet_ext.analysis.provenance import (
    environment,
    file_hash,
    git_hash,
    hardware,
)
from espnet_ext.analysis.register import append_results
from espnet_ext.analysis.report import write_report
from espnet_ext.analysis.scores import Score, subsets, sum_counts
from espnet_ext.analysis.stored_rows import store_rows, stored_rows
from espnet_ext.analysis.tables import (
    ALL,
    Row,
    add_csv_rows,
    csv_record,
    summary_table,
    system_table,
    write_results_markdown,
    write_speaker_table,
)
from espnet_ext.errors import MissingInputError, OptionError, StageFailedError
from espnet_ext.files import atomic_write

PathLike = Union[str, Path]
SCORERS = ("auto", "sclite", "builtin", "both")


class ScorersDisagree(StageFailedError):
    """sclite and the built-in scorer do not give the same alignments."""


@dataclass(frozen=True)
class SetScore:
    """All scores of one decoded set.

    Args:
        name: Name of the set.
        data_dir: Its data directory.
        wer, cer: Raw scores of words and characters.
        ter: Raw score of tokens, where a tokenizer is known.
        hub5: Score with NIST's rules, where the set has an STM and a GLM.
    """

    name: str
    data_dir: Path
    wer: Score
    cer: Score
    ter: Optional[Score] = None
    hub5: Optional[Score] = None

    @property
    def main(self) -> Score:
        """The score that stands for the set: NIST's where there is one."""
        return self.hub5 if self.hub5 is not None else self.wer

    def rows(self, seed: int = 1) -> List[Row]:
        """The rows of this set, subsets included, with intervals drawn by ``seed``."""
        rows: List[Row] = []
        scores = (("hub5", self.hub5), ("WER", self.wer), ("CER", self.cer))
        for metric, score in (*scores, ("TER", self.ter)):
            if score is None:
                continue
            parts = {ALL: score.segments, **subsets(score)}
            for subset, segments in parts.items():
                rows.append(
                    Row(
                        self.name,
                        subset,
                        metric,
                        sum_counts(segments),
                        bootstrap_interval(segments, seed=seed),
                        score.scorer,
                        score.version,
                    )
                )
        return rows


def choose_scorer(scorer: str) -> str:
    """Resolve "auto" to "sclite" where it is installed, else "builtin" with a notice.

    "both" reports sclite's figures and stops if the built-in scorer has others.

    Raises:
        OptionError: The name is unknown.
        ToolMissingError: "sclite" or "both" was asked for and it is absent.
    """
    if scorer not in SCORERS:
        raise OptionError(f"unknown scorer {scorer!r}", expected=" or ".join(SCORERS))
    if scorer in ("sclite", "both"):
        sclite.require_sctk()
    if scorer == "auto":
        scorer = "builtin" if sclite.find_sctk() is None else "sclite"
        if scorer == "builtin":
            print(
                "notice: sclite is not installed; the built-in scorer gives the same "
                "numbers (apt-get install sctk for NIST's own reports)",
                file=sys.stderr,
            )
    return scorer


def score_set(
    data_dir: PathLike,
    decoded: PathLike,
    *,
    scorer: str = "auto",
    word_rules: str = "kaldi",
    tokenize: Optional[wer.Tokenizer] = None,
) -> SetScore:
    """Score one set and write its score directories.

    Args:
        data_dir: Kaldi-style directory with text, and segments, stm, glm for NIST's
            rules.
        decoded: Directory with the hypotheses in ``text``; score_wer, score_cer,
            score_ter and score_hub5 are written into it.
        scorer: "auto", "sclite", "builtin" or "both".
        word_rules: Which words NIST's rules are given, see ``ctm``.
        tokenize: Splits a text into tokens, for the token error rate.

    Raises:
        UserError: Missing or extra hypotheses, a malformed reference, a failed scorer.
    """
    data_dir, decoded = Path(data_dir), Path(decoded)
    scorer = choose_scorer(scorer)
    transcripts = wer.read_transcripts(data_dir, decoded / "text")

    def raw(name: str, units: wer.Tokenizer) -> Score:
        tokens = wer.tokenized(transcripts, units)
        return _score_raw(tokens, decoded / f"score_{name}", scorer)

    stm, glm = data_dir / "stm", data_dir / "glm"
    nist = None
    if stm.is_file():
        if not glm.is_file():
            raise MissingInputError(
                "an STM without a GLM",
                where=glm,
                expected="the mapping file of the release",
            )
        nist = _score_nist(data_dir, decoded, scorer, word_rules)
    return SetScore(
        name=decoded.name,
        data_dir=data_dir,
        wer=raw("wer", wer.words_of),
        cer=raw("cer", wer.characters_of),
        ter=raw("ter", tokenize) if tokenize is not None else None,
        hub5=nist,
    )


def _score_raw(transcripts: wer.Transcripts, folder: Path, scorer: str) -> Score:
    ref, hyp = folder / "ref.trn", folder / "hyp.trn"
    (folder / "result.txt").unlink(missing_ok=True)
    wer.write_trn(transcripts.references, transcripts.speakers, ref)
    used = wer.write_trn(transcripts.hypotheses, transcripts.speakers, hyp)
    if scorer != "builtin" and used:
        ids = list(transcripts.references)
        nist = sclite.score_trn(ref, hyp, folder, ids, used)
        if scorer == "both":
            _require_same(nist, wer.score_transcripts(transcripts), folder)
        return nist
    score = wer.score_transcripts(transcripts)
    with atomic_write(folder / "result.txt") as file:
        file.write(system_table(score, "hyp.trn"))
    return score


def _require_same(nist: Score, own: Score, folder: Path) -> None:
    for theirs, ours in zip(nist.segments, own.segments):
        if theirs != ours:
            raise ScorersDisagree(
                f"{ours.id}: sclite {theirs.counts}, built-in scorer {ours.counts}",
                where=folder,
                next_step="please report this utterance; --scorer sclite goes on",
            )


def _score_nist(data_dir: Path, decoded: Path, scorer: str, word_rules: str) -> Score:
    folder = decoded / "score_hub5"
    ctm = decoded / "hyp.ctm"
    write_ctm(make_ctm(data_dir, decoded / "text", word_rules), ctm)
    stm, glm = data_dir / "stm", data_dir / "glm"
    if scorer == "builtin":
        score = hub5.score_hub5(stm, ctm, glm)
        sclite.clean_folder(folder)
        with atomic_write(folder / "hyp.ctm.filt.sys") as file:
            file.write(system_table(score, "hyp.ctm"))
    else:
        score = sclite.score_hub5(stm, ctm, glm, folder)
        if scorer == "both":
            _require_same(score, hub5.score_hub5(stm, ctm, glm), folder)
    # tables and CSV rows have to say what the figures depend on
    return replace(score, version=f"{score.version}, words by {word_rules} rules")


def score_experiment(
    exp_dir: PathLike,
    decode_dir_name: str,
    data_dir: PathLike,
    test_sets: Sequence[str],
    *,
    scorer: str = "auto",
    word_rules: str = "kaldi",
    tokenize: Optional[wer.Tokenizer] = None,
    provenance: Optional[Dict[str, Any]] = None,
    note: str = "",
    register: Optional[PathLike] = None,
    worst: int = 10,
    bootstrap_seed: int = 1,
) -> List[SetScore]:
    """Score all sets of one decode directory, write the reports, print one table.

    Reads EXP/DECODE/SET/text and DATA/SET/{text,utt2spk,segments,stm,glm,wav.scp,
    reco2file_and_channel}. Writes EXP/DECODE/SET/score_{wer,cer,ter,hub5}/,
    EXP/DECODE/{speakers.csv,result_rows.json} and
    EXP/{RESULTS.md,results.csv,index.html,report/}; RESULTS.md lists all decode
    directories that were scored.

    Args:
        exp_dir: Experiment directory, for example exp/asr_train_demo_raw_bpe80.
        decode_dir_name: Name of a decode directory inside it.
        data_dir: Folder with one Kaldi-style data directory per set.
        test_sets: Names of the sets.
        scorer: "auto" (sclite where installed, else builtin), "sclite", "builtin", or
            "both": sclite's figures, and an error if the built-in ones differ.
        word_rules: "kaldi" or "rwth": which words NIST's rules are given, see ``ctm``.
        tokenize: Splits a text into tokens, for the token error rate.
        provenance: Facts for the report and the CSV rows: any of command, config, seed,
            hardware, selection_rule, data_hash, exp, experiment, corpus; others are
            shown in the report.
        note: An honest line about the data, such as "synthetic speech".
        register: CSV file of all results, see ``register``; None for no entry.
        worst: How many of the worst utterances to show.
        bootstrap_seed: Seed of the confidence intervals.

    Raises:
        UserError: Missing or extra hypotheses, missing references, scorer failure.
    """
    exp_dir, data_dir = Path(exp_dir), Path(data_dir)
    for name in test_sets:
        for folder in (exp_dir / decode_dir_name / name, data_dir / name):
            if not folder.is_dir():
                raise MissingInputError("no such directory", where=folder)
    if not test_sets:
        raise OptionError("no sets to score", next_step='--sets "hub5e_00 rt03s"')
    if word_rules not in WORD_RULES:
        raise OptionError(
            f"unknown word rules {word_rules!r}", expected=" or ".join(WORD_RULES)
        )
    scorer = choose_scorer(scorer)
    scores = [
        score_set(
            data_dir / name,
            exp_dir / decode_dir_name / name,
            scorer=scorer,
            word_rules=word_rules,
            tokenize=tokenize,
        )
        for name in test_sets
    ]
    rows = [row for score in scores for row in score.rows(bootstrap_seed)]
    config = exp_dir / "config.yaml"
    facts = {key: str(value) for key, value in (provenance or {}).items()}
    facts.setdefault("exp", exp_dir.resolve().name)
    facts.setdefault("hardware", hardware())
    facts.update(
        decode=decode_dir_name, config_hash=file_hash(config), git_hash=git_hash()
    )
    versions = environment(config)
    store_rows(rows, exp_dir / decode_dir_name)
    write_results_markdown(
        stored_rows(exp_dir),
        exp_dir / "RESULTS.md",
        exp=facts["exp"],
        environment=versions,
        note=note,
    )
    records = [csv_record(row, facts) for row in rows]
    add_csv_rows(records, exp_dir / "results.csv")
    if register is not None:
        named = {key: facts.get(key, "") for key in ("experiment", "corpus")}
        append_results(Path(register), records, **named, note=note)
    by_speaker = {
        (score.name, metric): part.by_speaker()
        for score in scores
        for metric, part in (("hub5", score.hub5), ("WER", score.wer))
        if part is not None
    }
    write_speaker_table(by_speaker, exp_dir / decode_dir_name / "speakers.csv")
    write_report(
        exp_dir, scores, rows, facts=facts, versions=versions, note=note, worst=worst
    )
    print(summary_table(rows))
    for line in official.warnings(rows):
        print(f"warning: {line}", file=sys.stderr)
    return scores
