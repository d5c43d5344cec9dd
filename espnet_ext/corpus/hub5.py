"""The Hub5 evaluations of 2000 and 2001 (hub5e_00, hub5e_01)."""

from pathlib import Path
from typing import Optional

from espnet_ext.corpus.eval_set import EvalFiles
from espnet_ext.corpus.find import audio_by_call, find_one, require_one
from espnet_ext.errors import MissingInputError


def find_hub5e_00(audio_root: Path, transcript_root: Path) -> EvalFiles:
    """LDC2002S09 (audio) and LDC2002T43 (STM, GLM), with or without middle folders.

    Raises:
        MissingInputError: No audio or no STM there.
    """
    audio, _ = audio_by_call([audio_root], "en_[0-9][0-9][0-9][0-9]")
    switchboard, _ = audio_by_call([audio_root], "sw_[0-9][0-9][0-9][0-9]")
    audio.update(switchboard)
    _require_audio(audio, audio_root, "hub5e_00/english/en_4156.sph (LDC2002S09)")
    stm = require_one(
        transcript_root,
        ["hub5e00.english.000405.stm", "hub5e00*.stm", "hub5e_00*.stm"],
        "STM of hub5e_00 (LDC2002T43)",
    )
    return EvalFiles(
        "hub5e_00",
        (stm,),
        find_one(transcript_root, ["en20000405_hub5.glm", "*hub5*.glm"]),
        audio,
        find_one(audio_root, ["hub5e_00.pem"]),
    )


def find_hub5e_01(root: Path, glm: Optional[Path]) -> EvalFiles:
    """LDC2002S13 (audio and STM).

    Args:
        glm: The release has none; that of hub5e_00 is used.

    Raises:
        MissingInputError: No audio or no STM there.
    """
    audio, _ = audio_by_call([root], "sw[0-9]*")
    _require_audio(audio, root, "hub5e_01/data/english/sw4653.sph (LDC2002S13)")
    stm = require_one(
        root,
        ["hub5e01.english.20010402.stm", "hub5e01*.stm", "hub5e_01*.stm"],
        "STM of hub5e_01 (LDC2002S13)",
    )
    return EvalFiles("hub5e_01", (stm,), glm, audio, find_one(root, ["hub5e_01.pem"]))


def _require_audio(audio: dict, root: Path, example: str) -> None:
    if not audio:
        raise MissingInputError(
            "no audio files",
            where=root,
            expected=f"files like {example}",
            next_step="correct the path in db.sh",
        )
