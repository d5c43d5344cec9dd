"""Word-boundary errors of all aligners of a trained model, on the embedded corpus.

    cd egs2/swbd_repro && ./run.sh                 # the demo
    python ../../benchmarks/alignment_error.py --json FILE

The validation calls are aligned with the trained model: transducer and CTC, each by the
best path (also with the encoder in bfloat16), by the original's back-trace and by
posteriors, and CTC with a softmax prior. The reference are the times that the
synthesiser reports.
"""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import List, Optional, Sequence

REPOSITORY = Path(__file__).resolve().parents[1]
if str(REPOSITORY) not in sys.path:  # started as a script
    sys.path.insert(0, str(REPOSITORY))

from espnet_ext.analysis.provenance import environment, hardware  # noqa: E402
from espnet_ext.errors import run_main  # noqa: E402
from espnet_ext.errors import MissingInputError, StageFailedError  # noqa: E402
from espnet_ext.files import atomic_write  # noqa: E402

PRIOR_SCALES = (0.3, 1.0)


def cases(prior: Path) -> List[tuple]:
    """(name, options of the verb run)."""
    made = []
    for output in ("transducer", "ctc"):
        for method in ("exact", "sum_alpha", "posterior"):
            words = ["--output", output, "--method", method]
            made.append((f"{output}_{method}", words))
        words = ["--output", output, "--dtype", "bfloat16"]
        made.append((f"{output}_exact_bfloat16", words))
    for scale in PRIOR_SCALES:
        words = ["--output", "ctc", "--prior", str(prior), "--prior_scale", str(scale)]
        made.append((f"ctc_exact_prior{scale:g}", words))
    return made


def experiment_in(folder: Path) -> Path:
    """The only experiment of the recipe.

    Raises:
        MissingInputError: There is none, or there are several.
    """
    found = [p for p in sorted(folder.glob("asr_*")) if (p / "config.yaml").is_file()]
    if len(found) != 1:
        raise MissingInputError(
            f"{len(found)} trained experiments",
            where=folder,
            expected="one",
            next_step="--exp EXP names it",
        )
    return found[0]


def run(arguments: Optional[Sequence[str]] = None) -> int:
    """Align, measure, print and write."""
    from espnet_ext.alignment.boundaries import boundary_table, measure_all
    from espnet_ext.bin import align

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exp", type=Path, help="the experiment (default: in exp/)")
    parser.add_argument("--weights", default="valid.loss.ave.pth")
    parser.add_argument("--set", default="dev", help="a set at its own speed")
    parser.add_argument("--reference", type=Path, help="CTM of the recordings")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    args = parser.parse_args(arguments)
    exp = args.exp or experiment_in(Path("exp"))
    corpus = Path("downloads/embedded/alignment")
    reference = args.reference or corpus / f"{args.set}.ctm"
    source = Path("dump/raw") / args.set
    given = ["--asr_train_config", exp / "config.yaml"]
    given += ["--asr_model_file", exp / args.weights]
    for file in ("wav.scp,speech,sound", "text,text,text"):
        given += ["--data_path_and_name_and_type", f"{source}/{file}"]
    folder = exp / "alignment_error"

    def call(verb: str, *words: object) -> float:
        start = time.perf_counter()
        if align.main([verb, *map(str, given), *map(str, words)]):
            raise StageFailedError(f"align {verb} failed", where=exp)
        return time.perf_counter() - start

    prior = folder / "prior.npz"
    call("prior", "--output", "ctc", "--file", prior)
    paths, took = [], {}
    for name, words in cases(prior):
        path = folder / name
        took[path] = call("run", *words, "--output_dir", path)
        paths.append(path)
    rows = measure_all(reference, paths, Path("data") / args.set)
    print(boundary_table(rows))
    if args.json:
        settings = {"set": args.set, "weights": args.weights, "hardware": hardware()}
        settings.update(environment(exp / "config.yaml"))
        figures = [
            {**dataclasses.asdict(row), "seconds": round(took[path], 2)}
            for row, path in zip(rows, paths)
        ]
        with atomic_write(args.json) as file:
            json.dump({"settings": settings, "rows": figures}, file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(run_main(run))
