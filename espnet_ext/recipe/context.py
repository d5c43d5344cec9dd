"""What every stage gets: the options, the names derived from them, and its log."""

import dataclasses
import json
import shlex
import sys
from pathlib import Path
from typing import Any, Dict, List

from espnet_ext.errors import OptionError
from espnet_ext.recipe.layout import Layout
from espnet_ext.recipe.log import StageLog
from espnet_ext.recipe.options import RecipeOptions


@dataclasses.dataclass(frozen=True)
class Context:
    """Passed to the functions of all stages."""

    options: RecipeOptions
    layout: Layout
    log: StageLog

    @property
    def python(self) -> str:
        """The interpreter of child processes."""
        return self.options.python or sys.executable

    def module(self, name: str, *arguments: object) -> List[str]:
        """The command that runs a Python module."""
        return [self.python, "-m", name, *map(str, arguments)]

    def chosen(self, *names: str) -> Dict[str, Any]:
        """Some of the options, as the settings that a unit depends on."""
        return {name: getattr(self.options, name) for name in names}


def with_log(context: Context, log: StageLog) -> Context:
    """The same context with another log."""
    return dataclasses.replace(context, log=log)


def words(option: str, value: str) -> List[str]:
    """A list of extra arguments out of one option's text, quotes understood."""
    try:
        return shlex.split(value)
    except ValueError as error:
        raise OptionError(str(error), where=f"--{option} {value!r}") from None


def write_spec(path: Path, spec: Dict[str, Any]) -> Path:
    """Write what one worker process has to do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(spec, ensure_ascii=False), encoding="utf-8")
    return path
