"""The files of conf/: bases, regimes, overlays and the user's baselines."""

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from espnet_ext import strict_yaml
from espnet_ext.errors import FormatError, MissingInputError, OptionError
from espnet_ext.experiments.grammar import BASELINE, parse_name, tokens_of
from espnet_ext.experiments.settings import leaves
from espnet_ext.names import nearest

NAME = re.compile(r"\w[\w.-]{0,199}", re.ASCII)
REPOSITORY = Path(__file__).resolve().parent.parent.parent
MAXIMUM_KEYS = 10
MAXIMUM_OVERLAYS = 2
# keys of our files that are no training options
OWN_KEYS = (
    *("base", "name", "note", "regime", "fidelity", "behaviour_version"),
    "inference_config",
)
COMPLETE = ("encoder", "model", "optim")  # what a whole configuration has
REGIME_KEYS = ("growth", "rates", "batches", "sets")


@dataclasses.dataclass(frozen=True)
class Overlay:
    """One file that changes a base.

    Attributes:
        name: Of the experiment: the file's, unless the file has ``name``.
        base: What it changes, an experiment name or another overlay; None: its name.
        own: Its keys that are no training options.
        content: Its training options.
        document: For messages with line numbers.
    """

    name: str
    base: Optional[str]
    own: Mapping[str, Any]
    content: Mapping[str, Any]
    document: strict_yaml.Document


class Conf:
    """The configuration folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def results(self) -> Path:
        """The results register beside the (possibly linked) configuration folder."""
        return self.folder.resolve().parent / "results"

    @functools.cached_property
    def regimes(self) -> Dict[str, Any]:
        """Entries of bases/regimes.yaml."""
        document = strict_yaml.load(self.folder / "bases" / "regimes.yaml")
        strict_yaml.refuse_unknown(document, ["regimes"])
        for name in document.content["regimes"]:
            strict_yaml.refuse_unknown(document, REGIME_KEYS, "regimes", name)
        return document.content["regimes"]

    def base(self, name: str) -> strict_yaml.Document:
        """One file of bases/."""
        return strict_yaml.load(self.folder / "bases" / f"{name}.yaml")

    @functools.cached_property
    def baselines(self) -> Dict[str, str]:
        """baselines.yaml: the user's names for sets of switches.

        Raises:
            FormatError, OptionError: A name that is a token, or a value that is none.
        """
        path = self.folder / "baselines.yaml"
        if not path.is_file():
            return {}
        document = strict_yaml.load(path)
        for name, value in document.content.items():
            where = document.where(name)
            if not isinstance(name, str) or not BASELINE.fullmatch(name):
                raise FormatError(
                    f"{name!r} is no name of a baseline",
                    where=where,
                    expected="small letters, then digits, such as b2",
                )
            if not isinstance(value, str):
                raise FormatError(
                    f"{name} holds {type(value).__name__}",
                    where=where,
                    expected="an experiment name",
                )
            try:
                tokens_of(name, {})
            except OptionError:
                parse_name(value)
            else:
                raise FormatError(f"{name!r} is a token already", where=where)
        return dict(document.content)

    @functools.cached_property
    def overlays(self) -> Dict[str, Path]:
        """Files of experiments/ by experiment name."""
        files = sorted((self.folder / "experiments").glob("*.yaml"))
        return {file.stem: file for file in files}

    def overlay(self, path: Path) -> Overlay:
        """Read and check one overlay.

        Raises:
            MissingInputError, FormatError: As strict_yaml.load.
            OptionError: More than ten keys.
        """
        document = strict_yaml.load(path)
        own = {
            key: document.content[key] for key in OWN_KEYS if key in document.content
        }
        content = {k: v for k, v in document.content.items() if k not in OWN_KEYS}
        for key in ("base", "name", "note", "regime", "inference_config"):
            if key in own and not isinstance(own[key], str):
                raise OptionError(
                    f"{key} is {own[key]!r}", where=document.where(key), expected="text"
                )
        count = len(list(leaves(content)))
        count += sum(key in own for key in ("regime", "fidelity", "inference_config"))
        if count > MAXIMUM_KEYS:
            raise OptionError(
                f"sets {count} values",
                where=document.name,
                expected=f"at most {MAXIMUM_KEYS}",
                next_step="name a nearer base, or put a part into another overlay",
            )
        name = own.get("name", Path(path).stem)
        if not NAME.fullmatch(name):
            raise OptionError(
                f"{name!r} is no name of a directory",
                where=document.name,
                expected="at most 200 letters, digits and . _ -",
            )
        return Overlay(name, own.get("base"), own, content, document)

    def chain(self, path: Path) -> List[Overlay]:
        """An overlay and the overlay it rests on, the lower one first.

        Raises:
            OptionError: More than two levels.
        """
        overlays = [self.overlay(path)]
        while overlays[0].base is not None:
            base = overlays[0].base
            file = self.file_of(base, Path(path).parent)
            if file is None or self.complete(str(file)):
                break
            if len(overlays) == MAXIMUM_OVERLAYS:
                levels = " on ".join([o.name for o in reversed(overlays)] + [base])
                raise OptionError(
                    f"more than {MAXIMUM_OVERLAYS} overlays: {levels}",
                    where=overlays[0].document.where("base"),
                    next_step="let it rest on an experiment name",
                )
            overlays.insert(0, self.overlay(file))
        return overlays

    def complete(self, name: str) -> Optional[Path]:
        """The file of a whole training configuration (train_demo), None if no such."""
        is_file = name.endswith((".yaml", ".yml"))
        path = Path(name) if is_file else self.folder / f"{name}.yaml"
        if not path.is_file():
            return None
        content = strict_yaml.load(path).content
        whole = "base" not in content and all(key in content for key in COMPLETE)
        return path if whole else None

    def file_of(self, name: str, beside: Optional[Path] = None) -> Optional[Path]:
        """The overlay file that a name means, if any."""
        if name.endswith((".yaml", ".yml")):
            path = Path(name)
            if beside is not None and not path.is_file():
                path = beside / name
            if not path.is_file():
                near = nearest(path.stem, self.overlays)
                raise MissingInputError(
                    "no such file",
                    where=name,
                    next_step=f"did you mean {self.overlays[near]}?" if near else None,
                )
            return path
        return self.overlays.get(name)


def find_conf(folder: Optional[Path] = None) -> Conf:
    """The configuration folder: the given one, ./conf, or that of the checkout.

    Raises:
        MissingInputError: None of them has bases.
    """
    candidates = [folder] if folder else [Path("conf"), REPOSITORY / "conf"]
    for candidate in candidates:
        if (candidate / "bases" / "regimes.yaml").is_file():
            return Conf(candidate)
    raise MissingInputError(
        "no configuration folder with bases/regimes.yaml",
        where=candidates[-1],
        next_step="run from a checkout, or name its conf folder with --conf",
    )
