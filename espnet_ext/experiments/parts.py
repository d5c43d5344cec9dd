"""Which classes and options exist, found by reading source text.

Importing ESPnet to ask would take ten seconds. ``register.py`` says which class has
which name; the constructor's arguments are its options. What the experiments need
beyond that is named in ``planned.yaml``.
"""

import ast
import functools
import importlib.util
import re
from pathlib import Path
from typing import Dict, FrozenSet, List, Mapping, Optional, Set, Tuple

from espnet_ext import strict_yaml
from espnet_ext.experiments.settings import leaves

PACKAGE = Path(__file__).resolve().parent.parent
PLANNED = Path(__file__).with_name("planned.yaml")
# our table names in register.py -> key of the configuration
TABLE_KEYS = re.compile(r"(\w+?)_(?:choices|classes)")
# options inside a mapping option: who takes them (file, class), what else goes there
MODELS = ("full_sum_transducer", "ctc", "attention_encoder_decoder")
NESTED = {
    ("decoder", "lstm_transducer", "joint"): (
        *("asr/joint/maxout_readout.py", "MaxoutReadout", {"type"}),
    ),
    ("decoder", "lstm_transducer", "joint.attention"): (
        *("asr/joint/window_attention.py", "WindowAttention", set()),
    ),
    ("encoder", "staged_conformer", "growth"): (
        *("asr/encoder/growth.py", "GrowthOptions", set()),
    ),
    **{
        ("specaug", "masks_by_step", option): (f"asr/specaug/{file}.py", kind, set())
        for option, file, kind in (
            ("masks", "masks", "MaskOptions"),
            ("time_warp", "time_warp", "WarpOptions"),
            ("time_resize", "time_resize", "ResizeOptions"),
            ("frame_drop", "frame_drop", "FrameDropOptions"),
            ("length_perturbation", "frame_drop", "LengthPerturbationOptions"),
            ("sequence_noise", "sequence_noise", "SequenceNoiseOptions"),
        )
    },
    **{
        ("model", model, "aux_ctc"): ("asr/loss/aux_ctc.py", "AuxiliaryCtc", {"form"})
        for model in MODELS
    },
    **{
        ("model", model, "l2"): ("asr/weight_decay.py", "WeightDecayOptions", set())
        for model in MODELS
    },
}
STOCK_SOURCES = ("tasks/abs_task.py", "tasks/asr.py")


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _module_file(module: str) -> Optional[Path]:
    package, _, rest = module.partition(".")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    base = Path(spec.origin).parent.joinpath(*rest.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _imports(tree: ast.Module) -> Dict[str, str]:
    """Imported name -> module, also inside functions."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.update({a.asname or a.name: node.module for a in node.names})
    return found


@functools.lru_cache(maxsize=None)
def registered() -> Dict[Tuple[str, str], Tuple[str, str]]:
    """(key, name in the configuration) -> (module, class), read from register.py."""
    tree = _tree(PACKAGE / "register.py")
    modules = _imports(tree)
    found = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Tuple) or len(node.elts) != 3:
            continue
        table, name, plugin = node.elts
        key = TABLE_KEYS.fullmatch(ast.unparse(table).split(".")[-1])
        is_name = isinstance(name, ast.Constant) and isinstance(name.value, str)
        if key and is_name and isinstance(plugin, ast.Name) and plugin.id in modules:
            found[key[1], name.value] = (modules[plugin.id], plugin.id)
    return found


def _constructor(file: Path, class_name: str, own: bool = False) -> Set[str]:
    """Options of a class and of the bases it hands ``**kwargs`` on to.

    ``own`` leaves out bases of ESPnet.
    """
    tree = _tree(file)
    imported = _imports(tree)
    for node in tree.body:
        if not isinstance(node, ast.ClassDef) or node.name != class_name:
            continue
        # the fields, if it is a dataclass
        fields = [item.target for item in node.body if isinstance(item, ast.AnnAssign)]
        options = {field.id for field in fields if isinstance(field, ast.Name)}
        open_ended = True
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                arguments = item.args
                names = [*arguments.args[1:], *arguments.kwonlyargs]
                options = {argument.arg for argument in names}
                open_ended = arguments.kwarg is not None
        if open_ended:
            for base in (b for b in node.bases if isinstance(b, ast.Name)):
                above = _module_file(imported[base.id]) if base.id in imported else file
                if above and not (own and PACKAGE not in above.parents):
                    options |= _constructor(above, base.id, own)
        return options
    return set()


@functools.lru_cache(maxsize=None)
def _planned_file() -> Dict[str, Dict[str, Dict]]:
    return strict_yaml.load(PLANNED).content


def planned(key: str, name: str) -> Mapping[str, str]:
    """Planned options of a class and their meanings; dotted inside mappings."""
    return _planned_file().get(key, {}).get(name, {}).get("options", {})


def planned_classes() -> List[Tuple[str, str, str]]:
    """(key, name, meaning) of every class in planned.yaml."""
    return [
        (key, name, row["meaning"])
        for key, classes in _planned_file().items()
        for name, row in classes.items()
    ]


@functools.lru_cache(maxsize=None)
def implemented_options(key: str, name: str, own: bool = False) -> FrozenSet[str]:
    """Options that the code of one of our classes takes, dotted where nested."""
    if (key, name) not in registered():
        return frozenset()
    module, class_name = registered()[key, name]
    file = _module_file(module)
    options = _constructor(file, class_name, own) if file else set()
    for (*owner, option), (path, inner_class, more) in NESTED.items():
        source = PACKAGE / path
        if owner == [key, name] and option.split(".")[0] in options and source.exists():
            inner = _constructor(source, inner_class) | more
            options |= {f"{option}.{inner_name}" for inner_name in inner}
    return frozenset(options)


@functools.lru_cache(maxsize=None)
def stock_names() -> FrozenSet[str]:
    """Class names that ESPnet's own tables have (empty without ESPnet)."""
    spec = importlib.util.find_spec("espnet2")
    if spec is None or spec.origin is None:
        return frozenset()
    names: Set[str] = set()
    for source in STOCK_SOURCES:
        text = (Path(spec.origin).parent / source).read_text(encoding="utf-8")
        names.update(re.findall(r"^\s+(\w+)=[\w.]+,?$", text, re.MULTILINE))
        names.update(re.findall(r"\"(\w+)\": ?[\w.]+,?$", text, re.MULTILINE))
    return frozenset(name.lower() for name in names)  # ESPnet compares so


def class_exists(key: str, name: str) -> bool:
    """Whether a configuration with this class can be built."""
    if (key, name) in registered():
        return True
    is_planned = any((k, n) == (key, name) for k, n, _ in planned_classes())
    return not is_planned and name.lower() in stock_names()


def valid_options(key: str, name: str) -> Optional[FrozenSet[str]]:
    """Options that exist or are planned; None for ESPnet's own classes."""
    options = implemented_options(key, name) | set(planned(key, name))
    return frozenset(options) or None


def option_exists(key: str, name: str, option: str) -> bool:
    """Whether the code takes an option; inside a mapping its outer name counts."""
    # ESPnet's model has an `aux_ctc` of another meaning: ours are those of our classes
    options = implemented_options(key, name, own=option in planned(key, name))
    outer = option.split(".")[0]
    if option in options:
        return True
    nested_here = any(other.startswith(f"{outer}.") for other in options)
    return outer in options and not nested_here


def regime_option_exists(option: str) -> bool:
    """Whether the training follows an option of ``regime_conf``."""
    return option.split(".")[0] in _regime_fields()


@functools.lru_cache(maxsize=None)
def _regime_fields() -> FrozenSet[str]:
    tree = _tree(PACKAGE / "train" / "regime.py")
    (regime,) = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name == "Regime"
    )
    return frozenset(
        node.target.id for node in regime.body if isinstance(node, ast.AnnAssign)
    )


def classes_of(config: Mapping) -> Dict[str, str]:
    """Section (``encoder_conf``) -> class name of a training configuration."""
    found = {}
    for key in ("frontend", "specaug", "encoder", "decoder", "model", "optim"):
        if config.get(key):
            found[key] = config[key]
    for key in ("scheduler", "preprocessor"):
        if config.get(key) and config[key] != "default":
            found[key] = config[key]
    return found


def missing_parts(config: Mapping) -> List[str]:
    """What of a training configuration the code does not have yet, in words."""
    missing = []
    for key, name in classes_of(config).items():
        if not class_exists(key, name):
            meaning = {(k, n): m for k, n, m in planned_classes()}.get((key, name), "")
            missing.append(f"{key}: {name}" + (f" ({meaning})" if meaning else ""))
            continue
        if (key, name) not in registered():
            continue
        for option, value in leaves(config.get(f"{key}_conf") or {}):
            if not option_exists(key, name, option):
                missing.append(f"{key}_conf.{option} of {name} (value {value})")
    for option, value in leaves(config.get("regime_conf") or {}):
        if not regime_option_exists(option):
            missing.append(f"regime_conf.{option} (value {value})")
    return missing
