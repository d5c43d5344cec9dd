"""Seconds that preparing, preparing again and validating data take.

    python benchmarks/data_preparation.py --json FILE [--root LDC_TREE] [--nj 1 2]

Without ``--root`` the tiny embedded corpus is made first. Best of three: what else the
machine does can only add time.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

REPOSITORY = Path(__file__).resolve().parents[1]
if str(REPOSITORY) not in sys.path:  # started as a script
    sys.path.insert(0, str(REPOSITORY))

from espnet_ext.analysis.provenance import environment, hardware  # noqa: E402
from espnet_ext.corpus.corpora import roots_below  # noqa: E402
from espnet_ext.corpus.prepare import prepare  # noqa: E402
from espnet_ext.corpus.shards import Cluster  # noqa: E402
from espnet_ext.corpus.validation import validate_data_dir  # noqa: E402
from espnet_ext.errors import run_main  # noqa: E402
from espnet_ext.files import atomic_write  # noqa: E402

REPEATS = 3


def write_million_lines(folder: Path) -> None:
    """A data directory without audio: 10,000 sides with 100 utterances each."""
    text, utt2spk, segments, wav_scp, spk2utt = [], [], [], [], []
    for call in range(5000):
        for side in (f"sw{call:05d}-A", f"sw{call:05d}-B"):
            times = range(0, 10000, 100)
            names = [f"{side}_{t:06d}-{t + 90:06d}" for t in times]
            text += [f"{name} so do you\n" for name in names]
            utt2spk += [f"{name} {side}\n" for name in names]
            segments += [
                f"{name} {side} {t / 100:.2f} {t / 100 + 0.9:.2f}\n"
                for name, t in zip(names, times)
            ]
            wav_scp.append(f"{side} sw{call:05d}.sph\n")
            spk2utt.append(f"{side} {' '.join(names)}\n")
    for name, lines in (
        ("text", text),
        ("utt2spk", utt2spk),
        ("segments", segments),
        ("wav.scp", wav_scp),
        ("spk2utt", spk2utt),
    ):
        (folder / name).write_text("".join(lines), encoding="utf-8")


def best_of(repeats: int, work: Callable[[], Any]) -> float:
    """The least seconds of some calls."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def measure(root: Path, folder: Path, workers: List[int]) -> List[Dict[str, Any]]:
    """One row a figure: what, and how many seconds."""
    rows = []

    def add(what: str, seconds: float) -> None:
        rows.append({"what": what, "seconds": round(seconds, 3)})
        print(f"{what:<50} {seconds:8.2f} s", flush=True)

    roots, data = roots_below(root), folder / "data"

    def prepared(nj: int) -> None:
        prepare(roots, data, cluster=Cluster(workers=nj), say=lambda line: None)

    def anew(nj: int) -> None:
        shutil.rmtree(data, ignore_errors=True)
        prepared(nj)

    for nj in workers:
        add(f"preparation, {nj} worker(s)", best_of(1, lambda: anew(nj)))
    add("preparation again, nothing to do", best_of(REPEATS, lambda: prepared(1)))
    million = folder / "million"
    million.mkdir()
    write_million_lines(million)
    seconds = best_of(REPEATS, lambda: validate_data_dir(million, check_audio=False))
    add("validation of 1,000,000 utterances, tables only", seconds)
    return rows


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="results go here")
    parser.add_argument("--root", type=Path, help="folder with LDC97S62, ...")
    parser.add_argument("--nj", type=int, nargs="+", default=[1, 2], help="workers")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = args.root
        if root is None:
            from espnet_ext.corpus.embedded import build

            root = build(Path(name) / "embedded", size="tiny")
        rows = measure(root, Path(name), args.nj)
    settings = {
        "root": str(args.root or "embedded corpus, tiny"),
        "hardware": hardware(),
        **environment(),
    }
    with atomic_write(args.json) as file:
        json.dump({"settings": settings, "rows": rows}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
