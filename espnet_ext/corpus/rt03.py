"""The telephone part of the Rich Transcription 2003 evaluation (rt03s, LDC2007S10)."""

from pathlib import Path

from espnet_ext.corpus.eval_set import EvalFiles
from espnet_ext.corpus.find import audio_by_call, find_files, find_one
from espnet_ext.errors import MissingInputError

CALLS = ("sw_[0-9]*", "fsh_[0-9]*")


def find_rt03(root: Path) -> EvalFiles:
    """Audio, one STM a call, and the GLM. There is no partition file.

    Raises:
        MissingInputError: No audio or no STM there.
    """
    audio = {}
    for pattern in CALLS:
        audio.update(audio_by_call([root], pattern)[0])
    found = find_files(root, [f"{pattern}.stm" for pattern in CALLS])
    # of two copies the first
    stms = list({path.name.lower(): path for path in reversed(found)}.values())
    for files, example in (
        (audio, "data/audio/eval03/english/cts/sw_45104.sph"),
        (stms, "data/references/eval03/english/cts/sw_45104.stm"),
    ):
        if not files:
            raise MissingInputError(
                "no files of RT-03S",
                where=root,
                expected=f"files like {example} (LDC2007S10)",
                next_step="correct RT03 in db.sh",
            )
    glm = find_one(root, ["en20030506.glm", "en2003*.glm"])
    return EvalFiles("rt03s", tuple(sorted(stms)), glm, audio)
