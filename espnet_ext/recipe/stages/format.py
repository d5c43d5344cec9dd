"""Stage 3: one audio file an utterance, at one sampling rate, in ``dump/raw``.

With ``--audio_format segments`` no audio is written: ``speech.scp`` says from which
file, side and times training and decoding take each utterance.
"""

import hashlib
import shutil
from pathlib import Path
from typing import Dict, List, Tuple

from espnet_ext.corpus.concatenation import PARTS_FILE, parse_parts
from espnet_ext.corpus.cuts import Cut, number_of_samples
from espnet_ext.corpus.kaldi_dir import (
    Utterance,
    audio_of_entry,
    read_data_dir,
    write_data_dir,
)
from espnet_ext.corpus.shards import split
from espnet_ext.corpus.training_sets import MARK
from espnet_ext.errors import FormatError
from espnet_ext.files import read_lines
from espnet_ext.recipe.cluster_jobs import cluster_of, parts, run_jobs_on
from espnet_ext.recipe.context import Context, write_spec
from espnet_ext.recipe.jobs import Job
from espnet_ext.recipe.layout import Layout
from espnet_ext.recipe.log import hours
from espnet_ext.recipe.parse import sampling_rate
from espnet_ext.recipe.stages.speed import SPEED_FILE
from espnet_ext.recipe.state import Due, Unit

SAMPLES_FILE = "utt2num_samples"
CUTS_FILE = "speech.scp"
STAMP_FILE = "audio_checksum"  # later stages see in it that some samples changed
OPTIONAL = (
    *("segments", "reco2file_and_channel", "text", "utt2spk"),
    *(SPEED_FILE, PARTS_FILE, MARK),
)
IN_PLACE = "segments"  # the --audio_format that copies nothing


def speech_source(context: Context, folder: Path) -> Tuple[Path, str]:
    """The file of a dumped set that ESPnet reads speech by, and its data type."""
    if context.options.audio_format == IN_PLACE:
        return folder / CUTS_FILE, "segment"
    return folder / "wav.scp", "sound"


def dumped_dir(layout: Layout, name: str) -> Path:
    """Where stage 3 puts a set: training and validation data await stage 4."""
    unfiltered = name in (layout.train_set, layout.valid_set)
    return layout.dump / "org" / name if unfiltered else layout.dump / name


def units(context: Context) -> List[Unit]:
    """One unit a set."""
    return [_unit(context, name) for name in context.layout.sets]


def _unit(context: Context, name: str) -> Unit:
    source = context.layout.data / name
    target = dumped_dir(context.layout, name)
    inputs = [source / "wav.scp"]
    inputs += [source / file for file in OPTIONAL if (source / file).exists()]
    if inputs[0].exists():
        entries = (line.split(maxsplit=1)[-1] for line in read_lines(inputs[0]))
        files = (audio_of_entry(e, inputs[0], n)[0] for n, e in enumerate(entries, 1))
        inputs += [Path(audio) for audio in dict.fromkeys(files)]
    outputs = ["wav.scp", "text", "utt2spk", SAMPLES_FILE, STAMP_FILE]
    outputs += [CUTS_FILE] if context.options.audio_format == IN_PLACE else []
    return Unit(
        stage=3,
        target=str(target),
        settings=context.chosen("fs", "audio_format"),
        inputs=inputs,
        outputs=[target / file for file in outputs],
        root=context.layout.dump,
        made_by=2 if name.endswith("_sp") else 1,
        kind=name,
    )


def run(context: Context, due: Due) -> Dict[str, object]:
    """Write the audio and the data directories of the sets that are due."""
    facts: Dict[str, object] = {}
    for unit, decision in due:
        target = Path(unit.target)
        audio = context.layout.dump / "audio" / target.name
        if not decision.resume:
            shutil.rmtree(audio, ignore_errors=True)
        facts[target.name] = format_set(context, target, audio, decision.resume)
    return facts


def format_set(context: Context, target: Path, audio: Path, resume: bool) -> str:
    """Write one set; ``resume`` keeps whole audio files of an interrupted run.

    Returns:
        What was written, for the summary.
    """
    rate = sampling_rate(context.options)
    if context.options.audio_format == IN_PLACE:
        return _refer_to_source(context, target, rate)
    items = _items(context, target.name, audio)
    logs = context.layout.dump / "logs" / target.name
    jobs, tables = [], []
    for number, part in enumerate(split(items, parts(context)), start=1):
        tables.append(logs / f"format.{number}.txt")
        spec = {
            "rate": rate,
            "keep_existing": resume,
            "table": str(tables[-1]),
            "utterances": part,
        }
        spec_file = write_spec(logs / f"format.{number}.json", spec)
        command = context.module("espnet_ext.recipe.format_worker", spec_file)
        log = logs / f"format.{number}.log"
        name = f"formatting {target.name} {number}"
        jobs.append(Job(name, command, log, weight=len(part)))
    run_jobs_on(cluster_of(context), jobs, f"formatting {target.name}")
    rows = [line.split() for table in tables for line in read_lines(table)]
    _write_dir(context, target, items, rows)
    total_s = sum(int(count) for _, count, _ in rows) / rate
    return f"{len(rows)} utterances, {hours(total_s)}, {rate} Hz ({target})"


def _items(context: Context, name: str, audio: Path) -> List[dict]:
    """What a worker needs to know of each utterance."""
    rate = sampling_rate(context.options)
    suffix = context.options.audio_format
    return [
        {
            "id": u.utterance_id,
            "out": str(_audio_file(audio, u, suffix)),
            **cut.to_item(),
        }
        for u, cut in cuts_of_set(context.layout.data / name, rate)
    ]


def cuts_of_set(source: Path, rate: int) -> List[Tuple[Utterance, Cut]]:
    """Each utterance of a data directory, and what its samples are made of."""
    speeds, spans_of = {}, {}
    if (source / SPEED_FILE).exists():
        speeds = dict(line.split() for line in read_lines(source / SPEED_FILE))
    if (source / PARTS_FILE).exists():
        spans_of = parse_parts(read_lines(source / PARTS_FILE), source / PARTS_FILE)
    found = []
    for u in read_data_dir(source):
        spans = spans_of.get(u.utterance_id, [(u.start_s, u.end_s)])
        speed = float(speeds.get(u.recording_id, 1.0))
        cut = Cut(u.audio_path, u.channel, tuple(spans), speed, rate)
        found.append((u, cut))
    return found


def _refer_to_source(context: Context, target: Path, rate: int) -> str:
    """The data directory of a set whose samples stay where they are."""
    source = context.layout.data / target.name
    known, samples, lines = {}, [], []
    checksum = hashlib.sha256()
    for u, cut in cuts_of_set(source, rate):
        if cut.audio not in known:
            status = Path(cut.audio).stat()
            known[cut.audio] = f"{status.st_size} {status.st_mtime_ns}"
        samples.append(number_of_samples(cut))
        lines.append(f"{u.utterance_id} {cut.to_line()}\n")
        checksum.update(f"{lines[-1]}{known[cut.audio]}\n".encode())
    utterances = read_data_dir(source)
    counts = [f"{u.utterance_id} {n}\n" for u, n in zip(utterances, samples)]
    extra = {
        SAMPLES_FILE: "".join(counts),
        STAMP_FILE: checksum.hexdigest() + "\n",
        CUTS_FILE: "".join(lines),
        "feats_type": "raw\n",
        **_mark(source),
    }
    write_data_dir(target, utterances, extra)
    length = hours(sum(samples) / rate)
    return f"{len(samples)} utterances, {length}, {rate} Hz, read in place ({target})"


def _mark(source: Path) -> Dict[str, Path]:
    """A selection on a test set stays marked."""
    return {MARK: source / MARK} if (source / MARK).exists() else {}


def _audio_file(audio: Path, utterance: Utterance, suffix: str) -> Path:
    for name in (utterance.recording_id, utterance.utterance_id):
        if "/" in name or name.startswith("."):
            raise FormatError(f"id {name!r} cannot be a file name", where=audio.name)
    return audio / utterance.recording_id / f"{utterance.utterance_id}.{suffix}"


def _write_dir(
    context: Context, target: Path, items: List[dict], rows: List[List[str]]
) -> None:
    """The data directory of the dumped set; each utterance is its own recording."""
    source = read_data_dir(context.layout.data / target.name)
    audio_of = {item["id"]: item["out"] for item in items}
    checksum = hashlib.sha256("\n".join(map(" ".join, rows)).encode())
    samples = "".join(f"{utterance} {count}\n" for utterance, count, _ in rows)
    whole_files = [
        Utterance(
            utterance_id=u.utterance_id,
            recording_id=u.utterance_id,
            speaker_id=u.speaker_id,
            text=u.text,
            audio_path=audio_of[u.utterance_id],
        )
        for u in source
    ]
    extra = {
        SAMPLES_FILE: samples,
        STAMP_FILE: checksum.hexdigest() + "\n",
        "feats_type": "raw\n",
        **_mark(context.layout.data / target.name),
    }
    write_data_dir(target, whole_files, extra)
