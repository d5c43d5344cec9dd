"""What the name of an original experiment says that its parameters do not.

Sizes, norms, heads and layers can be read off the parameters; pooling of the frontend,
residuals, chunking and what changes only gradients cannot.

Source: reference/parts.md 0 and 2.
"""

import re
from typing import NamedTuple, Optional

from espnet_ext.errors import OptionError
from espnet_ext.names import nearest

FAMILIES = (
    "start",
    "orig",
    "conformer",
    "att_conformer",
    "ctc_conformer",
    "ctc_start",
    "old_moh_hybrid_conformer",
    "old_nick_att_conformer",
)


class NamedExperiment(NamedTuple):
    """Facts of a name.

    Attributes:
        family: One of FAMILIES.
        pool_last: The frontend pools after its last BLSTM layer too.
        residual: See StagedConformerEncoder.
        gradient_decay: Of attention scores.
        chunk_size: Window in training; None for none.
        chunk_only_longer: Only longer batches are cut.
        aux_form: ``aux``, ``f`` or ``ff``, see AuxiliaryCtc.
        smoothing: ``ls``, ``lsx`` or ``lsxx``; None for none.
        smoothing_scale: When fully on.
        smoothing_schedule: ``a`` (with the growth), ``b`` (over 60 sub-epochs) or "".
        masked_norm: Padding is left out of BatchNorm.
        blank_first: The blank column is the first one, although its index is the last.
    """

    family: str
    pool_last: bool = False
    residual: str = "all"
    gradient_decay: float = 0.0
    chunk_size: Optional[int] = None
    chunk_only_longer: bool = False
    aux_form: str = "aux"
    smoothing: Optional[str] = None
    smoothing_scale: float = 0.0
    smoothing_schedule: str = ""
    masked_norm: bool = False
    blank_first: bool = False


def _fraction(digits: str) -> float:
    return float(f"0.{digits[1:]}")


def parse_experiment(name: str) -> NamedExperiment:
    """Read the tokens of a name that matter here; the others are passed over.

    Raises:
        OptionError: The name begins with no known family.
    """
    matches = [f for f in FAMILIES if name == f or name.startswith(f"{f}_")]
    if not matches:
        beginning = "_".join(name.split("_")[:2])
        raise OptionError(
            f"experiment {name!r} is of no known family",
            expected=", ".join(FAMILIES),
            next_step=f"nearest: {nearest(beginning, FAMILIES) or 'none'}",
        )
    family = max(matches, key=len)
    tokens = name[len(family) :].split("_")
    result = NamedExperiment(family)
    for token in tokens:
        if token in ("blstmf2", "cnnblstmf2"):
            result = result._replace(pool_last=True)
        elif token == "nores":
            result = result._replace(residual="attention_only")
        elif token in ("attscaledist", "attscaledist2"):
            result = result._replace(gradient_decay=0.1)
        elif token == "bnmask":
            result = result._replace(masked_norm=True)
        elif match := re.fullmatch(r"chunk(\d+)(a?)", token):
            result = result._replace(
                chunk_size=int(match[1]), chunk_only_longer=match[2] == "a"
            )
        elif match := re.fullmatch(r"aux\d+(f{0,2})", token):
            result = result._replace(aux_form=match[1] or "aux")
        elif match := re.fullmatch(r"(lsx{0,2})(0\d+)([abg]?)", token):
            result = result._replace(
                smoothing=match[1],
                smoothing_scale=_fraction(match[2]),
                smoothing_schedule=match[3],
            )
    if family == "orig":
        result = result._replace(blank_first="fixsepblanklast" not in tokens)
    return result


def smoothing_at(
    experiment: NamedExperiment, sub_epoch: int, layers: int, all_layers: int = 12
) -> float:
    """Scale of the label smoothing in a sub-epoch and growing stage."""
    scale = experiment.smoothing_scale
    if experiment.smoothing_schedule == "b":
        return scale * min(sub_epoch / 60.0, 1.0)
    if experiment.smoothing_schedule == "a":
        return scale * (1.0 - (all_layers - layers) / (all_layers - 2))
    return scale
