"""The README of a packed model: what it is, on what it was trained, how good it is."""

from pathlib import Path
from typing import Any, Dict, List, Optional

import yaml

from espnet_ext.analysis.provenance import file_hash, git_hash, package_version
from espnet_ext.files import read_lines

NO_RESULTS = "Not scored. Run stages 12 and 13, then pack again."
SHOWN = ("encoder", "decoder", "model", "frontend", "normalize", "token_type", "seed")


def _table(rows: Dict[str, Any]) -> List[str]:
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return ["| | |", "|---|---|", *lines, ""]


def _error_rates(results: Optional[Path]) -> List[str]:
    """The tables of RESULTS.md, with their headings, without its title."""
    if results is None or not results.is_file():
        return [NO_RESULTS, ""]
    lines = [line for line in read_lines(results) if not line.startswith("# ")]
    # headings one level deeper: they are inside a section here
    return [f"#{line}" if line.startswith("#") else line for line in lines] + [""]


def model_card(
    name: str,
    config: Path,
    weights: Path,
    results: Optional[Path] = None,
    data: str = "",
    license_name: str = "",
) -> str:
    """Markdown text.

    Args:
        name: Of the experiment.
        config: Its config.yaml.
        weights: Its weights.
        results: RESULTS.md of stage 13.
        data: An honest line about the training and test data.
        license_name: Of the weights, as their maker decided.
    """
    text = "\n".join(read_lines(config))
    settings = yaml.safe_load(text)
    shown = {key: settings.get(key) for key in SHOWN if settings.get(key) is not None}
    shown["tokens"] = len(settings.get("token_list") or [])
    origin = {
        "weights": f"{Path(weights).name}, SHA-256 {file_hash(weights)}",
        "configuration": f"config.yaml, SHA-256 {file_hash(config)}",
        "espnet_ext": f"{git_hash()}",
        "ESPnet, torch": f"{package_version('espnet')}, {package_version('torch')}",
    }
    lines = [
        f"# {name}",
        "",
        "A speech recognizer made with espnet_ext, an ESPnet2 extension.",
        "",
        "## Use",
        "```python",
        "import espnet_ext",
        'recognizer = espnet_ext.Speech2Text.from_pretrained("THIS_FILE.zip")',
        "text, *_ = recognizer(samples)[0]  # float32 samples at the model's rate",
        "```",
        "",
        "## Model",
        *_table(shown),
        "## Data",
        data or "The configuration names the data directories it was trained on.",
        "",
        "## Word error rates",
        *_error_rates(results),
        "## Provenance",
        *_table(origin),
        "## Licence",
        license_name
        and f"Weights: {license_name}."
        or "Weights: none was chosen by whoever packed them; ask before passing on. "
        "Licences of the training data may restrict their use.",
        "The code of espnet_ext and of ESPnet: Apache-2.0. The archive holds no code.",
    ]
    return "\n".join(lines) + "\n"
