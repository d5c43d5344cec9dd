"""What stage 11 needs to train on alignments (``--alignment_dir``).

An utterance without an alignment cannot be trained on; the lists of lengths, which
ESPnet forms batches of, name those that have one.
"""

from pathlib import Path
from typing import Dict, List, Tuple

from espnet_ext.errors import FormatError, MissingInputError
from espnet_ext.files import atomic_write, read_lines
from espnet_ext.recipe.context import Context
from espnet_ext.recipe.stages.common import keys_of
from espnet_ext.recipe.stages.statistics import text_shape

INDEX, STORE = "alignment.scp", "alignment.npz"
FOLDER = "shapes"  # in the experiment


def _roles(context: Context) -> Tuple[Tuple[str, str], ...]:
    layout = context.layout
    return ("train", layout.train_set), ("valid", layout.valid_set)


def _index(context: Context, name: str) -> Path:
    return Path(context.options.alignment_dir) / name / INDEX


def files(context: Context) -> List[Path]:
    """Files that change when the alignments do; none without ``--alignment_dir``.

    Raises:
        MissingInputError: A set has no alignments.
    """
    found: List[Path] = []
    if not context.options.alignment_dir:
        return found
    for _, name in _roles(context):
        index = _index(context, name)
        if not index.is_file():
            raise MissingInputError(
                f"there are no alignments of {name}",
                where=index,
                expected=f"--alignment_dir with a folder {name} in it",
                next_step="./run.sh --stage align makes them, with an older model",
            )
        # the index stays the same if only symbols change
        store = index.with_name(STORE)
        archives = {line.split(maxsplit=1)[1] for line in read_lines(index) if line}
        paths = {Path(archive.rpartition(":")[0]) for archive in archives}
        found += [index, *([store] if store.exists() else sorted(paths))]
    return found


def arguments(context: Context) -> List[str]:
    """Alignments as data of asr_train."""
    given: List[str] = []
    if context.options.alignment_dir:
        for role, name in _roles(context):
            option = f"--{role}_data_path_and_name_and_type"
            given += [option, f"{_index(context, name)},alignment,kaldi_ark"]
    return given


def _all_shapes(context: Context, role: str) -> List[Path]:
    folder = context.layout.asr_stats / role
    return [folder / "speech_shape", text_shape(context, role)]


def shapes(context: Context, role: str) -> List[Path]:
    """Lengths of the utterances of ``train`` or ``valid``: speech, then text."""
    paths = _all_shapes(context, role)
    if context.options.alignment_dir:
        folder = context.layout.asr_exp / FOLDER / role
        paths = [folder / path.name for path in paths]
    return paths


def write_shapes(context: Context) -> Dict[str, object]:
    """Write the lengths of the aligned utterances; says how many there are.

    Raises:
        FormatError: No utterance of a set has an alignment.
    """
    facts: Dict[str, object] = {}
    if not context.options.alignment_dir:
        return facts
    for role, name in _roles(context):
        aligned = set(keys_of(_index(context, name)))
        for source, target in zip(_all_shapes(context, role), shapes(context, role)):
            lines = read_lines(source)
            kept = [line for line in lines if line.split(maxsplit=1)[0] in aligned]
            if not kept:
                raise FormatError(
                    f"no utterance of {name} has an alignment",
                    where=_index(context, name),
                    expected=f"ids as in {source}",
                    next_step=f"the reasons are in {_index(context, name).parent}/"
                    "failed; --stage align --force true aligns again",
                )
            with atomic_write(target) as file:
                file.writelines(f"{line}\n" for line in kept)
            facts[f"aligned, {role}"] = f"{len(kept)} of {len(lines)} utterances"
    return facts
