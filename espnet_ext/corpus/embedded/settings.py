"""Everything that decides what the embedded corpus is: sizes, difficulty, seed."""

import dataclasses
import importlib.metadata
from dataclasses import dataclass
from typing import Dict, Tuple

from espnet_ext.errors import OptionError
from espnet_ext.names import nearest

# raised whenever the same settings would give another text, timeline or channel
FORMAT_VERSION = 6


@dataclass(frozen=True)
class Size:
    """How much of everything. Two voices make a call.

    Attributes:
        train_voices, dev_voices, test_voices: Speakers of each set; even numbers.
        train_segments, dev_segments: Segments with words or sounds in all.
        hub5e_00_words: Words said in each half (Switchboard, CallHome).
        hub5e_00_calls: Calls of each half.
        hub5e_01_words, rt03s_words: Words said in each of their two calls.
        fisher_lines: Lines in all text-only transcripts.
    """

    train_voices: int
    dev_voices: int
    test_voices: int
    train_segments: int
    dev_segments: int
    hub5e_00_words: int
    hub5e_00_calls: int
    hub5e_01_words: int
    rt03s_words: int
    fisher_lines: int


SIZES: Dict[str, Size] = {
    "demo": Size(136, 8, 8, 2400, 170, 1050, 4, 180, 180, 600),
    "tiny": Size(8, 2, 4, 58, 12, 60, 1, 20, 20, 40),
}


@dataclass(frozen=True)
class Difficulty:
    """The telephone channel. Raise or lower it to make recognition harder or easier.

    Attributes:
        snr_db: Range of the signal-to-noise ratio, drawn for each side of each call.
        echo_db: Level of the other side, relative to how it sounds on its own side.
        echo_delay_s: Delay of that echo.
        band_hz: Pass band.
        level_dbfs: Range of the speech level (root mean square while speaking).
        overlap: Share of turns that begin before the other side has ended.
        disfluency: Scale of the rates of hesitations, partial words and laughter.
    """

    snr_db: Tuple[float, float] = (15.0, 30.0)
    echo_db: float = -35.0
    echo_delay_s: float = 0.06
    band_hz: Tuple[float, float] = (250.0, 3400.0)
    level_dbfs: Tuple[float, float] = (-30.0, -20.0)
    overlap: float = 0.08
    disfluency: float = 1.0


@dataclass(frozen=True)
class Settings:
    """What ``build`` was asked for; equal settings mean an equal corpus."""

    size: str = "demo"
    seed: int = 1
    difficulty: Difficulty = Difficulty()

    def counts(self) -> Size:
        """The numbers behind the name of the size.

        Raises:
            OptionError: No such size.
        """
        if self.size not in SIZES:
            raise OptionError(
                f"unknown size {self.size!r}",
                where="--size",
                expected=" or ".join(SIZES),
                next_step=f"--size {nearest(self.size, SIZES) or 'demo'}",
            )
        return SIZES[self.size]

    def stamp(self) -> dict:
        """The settings as plain data, with the versions that also decide the result."""
        return {
            "format_version": FORMAT_VERSION,
            "size": self.size,
            "counts": dataclasses.asdict(self.counts()),
            "seed": self.seed,
            "difficulty": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in dataclasses.asdict(self.difficulty).items()
            },
            "synthesiser": _synthesiser(),
        }


def _synthesiser() -> str:
    try:
        return f"espeakng-loader {importlib.metadata.version('espeakng-loader')}"
    except importlib.metadata.PackageNotFoundError:
        return "none"
