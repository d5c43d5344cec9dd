"""How a text is cut into tokens, for the token error rate."""

from pathlib import Path
from typing import Callable, Collection, List, Optional, Union

import yaml

from espnet_ext.errors import MissingInputError, ToolMissingError

PathLike = Union[str, Path]
Tokenizer = Callable[[str], List[str]]
MODEL_SUFFIX = ".model"


def load_tokenizer(path: PathLike, whole: Collection[str] = ()) -> Tokenizer:
    """The tokenizer of a sentencepiece model, or of subword-nmt's merges.

    Args:
        path: ``bpe.model``, or ``bpe.codes`` with ``bpe.vocab`` beside it.
        whole: Words that subword-nmt does not cut.

    Raises:
        MissingInputError: There is no such file.
        ToolMissingError: The package is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingInputError("no such model of word pieces", where=path)
    if path.suffix != MODEL_SUFFIX:
        from espnet_ext.recipe import subword_nmt

        return subword_nmt.load_cutter(path, whole)
    try:
        import sentencepiece
    except ImportError:
        raise ToolMissingError(
            "sentencepiece is not installed", next_step="pip install sentencepiece"
        ) from None
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return lambda text: processor.encode(text, out_type=str)


def model_of_experiment(exp_dir: PathLike) -> Optional[Path]:
    """The sentencepiece model that EXP/config.yaml names, if it is still there.

    ESPnet writes it relative to the recipe folder, which is two above EXP.
    """
    exp_dir = Path(exp_dir)
    try:
        config = yaml.safe_load((exp_dir / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    named = config.get("bpemodel") if isinstance(config, dict) else None
    if not isinstance(named, str):
        return None
    places = (Path(named), exp_dir.resolve().parent.parent / named)
    return next((place for place in places if place.is_file()), None)
