"""Real-time factors of searches on the same weights and frames, and of whole decoding.

    python benchmarks/decode.py --json FILE

Search rows: one transducer of ESPnet's parts (LSTM 512, joint 500, 1031 outputs), 167
frames of 60 ms, no encoder. Ours searches a batch, the others one utterance after the
other, as they only can. Different searches visit different hypotheses on random
weights, so that the rows compare speed only. Rows ``whole`` begin with audio: noise, or
the files below ``--audio`` (``make demo`` makes egs2/swbd_repro/dump/raw/audio/rt03s).
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

REPOSITORY = Path(__file__).resolve().parents[1]
if str(REPOSITORY) not in sys.path:  # started as a script
    sys.path.insert(0, str(REPOSITORY))

from espnet_ext.analysis.provenance import (  # noqa: E402
    environment,
    hardware,
    package_version,
)
from espnet_ext.errors import OptionError, run_main  # noqa: E402
from espnet_ext.files import atomic_write  # noqa: E402

BEAM, BATCH = 12, 16
CONFIG = REPOSITORY / "benchmarks" / "conf" / "stock_transducer.yaml"
SLOW = ("espnet_default", "espnet_maes")  # once, and with one thread only
# what has to hold: (who, batch, beam), (whom, beam), times
GOALS = (
    (("ours", BATCH, BEAM), ("espnet_tsd", BEAM), 13.0),
    (("ours", 1, BEAM), ("espnet_tsd", BEAM), 4.0),
    (("ours", BATCH, 1), ("espnet_greedy", 1), 7.0),
)


def seconds_of(run: Callable[[], object], repeats: int, warm: bool = True) -> float:
    """Shortest wall time of several runs, after one that is not counted."""
    import torch

    times: List[float] = []
    with torch.no_grad():
        if warm:
            run()
        for _ in range(repeats):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
    return min(times)


def search_rows(threads: int, repeats: int, slow: bool) -> List[Dict[str, Any]]:
    """All searches with so many threads."""
    import torch

    from benchmarks import decode_cases as cases

    torch.set_num_threads(threads)
    model, _ = cases.search_model(BATCH)
    audio_s = cases.FRAMES * cases.FRAME_S
    runs = [
        ("ours", batch, beam, cases.ours(model, batch, beam))
        for beam in (1, 4, BEAM)
        for batch in (1, 4, BATCH)
    ]
    none = cases.ours(model, BATCH, BEAM, recombination="none")
    runs.append(("ours, not recombined", BATCH, BEAM, none))
    for batch, beam in ((1, BEAM), (BATCH, BEAM), (BATCH, 1)):
        alone = cases.products_alone(cases.ours(model, batch, beam))
        runs.append(("matrix products of ours", batch, beam, alone))
    for name in cases.STOCK_SEARCHES:
        if name not in SLOW or slow:
            beam = 1 if name == "espnet_greedy" else BEAM
            runs.append((name, 1, beam, cases.stock(model, name, beam)))
    runs.append(("torchaudio", 1, BEAM, cases.torchaudio_search(model, BEAM)))
    rows = []
    for name, batch, beam, run in runs:
        once = name in SLOW
        seconds = seconds_of(run, 1 if once else repeats, warm=not once)
        rows.append(row(name, batch, beam, threads, seconds / (batch * audio_s)))
    return rows


def whole_rows(
    threads: int, repeats: int, slow: bool, folder: Optional[Path]
) -> List[Dict[str, Any]]:
    """Audio to labels, with the encoder: of the files in a folder, or noise."""
    import torch

    from benchmarks import decode_cases as cases

    torch.set_num_threads(threads)
    model, audio = cases.whole_model(str(CONFIG))
    audio = cases.read_audio(folder) if folder else audio
    audio_s = sum(x.size(1) for x in audio) / cases.RATE_HZ
    rows = []
    for name, run in cases.whole_decodes(model, audio, BEAM).items():
        if name in SLOW and not slow:
            continue
        seconds = seconds_of(run, 1 if name in SLOW else repeats, name not in SLOW)
        batch = min(len(audio), BATCH) if name == "ours" else 1
        rows.append(row(f"whole {name}", batch, BEAM, threads, seconds / audio_s))
    return rows


def row(name: str, batch: int, beam: int, threads: int, rtf: float) -> Dict[str, Any]:
    """A row of the result, shown as it is found."""
    found = {"name": name, "batch": batch, "beam": beam, "threads": threads}
    found["rtf"] = float(f"{rtf:.3g}")
    print(json.dumps(found), flush=True)
    return found


def ratios(rows: Sequence[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """How many times faster ours is, for each goal and number of threads."""
    found = {(r["name"], r["batch"], r["beam"], r["threads"]): r["rtf"] for r in rows}
    results = []
    for threads in sorted({r["threads"] for r in rows if r["threads"]}):
        for (name, batch, beam), (other, other_beam), goal in GOALS:
            mine = found.get((name, batch, beam, threads))
            theirs = found.get((other, 1, other_beam, threads))
            if mine and theirs:
                what = f"beam {beam}, batch {batch}, against {other}"
                results.append(_ratio(what, threads, theirs / mine, goal))
        for other in ("whole espnet_tsd", "whole espnet_default"):
            theirs = found.get((other, 1, BEAM, threads))
            mine = [r for r in rows if r["name"] == "whole ours"]
            mine = [r["rtf"] for r in mine if r["threads"] == threads]
            if mine and theirs:
                results.append(_ratio(other, threads, theirs / mine[0], 3.0))
    return results


def _ratio(what: str, threads: int, times: float, goal: float) -> Dict[str, Any]:
    return {
        "what": what,
        "threads": threads,
        "times": round(times, 1),
        "goal": goal,
        "reached": times >= goal,
    }


def benchmark(args: argparse.Namespace) -> int:
    """Run all entries; print ratios and write the JSON."""
    threads = [int(word) for word in args.threads.split()]
    if not threads or min(threads) < 1:
        raise OptionError(f"threads {args.threads!r}", expected="such as '1 2'")
    import torch

    rows: List[Dict[str, Any]] = []
    for number in threads:
        slow = number == threads[0] and not args.quick
        if args.only != "whole":
            rows += search_rows(number, args.repeats, slow)
        rows += whole_rows(number, args.repeats, slow, args.audio)
    gpu = {"name": "ours on a GPU, captured", "batch": 64, "beam": BEAM, "rtf": None}
    reason = "no GPU" if not torch.cuda.is_available() else "no entry yet"
    rows.append({**gpu, "threads": None, "note": f"not run: {reason}"})
    from benchmarks import decode_cases as cases

    settings = {
        **environment(),
        "machine": hardware(),
        "torchaudio version": package_version("torchaudio"),
        "sizes": cases.SIZES,
        "frames": f"{cases.FRAMES} of {cases.FRAME_S} s, random, seed 1",
        "weights": f"random; output times {cases.PEAKY}, embedding times "
        f"{cases.EMBEDDING}, bias of blank for {cases.LABELS_PER_FRAME} labels a frame",
        "rtf": f"shortest of {args.repeats} runs, wall time over audio time",
        "whole": f"{CONFIG.name}, 500 outputs, {what_is_decoded(args.audio)}",
        "matrix products of ours": "those of the same search alone",
    }
    goals = ratios(rows)
    with atomic_write(args.json) as file:
        content = {"settings": settings, "rows": rows, "ratios": goals}
        json.dump(content, file, indent=1)
        file.write("\n")
    for goal in goals:
        print(json.dumps(goal))
    print(f"written to {args.json}")
    return 0


def what_is_decoded(folder: Optional[Path]) -> str:
    """The audio of the whole rows, in words."""
    from benchmarks import decode_cases as cases

    if folder is None:
        return f"{2 * sum(cases.AUDIO_S)} s of noise"
    audio = cases.read_audio(folder)
    seconds = sum(x.size(1) for x in audio) / cases.RATE_HZ
    return f"{len(audio)} utterances of {folder.name}, {seconds:.1f} s"


def get_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = argparse.ArgumentParser(description="Real-time factors of searches.")
    parser.add_argument("--json", type=Path, required=True, help="results go here")
    parser.add_argument("--threads", default="1 2", help="numbers of CPU threads")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each")
    parser.add_argument("--audio", type=Path, help="folder of .wav or .flac files")
    parser.add_argument("--only", choices=("all", "whole"), default="all")
    parser.add_argument("--quick", action="store_true", help="without the slow peers")
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    args = get_parser().parse_args(argv)
    return run_main(lambda: benchmark(args))


if __name__ == "__main__":
    sys.exit(main())
