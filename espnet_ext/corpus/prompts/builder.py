"""Makes the prompts corpus: audio, sounding text, groups, and the three data sets."""

import gzip
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple, Union

from espnet_ext.corpus.audio import audio_info
from espnet_ext.corpus.kaldi_dir import Utterance, write_data_dir
from espnet_ext.corpus.prompts.fetch import unpack_packages
from espnet_ext.corpus.prompts.grouping import group_by_phrase, split_groups
from espnet_ext.corpus.prompts.sounding_text import sounding_text
from espnet_ext.corpus.whole_folder import (
    check_replaceable,
    read_stamp,
    replaced_folder,
)
from espnet_ext.errors import FormatError, MissingInputError

FORMAT_VERSION = 1
STAMP = "prompts.json"
SPEAKER = "allison"
MAX_DURATION_S = 30.0  # longer ones would be filtered before training anyway
SETS = ("train", "dev", "test")
SCRIPT_NAME = "core-sounds-en.txt"
README = """\
Telephone prompts of one speaker
================================

Recorded by Allison Smith for the Asterisk telephone system, paid for by Digium, Inc.;
from the Debian packages asterisk-core-sounds-en-wav and asterisk-core-sounds-en.
Licence: Creative Commons Attribution-ShareAlike 3.0 (CC BY-SA 3.0), see `copyright`.
The audio is unchanged. Who passes it on must name the author and keep the licence.

This is real 8 kHz speech of ONE speaker who reads. A word error rate on it says how
well a system knows this voice, nothing about other people or about conversation.

The text is the script she read, in lower case without punctuation, figures read out,
notes in brackets removed. Its typing errors (`umute`, `exclaimation`) were kept.
Prompts that share four words in a row, directly or through others, are one group, and a
group is in one set only. Groups of single items (digits, letters) are for training.

groups.tsv    set, group, prompt, seconds, text
dropped.tsv   prompts left out, and why
"""


class Prompt(NamedTuple):
    """One prompt: key of the script, audio file, length, words."""

    key: str
    audio: Path
    duration_s: float
    text: str


def build(
    root: Union[str, Path],
    *,
    data_dir: Union[str, Path] = "data",
    packages: Sequence[Union[str, Path]] = (),
    force: bool = False,
) -> Path:
    """Fetch the prompts and write ``prompts_train``, ``prompts_dev``, ``prompts_test``.

    Args:
        root: Folder for audio, script and licence; replaced only by a complete one.
        data_dir: Folder the three data sets go to.
        packages: Debian package files that were fetched by hand.
        force: Fetch again although the folder is complete.

    Raises:
        ToolMissingError, StageFailedError: The packages cannot be had; the message says
            how to bring them by hand.
        FormatError, MissingInputError: The packages do not hold what they should.
        OptionError: ``root`` holds something else.
    """
    root = Path(root)
    if force or not is_current(root):
        check_replaceable(root, STAMP)
        with replaced_folder(root) as folder:
            _fill(folder, [Path(package) for package in packages])
    sets = read_stamp(root, STAMP)["sets"]
    # absolute, so that the data sets can be used from any working directory
    audio = Path(os.path.abspath(root)) / "audio"
    for name in SETS:
        utterances = [
            _utterance(key, text, audio / f"{key}.wav") for key, text in sets[name]
        ]
        write_data_dir(Path(data_dir) / f"prompts_{name}", utterances)
    return root


def is_current(root: Path) -> bool:
    """Whether a complete corpus of this version is there."""
    stored = read_stamp(root, STAMP)
    return isinstance(stored, dict) and stored.get("format_version") == FORMAT_VERSION


def read_script(path: Path) -> Dict[str, str]:
    """Prompt -> what was to be said, from lines ``vm-goodbye: Goodbye``.

    Raises:
        FormatError: A line has no colon, or there are no lines.
    """
    script = {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            line = line.strip()
            if not line or line.startswith(";"):
                continue
            key, colon, text = line.partition(":")
            if not colon:
                raise FormatError(
                    f"found {line[:60]!r}",
                    where=f"{path.name} line {number}",
                    expected="PROMPT: TEXT",
                )
            script[key.strip()] = text.strip()
    if not script:
        raise FormatError("holds no prompts", where=path.name)
    return script


def collect(
    script: Dict[str, str], audio: Path
) -> Tuple[List[Prompt], List[Tuple[str, str]]]:
    """Prompts that can be used, and (prompt, reason) for those that cannot."""
    prompts, dropped = [], []
    for key, raw in sorted(script.items()):
        path, text = audio / f"{key}.wav", sounding_text(raw)
        if not path.exists():
            dropped.append((key, "no audio"))
        elif not text:
            dropped.append((key, "no speech"))
        else:
            info = audio_info(path)
            if info.duration_s > MAX_DURATION_S:
                dropped.append((key, f"longer than {MAX_DURATION_S:.0f} s"))
            else:
                prompts.append(Prompt(key, path, info.duration_s, text))
    for path in sorted(audio.rglob("*.wav")):
        key = path.relative_to(audio).with_suffix("").as_posix()
        if key not in script:
            dropped.append((key, "no text"))
    return prompts, dropped


def _fill(folder: Path, packages: List[Path]) -> None:
    with tempfile.TemporaryDirectory(dir=folder, prefix="packages-") as temporary:
        unpacked = unpack_packages(Path(temporary), packages)
        sounds = _one(unpacked, "usr/share/asterisk/sounds/en*/vm-goodbye.wav").parent
        script_file = _one(unpacked, f"usr/share/doc/*/{SCRIPT_NAME}.gz")
        licence = _one(unpacked, "usr/share/doc/asterisk-core-sounds-en-wav/copyright")
        shutil.copytree(sounds, folder / "audio")
        shutil.copyfile(script_file, folder / f"{SCRIPT_NAME}.gz")
        shutil.copyfile(licence, folder / "copyright")
    script = read_script(folder / f"{SCRIPT_NAME}.gz")
    prompts, dropped = collect(script, folder / "audio")
    texts = {prompt.key: prompt.text for prompt in prompts}
    durations = {prompt.key: prompt.duration_s for prompt in prompts}
    groups = group_by_phrase(texts)
    sets = split_groups(groups, texts, durations)
    number_of = {key: n for n, group in enumerate(groups, start=1) for key in group}
    _write_table(
        folder / "groups.tsv",
        ("set", "group", "prompt", "seconds", "text"),
        (
            (name, number_of[key], key, f"{durations[key]:.2f}", texts[key])
            for name in SETS
            for key in sets[name]
        ),
    )
    _write_table(folder / "dropped.tsv", ("prompt", "reason"), dropped)
    (folder / "README.md").write_text(README, encoding="utf-8")
    stored = {
        "format_version": FORMAT_VERSION,
        "amounts": amounts(sets, texts, durations),
        "sets": {name: [(key, texts[key]) for key in sets[name]] for name in SETS},
    }
    stamp = json.dumps(stored, indent=1) + "\n"
    (folder / STAMP).write_text(stamp, encoding="utf-8")


def amounts(
    sets: Dict[str, List[str]], texts: Dict[str, str], durations: Dict[str, float]
) -> Dict[str, Dict[str, float]]:
    """Minutes, prompts, words and words unknown to training, for each set."""
    known = {word for key in sets["train"] for word in texts[key].split()}
    result = {}
    for name in SETS:
        said = [word for key in sets[name] for word in texts[key].split()]
        result[name] = {
            "minutes": round(sum(durations[key] for key in sets[name]) / 60, 2),
            "prompts": len(sets[name]),
            "words": len(said),
            "word_types": len(set(said)),
            "not_in_train": sum(word not in known for word in said),
        }
    return result


def _utterance(key: str, text: str, audio: Path) -> Utterance:
    name = f"{SPEAKER}-{key.replace('/', '-')}"
    return Utterance(name, name, SPEAKER, text, str(audio))


def _one(root: Path, pattern: str) -> Path:
    found = sorted(root.glob(pattern))
    if not found:
        raise MissingInputError(
            f"the packages have no {pattern}",
            expected="asterisk-core-sounds-en-wav and asterisk-core-sounds-en 1.6",
            next_step="give both package files with --deb",
        )
    return found[0]


def _write_table(path: Path, header: Sequence[str], rows) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for row in (header, *rows):
            file.write("\t".join(str(field) for field in row) + "\n")
