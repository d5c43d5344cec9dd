"""Runs NIST's scorers (hubscr.pl, sclite) in a clean folder and reads their alignments.

The Debian package ``sctk`` hides the programs behind a wrapper: ``sctk path`` prints
their folder. ``-V`` is needed, because hubscr's validator refuses filtered text that
has alternatives. Reports of an earlier run would survive a failure and be taken for new
ones, so they are deleted first.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import List, Optional, Sequence, Tuple, Union

from espnet_ext.analysis.align import Alignment, Pair
from espnet_ext.analysis.glm import (
    HYPOTHESIS,
    REFERENCE,
    check_optional_words,
    load_glm,
)
from espnet_ext.analysis.hub5 import CtmError
from espnet_ext.analysis.network import without_tags
from espnet_ext.analysis.scores import Counts, Score, ScoredSegment
from espnet_ext.analysis.stm import read_stm
from espnet_ext.errors import FormatError, StageFailedError, ToolMissingError
from espnet_ext.files import atomic_write, disk_full_is_a_user_error, read_lines

PathLike = Union[str, Path]
HUBSCR_TIMEOUT_S = 3600
LOG = "scorer.log"
HUBSCR_OPTIONS = "-V -l english -h hub5 -g glm -r ref.stm hyp.ctm".split()
SCLITE_OPTIONS = (
    "-r ref.stm.filt stm -h hyp.ctm.filt ctm hyp.ctm -F -D "
    "-o sum rsum sgml lur dtl pra prf -n hyp.ctm.filt"
).split()
_PATH = re.compile(r'<PATH id="(?P<id>[^"]*)".*?sequence="(?P<sequence>\d+)"')
_WORD = re.compile(
    r'(?:^|:)([CSDI]),(?:"(.*?)")?,(?:"(.*?)")?'
    r"(?:,(?:[\d.]+\+[\d.]+)?(?:,-?[\d.]*)?)?(?=:[CSDI],|$)"
)
_VERSION = re.compile(r"sclite: (\S+) TK Version (\S+)")


class ScliteError(StageFailedError):
    """One of NIST's programs failed; its output says why."""


def find_sctk() -> Optional[Path]:
    """The folder of NIST's programs, or None where they are not installed."""
    on_path = shutil.which("sclite")
    if on_path and shutil.which("hubscr.pl"):
        return Path(on_path).resolve().parent
    wrapper = shutil.which("sctk")
    if wrapper is None:
        return None
    done = subprocess.run([wrapper, "path"], capture_output=True, text=True)
    folder = Path(done.stdout.strip())
    if done.returncode == 0 and (folder / "hubscr.pl").is_file():
        return folder
    return None


def require_sctk() -> Path:
    """The folder of NIST's programs.

    Raises:
        ToolMissingError: They are not installed.
    """
    folder = find_sctk()
    if folder is None:
        raise ToolMissingError(
            "sclite is not installed",
            expected="sclite and hubscr.pl, or Debian's sctk wrapper, on PATH",
            next_step="apt-get install sctk, or use --scorer builtin "
            "(the package sctk of PyPI is something else)",
        )
    return folder


def score_hub5(stm: PathLike, ctm: PathLike, glm: PathLike, folder: PathLike) -> Score:
    """Score a CTM with ``hubscr.pl -V -l english -h hub5``.

    Args:
        stm, ctm, glm: Input files.
        folder: Emptied of earlier reports, then filled with copies of the inputs and
            NIST's reports (hyp.ctm.filt.sys, .raw, .lur, .pra, ...).

    Raises:
        FormatError, CtmError: A known defect of the input, named.
        ScliteError: Any other failure, with the last lines of the output.
    """
    reference = read_stm(stm)
    for segment in reference.segments:  # the filter would stop without naming the line
        check_optional_words(segment.text, f"{stm} line {segment.line}")
    folder = clean_folder(folder)
    with disk_full_is_a_user_error(folder):
        for source, name in ((stm, "ref.stm"), (ctm, "hyp.ctm"), (glm, "glm")):
            shutil.copyfile(source, folder / name)
    programs = require_sctk()
    try:
        log = _run(programs, "hubscr.pl", HUBSCR_OPTIONS, folder, (stm, ctm))
    except ScliteError:
        for side in (REFERENCE, HYPOTHESIS):
            load_glm(glm, side)  # a GLM that NIST's filter cannot read is named here
        # sclite 2.10 dies while drawing a DET curve if every hypothesis word is right;
        # the filtered files are there, so the same scoring is run without that curve
        if not (folder / "hyp.ctm.filt").exists():
            raise
        log = _run(programs, "sclite", SCLITE_OPTIONS, folder, (stm, ctm))
    segments = [s for s in reference.segments if not s.ignored]
    alignments = read_sgml(folder / "hyp.ctm.filt.sgml")
    if len(alignments) != len(segments):
        raise ScliteError(
            f"{len(alignments)} segments in the report, {len(segments)} in the STM",
            where=folder,
        )
    scored = [
        ScoredSegment(
            id=f"{s.file}-{s.channel}-{s.start:.2f}-{s.end:.2f}".lower(),
            speaker=s.speaker.lower(),
            alignment=alignment,
            file=s.file.lower(),
            channel=s.channel.lower(),
            start=s.start,
            end=s.end,
            labels=s.labels,
        )
        for s, (_, alignment) in zip(segments, alignments)
    ]
    score = Score(scored, "sclite", _version(log), reference.titles)
    _check_total(score, read_raw(folder / "hyp.ctm.filt.raw"), folder)
    return score


def score_trn(
    ref: PathLike,
    hyp: PathLike,
    folder: PathLike,
    utterances: Sequence[str],
    speakers: Sequence[str],
) -> Score:
    """Score two trn files with plain ``sclite -i rm``, as ESPnet's stage 13 does.

    Args:
        ref, hyp: trn files with the same ids in the same order, inside ``folder``.
        folder: Where sclite writes result.txt and its reports.
        utterances, speakers: Of each line of ``hyp``.

    Raises:
        ScliteError: sclite failed.
    """
    programs, folder = require_sctk(), Path(folder)
    names = [Path(ref).name, "trn", "-h", Path(hyp).name, "trn", "-i", "rm"]
    text = _run(
        programs,
        "sclite",
        ["-r", *names, "-o", "all", "stdout"],
        folder,
        (ref, hyp),
        keep_log=False,
    )
    with atomic_write(folder / "result.txt") as file:
        file.write(text)
    log = _run(
        programs,
        "sclite",
        ["-r", *names, "-o", "sgml", "rsum", "-n", "sclite"],
        folder,
        (ref, hyp),
    )
    alignments = read_sgml(folder / "sclite.sgml")
    if len(alignments) != len(speakers):
        raise ScliteError(
            f"{len(alignments)} utterances in the report, {len(speakers)} expected",
            where=folder,
        )
    scored = [
        ScoredSegment(id=utterance, speaker=speaker, alignment=alignment)
        for utterance, speaker, (_, alignment) in zip(utterances, speakers, alignments)
    ]
    score = Score(scored, "sclite", _version(log))
    _check_total(score, read_raw(folder / "sclite.raw"), folder)
    return score


def clean_folder(folder: PathLike) -> Path:
    """Make a folder and delete the files of an earlier run in it."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.is_file() or old.is_symlink():
            old.unlink()
    return folder


def _run(
    programs: Path,
    name: str,
    arguments: Sequence[str],
    folder: Path,
    inputs: Tuple[PathLike, PathLike],
    keep_log: bool = True,
) -> str:
    """Run one program in ``folder``; its output, kept in a log if it is no report."""
    environment = dict(os.environ, LC_ALL="C")
    environment["PATH"] = f"{programs}{os.pathsep}{environment.get('PATH', '')}"
    try:
        done = subprocess.run(
            [str(programs / name), *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=HUBSCR_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise ScliteError(
            f"{name} did not end within {HUBSCR_TIMEOUT_S} s", where=folder
        ) from None
    output = done.stdout.decode("utf-8", errors="replace")
    if keep_log or done.returncode != 0:
        with atomic_write(folder / LOG) as file:
            file.write(output)
    if done.returncode != 0:
        raise _named_failure(name, done.returncode, output, folder, inputs)
    return output


def _named_failure(name, status, output: str, folder: Path, inputs) -> Exception:
    ref, hyp = inputs
    unknown = re.search(r"Label id (\S+).*lookup failed", output)
    if unknown or "abel id" in output:
        label = unknown.group(1) if unknown else "in use"
        return FormatError(
            f"label {label} is not defined in the header",
            where=ref,
            expected="a line ;; LABEL for every label in <...>",
        )
    if "has more data than ref" in output:
        return CtmError(
            "words for a file or channel that the reference lacks",
            where=hyp,
            expected="the files and channels of the reference",
        )
    tail = "\n".join(output.replace("\r", "\n").strip().splitlines()[-8:])
    return ScliteError(
        f"{name} ended with status {status}:\n{tail}", where=folder / LOG
    )


def _version(log: str) -> str:
    found = _VERSION.search(log)
    return f"sclite {found.group(1)} (SCTK {found.group(2)})" if found else "sclite"


def read_sgml(path: PathLike) -> List[Tuple[str, Alignment]]:
    """Alignments of an sgml report, in the order in which they were scored.

    Raises:
        ScliteError: The report is absent or not understood.
    """
    if not Path(path).is_file():
        raise ScliteError("sclite wrote no alignments", where=path)
    # old reports are in latin-1, and sclite may cut a character when it pads
    lines = Path(path).read_bytes().decode("utf-8", errors="replace").split("\n")
    found = []
    for number, line in enumerate(lines):
        head = _PATH.match(line)
        if head:
            pairs = _read_pairs(lines[number + 1], f"{path} line {number + 2}")
            name = head.group("id").strip("()")
            found.append((int(head.group("sequence")), name, Alignment(pairs)))
    found.sort(key=lambda entry: entry[0])
    return [(name, alignment) for _, name, alignment in found]


def _read_pairs(line: str, where: str) -> List[Pair]:
    pairs, position = [], 0
    for match in _WORD.finditer(line):
        if match.start() != position:
            break
        position = match.end()
        op, ref, hyp = match.groups()
        words = [without_tags(word) if word else None for word in (ref, hyp)]
        pairs.append(Pair(op, *words))
    if position != len(line):
        raise ScliteError(f"not understood: {line[position:][:80]!r}", where=where)
    return pairs


def read_raw(path: PathLike) -> Counts:
    """The sums of a .raw report.

    Raises:
        ScliteError: The report is absent or has no line of sums.
    """
    if not Path(path).is_file():
        raise ScliteError("sclite wrote no report", where=path)
    for line in read_lines(path):
        fields = line.replace("|", " ").split()
        if fields[:1] == ["Sum"]:
            sentences, words, correct, sub, dele, ins, _, wrong = map(int, fields[1:9])
            return Counts(sentences, words, correct, sub, dele, ins, wrong)
    raise ScliteError("no line of sums", where=path)


def _check_total(score: Score, expected: Counts, folder: Path) -> None:
    if score.total != expected:
        raise ScliteError(
            f"its alignments add up to {score.total}, its table says {expected}",
            where=folder,
        )
