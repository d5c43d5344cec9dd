"""Stage 3: one audio file an utterance, at one sampling rate, in ``dump/raw``."""

import hashlib
import shutil
from pathlib import Path
from typing import Dict, List

from espnet_ext.corpus.kaldi_dir import (
    Utterance,
    audio_of_entry,
    read_data_dir,
    write_data_dir,
)
from espnet_ext.errors import FormatError
from espnet_ext.files import read_lines
from espnet_ext.recipe.context import Context, split, write_spec
from espnet_ext.recipe.jobs import Job, cores, run_jobs
from espnet_ext.recipe.layout import Layout
from espnet_ext.recipe.log import hours
from espnet_ext.recipe.parse import sampling_rate
from espnet_ext.recipe.stages.speed import SPEED_FILE
from espnet_ext.recipe.state import Due, Unit

SAMPLES_FILE = "utt2num_samples"
STAMP_FILE = "audio_checksum"  # later stages see in it that some samples changed
OPTIONAL = ("segments", "reco2file_and_channel", "text", "utt2spk", SPEED_FILE)


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
    items = _items(context, target.name, audio)
    rate = sampling_rate(context.options)
    logs = context.layout.dump / "logs" / target.name
    jobs, tables = [], []
    for number, part in enumerate(split(items, _parallel(context)), start=1):
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
    run_jobs(jobs, parallel=len(jobs), label=f"formatting {target.name}")
    rows = [line.split() for table in tables for line in read_lines(table)]
    _write_dir(context, target, items, rows)
    total_s = sum(int(count) for _, count, _ in rows) / rate
    return f"{len(rows)} utterances, {hours(total_s)}, {rate} Hz ({target})"


def _parallel(context: Context) -> int:
    return min(context.options.nj, cores())


def _items(context: Context, name: str, audio: Path) -> List[dict]:
    """What a worker needs to know of each utterance."""
    source = context.layout.data / name
    speed_file = source / SPEED_FILE
    speeds = {}
    if speed_file.exists():
        speeds = dict(line.split() for line in read_lines(speed_file))
    return [
        {
            "id": u.utterance_id,
            "audio": u.audio_path,
            "channel": u.channel,
            "start_s": u.start_s,
            "end_s": u.end_s,
            "speed": float(speeds.get(u.recording_id, 1.0)),
            "out": str(_audio_file(audio, u, context.options.audio_format)),
        }
        for u in read_data_dir(source)
    ]


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
    }
    write_data_dir(target, whole_files, extra)
