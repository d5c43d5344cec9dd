"""Pack a model: configuration, weights (also safetensors), units, results, model card.

    python -m espnet_ext.bin.pack --asr_train_config EXP/config.yaml \\
        --asr_model_file EXP/valid.loss.ave.pth --outpath model.zip

The archive is ESPnet's, so that its own tools unpack it, with README.md in addition.
Names in it are relative to the current folder, in which all files must lie.
"""

import argparse
import os
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from espnet_ext.errors import MissingInputError, OptionError, run_main
from espnet_ext.files import atomic_path
from espnet_ext.interop.model_card import model_card

CARD = "README.md"


def get_parser() -> argparse.ArgumentParser:
    """Options of the command; the first ones are those of ESPnet's."""
    parser = argparse.ArgumentParser(description="Pack a model into one file")
    parser.add_argument("--asr_train_config", type=Path, required=True)
    parser.add_argument("--asr_model_file", type=Path, required=True)
    parser.add_argument("--lm_train_config", type=Path)
    parser.add_argument("--lm_file", type=Path)
    parser.add_argument("--option", type=Path, action="append", default=[])
    parser.add_argument("--outpath", type=Path, required=True, help=".zip to write")
    parser.add_argument("--results", type=Path, help="RESULTS.md for the model card")
    parser.add_argument("--data_note", default="", help="a line about the data")
    parser.add_argument("--model_license", default="", help="licence of the weights")
    return parser


def check_inside(paths: Sequence[Path]) -> None:
    """All files exist below the current folder.

    Raises:
        MissingInputError, OptionError: Naming the file.
    """
    here = Path.cwd().resolve()
    for path in paths:
        if not path.exists():
            raise MissingInputError("file not found", where=path)
        if here not in path.resolve().parents:
            raise OptionError(
                "lies outside the current folder and so has no name in the archive",
                where=path,
                next_step="run the command in a folder that holds all files",
            )


def write_safetensors(weights: Path, target: Path) -> None:
    """The weights of a checkpoint as safetensors, which hold no pickled objects."""
    import torch
    from safetensors.torch import save_file

    state = torch.load(weights, map_location="cpu", weights_only=True)
    tensors = {name: value.clone().contiguous() for name, value in state.items()}
    with atomic_path(target) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt", "of": weights.name})


def pack(cmd: Optional[Sequence[str]] = None) -> int:
    """Write the archive under a temporary name, then rename it."""
    args = get_parser().parse_args(cmd)
    from espnet2.main_funcs import pack_funcs

    yaml_files: Dict[str, Path] = {"asr_train_config": args.asr_train_config}
    files: Dict[str, Path] = {"asr_model_file": args.asr_model_file}
    if args.lm_train_config:
        yaml_files["lm_train_config"] = args.lm_train_config
        files["lm_file"] = args.lm_file
    options: List[Path] = list(args.option)
    check_inside([*yaml_files.values(), *files.values(), *options])
    weights = args.asr_model_file.with_name(f"{args.asr_model_file.stem}.safetensors")
    write_safetensors(args.asr_model_file, weights)
    card = model_card(
        args.asr_train_config.resolve().parent.name,
        args.asr_train_config,
        args.asr_model_file,
        args.results,
        args.data_note,
        args.model_license,
    )
    args.outpath.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.outpath.parent) as folder:
        part = Path(folder) / "part.zip"
        try:
            pack_funcs.pack(files, yaml_files, part, [*options, weights])
        finally:
            weights.unlink()
        with zipfile.ZipFile(part, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(CARD, card)
        os.replace(part, args.outpath)
    return 0


def main(cmd: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    return run_main(lambda: pack(cmd))


if __name__ == "__main__":
    sys.exit(main())
