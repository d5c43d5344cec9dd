"""Writes docs/switches/ out of the catalogue.

python -m espnet_ext.experiments.pages           # write
python -m espnet_ext.experiments.pages --check   # only compare, status 1 if stale
"""

import argparse
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from espnet_ext.errors import run_main
from espnet_ext.experiments import parts
from espnet_ext.experiments.catalogue import Switch, load_catalogue
from espnet_ext.experiments.fidelity import BEHAVIOUR_VERSION, load_table
from espnet_ext.experiments.files import REPOSITORY, Conf, find_conf
from espnet_ext.experiments.show import yaml_value
from espnet_ext.experiments.status import missing_of
from espnet_ext.files import atomic_write

FOLDER = "docs/switches"
MADE = (
    "<!-- Made by `python -m espnet_ext.experiments.pages` from the switch catalogue; "
    "do not edit. -->\n"
)


def cell(text: Any) -> str:
    """Text inside a table."""
    return str(text).replace("|", "\\|").replace("\n", " ")


def row(*cells: Any) -> str:
    """A line of a table."""
    return "| " + " | ".join(cell(item) for item in cells) + " |"


def head(*titles: str) -> List[str]:
    """The first two lines of a table."""
    return [row(*titles), "|" + "---|" * len(titles)]


def plain(value: Any) -> str:
    """A value for readers."""
    return value if isinstance(value, str) else yaml_value(value)


def status(switch: Switch, conf: Conf) -> str:
    """'implemented', or what is missing."""
    missing = missing_of(switch, conf)
    if not missing:
        return "implemented"
    more = f" and {len(missing) - 2} more" if len(missing) > 2 else ""
    return f"not yet: {', '.join(missing[:2])}{more}"


def switch_lines(switch: Switch, conf: Conf) -> List[str]:
    """One switch in full."""
    token = switch.token.replace("{}", "…")
    title = switch.shown if switch.shown == token else f"{token} ({switch.shown})"
    lines = [f"### {title}", "", f"{switch.meaning}.", ""]
    facts = {
        "switch": f"`{switch.id}`",
        "acts on": ", ".join(f"`{path}`" for path in switch.config_paths)
        or (f"base `{switch.base}`" if switch.base else "the regime"),
        "value in the name": switch.reader.example if switch.reads else None,
        "type": switch.type,
        "neutral": None if switch.neutral is None else plain(switch.neutral),
        "tried": ", ".join(
            yaml_value(list(t) if isinstance(t, tuple) else t) for t in switch.tried
        )
        or ("only in the README of the original" if switch.reads else None),
        "README says": switch.readme,
        "files say (they count)": switch.files,
        "traps": switch.traps,
        "source": switch.source,
        "status": status(switch, conf),
    }
    return lines + [f"- {key}: {value}" for key, value in facts.items() if value] + [""]


def group_page(name: str, conf: Conf) -> str:
    """All switches of one group."""
    catalogue = load_catalogue()
    group = catalogue.groups[name]
    lines = [MADE, f"# {group.title}", "", group.meaning, ""]
    for switch in catalogue.switches.values():
        if switch.group == name:
            lines += switch_lines(switch, conf)
    return "\n".join(lines)


def readme_page(conf: Conf) -> str:
    """Every switch of the original's README, with its status."""
    lines = [
        MADE,
        "# Switches of the original's README",
        "",
        "In the catalogue's order; tokens that only file names have stand at the end.",
        "",
        *head("README", "token", "meaning", "status"),
    ]
    switches = load_catalogue().switches.values()
    for listed in (True, False):
        for switch in (s for s in switches if s.in_readme == listed):
            token = switch.token.replace("{}", "…")
            shown = f"`{switch.shown}`" if listed else "-"
            lines.append(row(shown, f"`{token}`", switch.meaning, status(switch, conf)))
    return "\n".join([*lines, ""])


def fidelity_page() -> str:
    """The original's peculiarities."""
    lines = [
        MADE,
        "# Fidelity",
        "",
        "`fidelity: original` (named experiments) or `corrected` (our own), or single "
        "ones: `fidelity: {all: original, dropout_mask: corrected}`.",
        f"The newest behaviour version is {BEHAVIOUR_VERSION}.",
        "",
        *head("name", "meaning", "path", "original", "corrected", "source"),
    ]
    for option in load_table().options.values():
        original = "as the token says" if option.original is None else option.original
        corrected = (
            "as the token says" if option.corrected is None else option.corrected
        )
        paths = ", ".join(f"`{path}`" for path in option.paths)
        values = (plain(original), plain(corrected))
        lines.append(
            row(f"`{option.id}`", option.meaning, paths, *values, option.source)
        )
    return "\n".join([*lines, ""])


def parts_page() -> str:
    """Classes and options that experiments name and the code lacks."""
    lines = [
        MADE,
        "# Not implemented yet",
        "",
        "Classes and options that resolved experiments name. Who writes a part takes "
        "its names from here (`espnet_ext/experiments/planned.yaml`); a line vanishes "
        "when the code has it.",
        "",
    ]
    for key, name, meaning in parts.planned_classes():
        options = parts.planned(key, name)
        is_regime = key == "regime"
        exists = is_regime or parts.class_exists(key, name)

        def is_there(option: str) -> bool:
            if is_regime:
                return parts.regime_option_exists(option)
            return exists and parts.option_exists(key, name, option)

        absent = {o: text for o, text in options.items() if not is_there(o)}
        if not absent:
            continue
        where = "regime_conf" if is_regime else f"{key}: {name}, {key}_conf"
        state = "exists, without these options" if exists else "does not exist"
        lines += [f"## {where}", "", f"{meaning}. The class {state}.", ""]
        lines += head("option", "meaning")
        lines += [row(f"`{option}`", text) for option, text in absent.items()]
        lines.append("")
    return "\n".join(lines)


def index_page(conf: Conf) -> str:
    """The first page."""
    catalogue = load_catalogue()
    lines = [
        MADE,
        "# Switches of the experiment names",
        "",
        "```",
        "espnet-ext exp list aux48ff --sort hub5e_00   # experiments and their results",
        "espnet-ext exp show NAME                      # every value and its origin",
        "espnet-ext exp diff NAME OTHER                # what two differ in",
        "espnet-ext exp check NAME                     # all errors, without data",
        "./run.sh --exp NAME ...                       # run it",
        "```",
        "A name is a model family and tokens joined by `_`, in any order. Two tokens "
        "for the same thing, unknown tokens and impossible values are refused. "
        "`conf/baselines.yaml` holds your own names for sets of switches, "
        "`conf/experiments/` files that change at most ten values.",
        "",
        *head("page", "switches", "implemented"),
    ]
    for name, group in catalogue.groups.items():
        switches = [s for s in catalogue.switches.values() if s.group == name]
        done = sum(not missing_of(switch, conf) for switch in switches)
        lines.append(row(f"[{group.title}]({name}.md)", len(switches), done))
    lines += [
        "",
        "- [Every switch of the original's README](original-readme.md)",
        "- [The original's peculiarities](fidelity.md)",
        "- [Not implemented yet](not-implemented.md)",
        "",
    ]
    return "\n".join(lines)


def pages(conf: Conf) -> Dict[str, str]:
    """File name -> text."""
    made = {f"{name}.md": group_page(name, conf) for name in load_catalogue().groups}
    made["original-readme.md"] = readme_page(conf)
    made["fidelity.md"] = fidelity_page()
    made["not-implemented.md"] = parts_page()
    made["README.md"] = index_page(conf)
    return made


def stale(folder: Path, made: Dict[str, str]) -> List[str]:
    """Pages that differ from what would be written, or should not be there."""
    there = {path.name for path in folder.glob("*.md")}
    differs = [
        name
        for name, text in made.items()
        if name not in there or (folder / name).read_text(encoding="utf-8") != text
    ]
    return sorted({*differs, *(there - set(made))})


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write or check the pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    args = parser.parse_args(argv)

    def run() -> int:
        folder = REPOSITORY / FOLDER
        made = pages(find_conf(REPOSITORY / "conf"))
        old = stale(folder, made)
        if args.check:
            print(f"stale: {' '.join(old)}" if old else "up to date")
            return 1 if old else 0
        for name, text in made.items():
            with atomic_write(folder / name) as file:
                file.write(text)
        print(f"{len(made)} pages in {FOLDER}, {len(old)} changed")
        return 0

    return run_main(run)


if __name__ == "__main__":
    sys.exit(main())
