"""Builds the embedded corpus: text, speech, telephone, files; all of it or nothing."""

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Union

from espnet_ext.corpus.embedded import evaluation, fisher_text, switchboard
from espnet_ext.corpus.embedded.channel import Line, render
from espnet_ext.corpus.embedded.script import Call, Script, write_script
from espnet_ext.corpus.embedded.settings import Difficulty, Settings
from espnet_ext.corpus.embedded.speakers import Speaker
from espnet_ext.corpus.embedded.sphere_writer import write_sphere
from espnet_ext.corpus.embedded.synthesis import Spoken, SpokenTexts, synthesise
from espnet_ext.corpus.embedded.timeline import (
    PlacedCall,
    place,
    seconds,
    shared_span,
    spoken_text,
)
from espnet_ext.corpus.embedded.tokens import words
from espnet_ext.corpus.whole_folder import (
    check_replaceable,
    read_stamp,
    replaced_folder,
)
from espnet_ext.progress import Progress

STAMP = "embedded.json"
README = """\
Synthetic telephone calls in the shape of LDC releases
======================================================

Made by espnet-ext with the speech synthesiser espeak-ng. The sentences come from
templates, the voices from a program, the telephone from a filter. Nothing here is
taken from an LDC release: only names and formats of the files are the same.

A word error rate on this corpus shows that a pipeline works. It says nothing about real
telephone speech and does not rank model designs.

embedded.json             settings, versions and amounts
alignment/word_times.tsv  when each word is said
alignment/SET.ctm         the same as the reference of alignments (FILE CHANNEL ...)
alignment/sides.tsv       voice and line of each side of each call
"""


@dataclass(frozen=True)
class _Rendered:
    placed: PlacedCall
    lines: List[Line]


def build(
    root: Union[str, Path],
    *,
    size: str = "demo",
    seed: int = 1,
    workers: int = 2,
    force: bool = False,
    difficulty: Difficulty = Difficulty(),
) -> Path:
    """Build the corpus, or return at once where it is already.

    Args:
        root: The folder; replaced only by a complete new corpus.
        size: ``demo`` or ``tiny``.
        seed: Decides all text, voices and times. Waveforms may differ between two
            builds, because the synthesiser's breathy voices do.
        workers: Processes and threads at a time.
        force: Build again although nothing has changed.
        difficulty: The telephone channel.

    Raises:
        OptionError: Unknown size, or ``root`` holds something else.
        StageFailedError: A voice could not be synthesised in three attempts.
        ToolMissingError: The synthesiser is not installed.
        DiskFullError: No space left.
    """
    root = Path(root)
    settings = Settings(size, seed, difficulty)
    if is_current(root, settings) and not force:
        return root
    check_replaceable(root, STAMP)
    script = write_script(settings)
    with replaced_folder(root) as folder:
        _fill(folder, settings, script, workers)
    return root


def is_current(root: Path, settings: Settings) -> bool:
    """Whether a complete corpus with these settings is there."""
    stored = read_stamp(Path(root), STAMP)
    return isinstance(stored, dict) and stored.get("settings") == settings.stamp()


def _fill(folder: Path, settings: Settings, script: Script, workers: int) -> None:
    speech_folder = folder / "speech"
    speech_folder.mkdir()
    calls = [(name, call) for name in script.calls for call in script.calls[name]]
    spoken = synthesise(
        _texts(call for _, call in calls), speech_folder, workers=workers
    )
    by_set: Dict[str, List[_Rendered]] = {name: [] for name in script.calls}
    paths = _audio_paths(folder, script)
    with ThreadPoolExecutor(workers) as pool, Progress(len(calls), "calls") as progress:
        rendered = pool.map(
            lambda item: _render(item[1], spoken, settings, paths[item[1].name]), calls
        )
        for done, ((name, _), result) in enumerate(zip(calls, rendered), start=1):
            by_set[name].append(result)
            progress.update(done)
    for speaker_texts in spoken.values():
        speaker_texts.close()
    shutil.rmtree(speech_folder)
    placed = {name: [r.placed for r in by_set[name]] for name in by_set}
    switchboard.write_texts(folder, placed["train"], placed["dev"])
    evaluation.write_hub5_00(folder, placed["hub5e_00"])
    evaluation.write_hub5_01(folder, placed["hub5e_01"])
    evaluation.write_rt03(folder, placed["rt03s"])
    fisher_text.write_fisher(folder, script.fisher, settings.seed)
    _write_sidecars(folder, by_set)
    (folder / "README.md").write_text(README, encoding="utf-8")
    stored = {"settings": settings.stamp(), "amounts": _amounts(placed)}
    stamp = json.dumps(stored, indent=2) + "\n"
    (folder / STAMP).write_text(stamp, encoding="utf-8")


def _texts(calls) -> Dict[Speaker, Dict[str, str]]:
    texts: Dict[Speaker, Dict[str, str]] = {}
    for call in calls:
        for index, turn in enumerate(call.turns):
            text, _ = spoken_text(turn)
            if text:
                speaker = call.speakers[turn.side]
                texts.setdefault(speaker, {})[_key(call, index)] = text
    return texts


def _key(call: Call, index: int) -> str:
    return f"{call.name}-{index:04d}"


def _audio_paths(folder: Path, script: Script) -> Dict[str, Path]:
    switchboard_calls = script.calls["train"] + script.calls["dev"]
    paths = {
        call.name: switchboard.audio_path(folder, call.name, index)
        for index, call in enumerate(switchboard_calls)
    }
    for name, subfolder in evaluation.AUDIO_FOLDERS.items():
        for call in script.calls[name]:
            paths[call.name] = folder / subfolder / f"{call.name}.sph"
    return paths


_write_lock = threading.Lock()


def _render(
    call: Call, spoken: Dict[Speaker, SpokenTexts], settings: Settings, path: Path
) -> _Rendered:
    def spoken_turn(index: int) -> Spoken:
        return spoken[call.speakers[call.turns[index].side]][_key(call, index)]

    difficulty, seed = settings.difficulty, settings.seed
    placed = place(call, spoken_turn, seed, difficulty.overlap)
    codes, lines = render(placed, spoken_turn, difficulty, seed)
    fields = {"conversation_id": call.name.rpartition("_")[2].lstrip("sw")}
    if call.name.startswith("sw0"):
        fields = switchboard.header_fields(placed)
    with _write_lock:
        path.parent.mkdir(parents=True, exist_ok=True)
    write_sphere(path, codes, fields, call.name == switchboard.RELEASE_1_CALL)
    return _Rendered(placed, lines)


def _write_sidecars(folder: Path, by_set: Dict[str, List[_Rendered]]) -> None:
    word_rows = ["set\trecording\tword\tstart_s\tend_s"]
    side_rows = [
        "set\trecording\tpin\tvoice\tsex\trate_wpm\tpitch\tlevel_dbfs\tsnr_db\t"
        "duration_s"
    ]
    for name, results in by_set.items():
        for result in results:
            placed, call = result.placed, result.placed.call
            for side in range(2):
                recording = f"{call.name}-{'AB'[side]}"
                speaker, line = call.speakers[side], result.lines[side]
                side_rows.append(
                    f"{name}\t{recording}\t{speaker.pin}\t{speaker.voice}\t"
                    f"{'F' if speaker.female else 'M'}\t{speaker.rate_wpm}\t"
                    f"{speaker.pitch}\t{line.level_dbfs:.1f}\t{line.snr_db:.1f}\t"
                    f"{seconds(placed.length):.3f}"
                )
                for segment in placed.side(side):
                    for token, (start, end) in zip(
                        segment.turn.sentence, segment.spans
                    ):
                        if token.words:
                            word_rows.append(
                                f"{name}\t{recording}\t{' '.join(token.words)}\t"
                                f"{seconds(start):.6f}\t{seconds(end):.6f}"
                            )
    (folder / "alignment").mkdir()
    _write_reference_ctm(folder / "alignment", by_set)
    for file, rows in (("word_times.tsv", word_rows), ("sides.tsv", side_rows)):
        text = "\n".join(rows) + "\n"
        (folder / "alignment" / file).write_text(text, encoding="utf-8")


def _write_reference_ctm(folder: Path, by_set: Dict[str, List[_Rendered]]) -> None:
    """One CTM a set. The words of a spelled token share its time by their lengths."""
    for name, results in by_set.items():
        lines = []
        for placed in (result.placed for result in results):
            for side in range(2):
                for segment in placed.side(side):
                    for token, span in zip(segment.turn.sentence, segment.spans):
                        for word, start, end in shared_span(token.words, span):
                            start_s, end_s = seconds(start), seconds(end)
                            lines.append(
                                f"{placed.call.name} {'AB'[side]} {start_s:.6f} "
                                f"{end_s - start_s:.6f} {word}\n"
                            )
        (folder / f"{name}.ctm").write_text("".join(lines), encoding="utf-8")


def _amounts(placed: Dict[str, List[PlacedCall]]) -> Dict[str, Dict[str, float]]:
    amounts = {}
    for name, calls in placed.items():
        segments = [segment for call in calls for segment in call.segments]
        minutes = sum(seconds(s.end - s.start) for s in segments) / 60
        said = [word for s in segments for word in words(s.turn.sentence)]
        sides = sum(bool(call.side(side)) for call in calls for side in range(2))
        amounts[name] = {
            "minutes": round(minutes, 2),
            "calls": len(calls),
            "sides": sides,
            "segments": len(segments),
            "words": len(said),
            "word_types": len(set(said)),
        }
    return amounts
