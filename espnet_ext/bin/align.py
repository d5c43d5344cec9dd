"""Align speech with its text, and work with alignments.

    python -m espnet_ext.bin.align run --asr_train_config exp/X/config.yaml \\
        --asr_model_file exp/X/valid.loss.ave.pth --output_dir exp/X/align \\
        --data_path_and_name_and_type dump/raw/dev/wav.scp,speech,sound \\
        --data_path_and_name_and_type dump/raw/dev/text,text,text --formats textgrid

Verbs: ``run``, ``prior``, ``export``, ``import``, ``compare``, ``boundaries``; each has
``--help``. See docs/alignment.md.
"""

import argparse
import sys
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from espnet_ext.errors import OptionError, run_main
from espnet_ext.files import atomic_write

VERBS = ("run", "prior", "export", "import", "compare", "boundaries")
SHOWN_FAILURES = 10


def get_parser() -> argparse.ArgumentParser:
    """Options of all verbs."""
    parser = argparse.ArgumentParser(description="Alignments of speech and text.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    run = verbs.add_parser("run", help="align a data set")
    _add_model(run)
    run.add_argument("--output_dir", required=True, help="folder of the result")
    run.add_argument("--method", default="exact", help="exact, sum_alpha or posterior")
    run.add_argument("--topology", help="another than the model was trained with")
    run.add_argument("--prior", help="file that the verb prior wrote")
    run.add_argument("--prior_scale", type=float, default=1.0)
    run.add_argument(
        "--frame_shift", type=float, help="seconds, where the model takes features"
    )
    run.add_argument(
        "--dtype",
        default="float32",
        help="bfloat16 computes the encoder in less time, and a little less exactly",
    )
    run.add_argument("--posteriors", action="store_true", help="write them too")
    run.add_argument("--formats", default="", help="of export, blank-separated")
    prior = verbs.add_parser("prior", help="average a CTC output over a data set")
    _add_model(prior)
    prior.add_argument("--file", required=True, help="the .npz file to write")
    export = verbs.add_parser("export", help="write other formats")
    export.add_argument("alignment", nargs="+", help="folders or files (shards)")
    export.add_argument("--output_dir", required=True)
    export.add_argument(
        "--formats", default="kaldi ctm", help="kaldi ctm textgrid hdf5"
    )
    export.add_argument("--merge", action="store_true", help="keep one .npz of all")
    export.add_argument("--text", help="UTTERANCE WORDS, how the words are written")
    read = verbs.add_parser("import", help="read another format, and check it")
    read.add_argument("file", help=".scp, .ark, .ctm, .hdf5, or a folder of TextGrids")
    read.add_argument(
        "--like", required=True, help="an alignment with the tokens and frame shift"
    )
    read.add_argument("--output_dir", required=True)
    compare = verbs.add_parser("compare", help="two alignments, as a page")
    compare.add_argument("first")
    compare.add_argument("second")
    compare.add_argument("--names", nargs=2, help="what to call them")
    compare.add_argument("--output_dir", required=True)
    compare.add_argument("--data_dir", help="with wav.scp, for pages of utterances")
    compare.add_argument(
        "--utterances", default="", help="ids of the pages, blank-separated"
    )
    compare.add_argument("--reference", help="CTM of known words, for these pages")
    words = verbs.add_parser("boundaries", help="mean error of word boundaries")
    words.add_argument("reference", help="CTM of the recordings")
    words.add_argument("alignment", nargs="+")
    words.add_argument("--data_dir", required=True, help="with segments")
    words.add_argument("--json", help="write the figures too")
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--asr_train_config", required=True)
    parser.add_argument("--asr_model_file", required=True)
    parser.add_argument("--output", default="auto", help="transducer, ctc, aux:N, auto")
    parser.add_argument(
        "--data_path_and_name_and_type",
        action="append",
        required=True,
        help="FILE,speech,TYPE and FILE,text,text",
    )
    parser.add_argument("--key_file", help="first fields: the utterances")
    parser.add_argument("--batch_samples", type=int, help="padded samples of a batch")
    parser.add_argument("--device", default="cpu")


def sources_of(values: Sequence[str]) -> List[Tuple[str, str, str]]:
    """FILE,NAME,TYPE apart; the file may have commas.

    Raises:
        OptionError: There are fewer than three parts.
    """
    parts = [tuple(value.rsplit(",", 2)) for value in values]
    wrong = [value for value, part in zip(values, parts) if len(part) != 3]
    if wrong:
        raise OptionError(
            f"found {wrong[0]!r}",
            where="--data_path_and_name_and_type",
            expected="FILE,speech,sound or FILE,text,text",
        )
    return parts


def _open(args):
    """Model, ids, load, options of the loop, and a report of the progress."""
    from espnet_ext.alignment.model_files import load_model, open_data
    from espnet_ext.alignment.run import BATCH_SAMPLES
    from espnet_ext.progress import report

    loaded = load_model(
        args.asr_train_config, args.asr_model_file, args.output, args.device
    )
    sources = sources_of(args.data_path_and_name_and_type)
    ids, load = open_data(loaded.config, sources, args.key_file)
    options = {
        "batch_samples": args.batch_samples or BATCH_SAMPLES,
        "progress": lambda done: report(done, len(ids)),
    }
    return loaded, ids, load, options


def run(args) -> None:
    """Align; the result appears in the folder when it is complete."""
    from espnet_ext.alignment.exchange import check_formats, export
    from espnet_ext.alignment.formats.kaldi import write_archive
    from espnet_ext.alignment.model_files import describe
    from espnet_ext.alignment.posteriors import SoftMatrices
    from espnet_ext.alignment.prior import load_log_prior
    from espnet_ext.alignment.run import (
        WRITING,
        Aligner,
        Seconds,
        align_all,
        check_dtype,
        spent,
    )
    from espnet_ext.alignment.store import FILE, write_set

    check_formats(args.formats.split())
    check_dtype(args.dtype)
    seconds: Seconds = {}
    loaded, ids, load, options = _open(args)
    scale = args.prior_scale if args.prior else 0.0
    info = describe(
        *(loaded, args.asr_model_file, args.method, args.topology, scale),
        *(args.frame_shift, args.dtype),
    )
    prior = load_log_prior(args.prior, loaded.output, scale)
    prior = prior if prior is None else prior.to(args.device)
    matrices = SoftMatrices() if args.posteriors else None
    aligner = Aligner(loaded.output, info, prior, args.device, seconds)
    made = align_all(aligner, ids, load, soft=matrices, **options)
    folder = Path(args.output_dir)
    with spent(seconds, WRITING):
        if matrices is not None:
            write_archive(matrices.by_id, folder, "posteriors")
        export(made, folder, args.formats.split())
        write_set(made, folder / FILE)
    print(summary(made))
    print("seconds: " + ", ".join(f"{k} {v:.1f}" for k, v in seconds.items()))


def summary(made) -> str:
    """What was aligned, how times are to be read, and what failed, by id."""
    info = made.info
    ahead = "the whole utterance"
    if info.look_ahead_s >= 0:
        ahead = f"{1000 * info.look_ahead_s:.0f} ms"
    count = len(made.aligned) + len(made.failed)
    lines = [
        f"{len(made.aligned)} of {count} utterances aligned: {info.method}, "
        f"{info.output}, {info.topology}, {info.dtype}",
        f"frame shift {1000 * info.frame_shift_s:.6g} ms, look-ahead {ahead}",
    ]
    for key, reason in list(made.failed.items())[:SHOWN_FAILURES]:
        lines.append(f"  failed: {key}: {reason}")
    if len(made.failed) > SHOWN_FAILURES:
        lines.append(f"  and {len(made.failed) - SHOWN_FAILURES} more, see failed")
    return "\n".join(lines)


def prior(args) -> None:
    """Average a CTC output over a data set."""
    from espnet_ext.alignment.run import add_prior

    loaded, ids, load, options = _open(args)
    made = add_prior(loaded.output, ids, load, args.device, **options)
    made.save(args.file)
    print(f"prior of {made.output.name} over {made.frames} frames: {args.file}")


def export_verb(args) -> None:
    """Write other formats of one alignment, or of all its shards."""
    from espnet_ext.alignment.exchange import export
    from espnet_ext.alignment.store import FILE, merge_sets, read_set, write_set
    from espnet_ext.analysis.kaldi_text import read_table

    spoken: Optional[Dict[str, List[str]]] = None
    if args.text:
        spoken = {key: text.split() for key, text in read_table(args.text).items()}
    alignments = merge_sets(read_set(path) for path in args.alignment)
    folder = Path(args.output_dir)
    if args.merge:
        with atomic_write(folder / "failed") as file:
            file.writelines(f"{k} {v}\n" for k, v in alignments.failed.items())
    for path in export(alignments, folder, args.formats.split(), spoken):
        print(path)
    if args.merge:
        write_set(alignments, folder / FILE)
        print(summary(alignments))


def import_verb(args) -> None:
    """Read another format."""
    import dataclasses

    from espnet_ext.alignment.exchange import import_alignments
    from espnet_ext.alignment.store import FILE, read_set, write_set

    like = read_set(args.like)
    labels = {key: entry.labels.tolist() for key, entry in like.aligned.items()}
    info = dataclasses.replace(like.info, method="imported", model=str(args.file))
    made = import_alignments(args.file, info, labels)
    write_set(made, Path(args.output_dir) / FILE)
    print(f"{len(made.aligned)} alignments read: {Path(args.output_dir) / FILE}")


def compare_verb(args) -> None:
    """Compare two alignments."""
    from espnet_ext.alignment.compare_page import write_comparison
    from espnet_ext.alignment.store import read_set

    names = args.names or [Path(args.first).name, Path(args.second).name]
    sets = [read_set(path) for path in (args.first, args.second)]
    page = write_comparison(
        *(sets, names, args.output_dir, args.data_dir, args.utterances.split()),
        reference=args.reference,
    )
    print(page)


def boundaries(args) -> None:
    """Errors of word boundaries of one or more alignments."""
    from espnet_ext.alignment.boundaries import boundary_table, measure_all, write_json

    rows = measure_all(args.reference, args.alignment, args.data_dir)
    print(boundary_table(rows))
    if args.json:
        write_json(rows, args.json)


def main(cmd: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    args = get_parser().parse_args(cmd)
    functions = (run, prior, export_verb, import_verb, compare_verb, boundaries)
    return run_main(lambda: dict(zip(VERBS, functions))[args.verb](args))


if __name__ == "__main__":
    sys.exit(main())
