"""Tiny files in the shape of the releases, so that most tests need no other folder."""

from pathlib import Path
from typing import Dict, Optional, Sequence

import numpy as np
import soundfile

RATE = 8000
MINI_STM = """\
;; CATEGORY "0" "" ""
;; LABEL "o" "Overall" "Overall"
sw_45104 1 inter_segment_gap 0.00 1.00 <o>
sw_45104 1 sw_45104_A 1.00 2.00 <o> hello (%hesitation) d. c.
sw_45104 2 sw_45104_B 2.00 3.00 <o>
"""
MINI_GLM = "* name \"x\"\n* max_nrules = '99'\nUH => %HESITATION / [ ] __ [ ]\n"


def sphere_bytes(
    samples: np.ndarray,
    *,
    coding: str = "ulaw",
    declared: Optional[int] = None,
    rate: int = RATE,
    extra: str = "",
) -> bytes:
    """A mu-law SPHERE file of int16 samples [N, channels]."""
    import io

    raw = io.BytesIO()
    soundfile.write(raw, samples, rate, format="RAW", subtype="ULAW", endian="FILE")
    count = len(samples) if declared is None else declared
    header = (
        "NIST_1A\n   1024\n"
        f"channel_count -i {samples.shape[1]}\n"
        f"sample_rate -i {rate}\n"
        f"sample_count -i {count}\n"
        "sample_n_bytes -i 1\n"
        f"sample_coding -s{len(coding)} {coding}\n{extra}end_head\n"
    )
    return header.encode().ljust(1024) + raw.getvalue()


def noise(seconds: float, channels: int = 2, seed: int = 1) -> np.ndarray:
    """int16 samples [N, channels] that differ between the channels."""
    generator = np.random.default_rng(seed)
    shape = (int(seconds * RATE), channels)
    return generator.integers(-8000, 8000, shape, dtype=np.int16)


def write_call(path: Path, seconds: float = 10.0, seed: int = 1) -> Path:
    """A two-sided call."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(sphere_bytes(noise(seconds, seed=seed)))
    return path


def write_side(root: Path, side: str, lines: Sequence[str]) -> Path:
    """An MS98 transcript: lines ``start end words`` of side ``2001A``."""
    folder = root / "transcriptions" / "swb_ms98_transcriptions" / side[:2] / side[:4]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"sw{side}-ms98-a-trans.text"
    path.write_text(
        "".join(
            f"sw{side}-ms98-a-{number:04d} {line}\n"
            for number, line in enumerate(lines, start=1)
        )
    )
    return path


def switchboard(root: Path, sides: Dict[str, Sequence[str]]) -> Path:
    """LDC97S62 with one call of 10 s for each conversation of ``sides``."""
    for call in sorted({side[:4] for side in sides}):
        write_call(root / "swb1_d1" / "data" / f"sw0{call}.sph", seed=int(call))
    for side, lines in sides.items():
        write_side(root, side, lines)
    return root
