"""``encoder.dropout=0.2``: one value of a training configuration on a command line."""

import re
from typing import Any, Tuple

from espnet_ext import strict_yaml
from espnet_ext.errors import FormatError, OptionError

OVERRIDE = re.compile(r"([a-z]\w*(?:\.\w+)*)=(.*)", re.ASCII | re.DOTALL)


def parse_override(text: str) -> Tuple[str, Any]:
    """Dotted path in the configuration and value; ``encoder.x`` means encoder_conf.x.

    Raises:
        OptionError: Not PATH=VALUE, or a value that is not plain YAML.
    """
    found = OVERRIDE.fullmatch(text)
    if not found:
        raise OptionError(
            f"cannot read {text!r}", expected="PATH=VALUE, as in encoder.dropout=0.2"
        )
    section, *rest = found[1].split(".")
    if rest and not section.endswith("_conf"):
        section += "_conf"
    try:
        value = strict_yaml.parse(f"value: {found[2]}", text).content["value"]
    except FormatError as error:
        raise OptionError(error.found, where=text, expected=error.expected) from None
    return ".".join([section, *rest]), value
