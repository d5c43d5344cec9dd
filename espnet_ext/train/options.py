"""Options of our training driver, besides all of ESPnet's trainer."""

import argparse
import dataclasses
from typing import Any, Dict, Optional

from espnet2.train.trainer import TrainerOptions
from espnet2.utils.types import float_or_none, int_or_none, str2bool, str_or_none

from espnet_ext.errors import OptionError
from espnet_ext.train import devtrain
from espnet_ext.train.regime import Regime, parse_regime

AMP_DTYPES = ("auto", "bfloat16", "float16")


@dataclasses.dataclass
class DriverOptions(TrainerOptions):
    """ESPnet's options of a trainer and ours; see ``add_arguments`` for their meaning.

    ``regime`` is the parsed ``regime_conf``, ``arguments`` all options of the command.
    """

    deterministic: bool = False
    amp_dtype: str = "auto"
    save_interval_minutes: Optional[float] = 30.0
    save_interval_updates: Optional[int] = None
    nonfinite_in_row: int = 10
    nonfinite_share: float = 0.01
    dist_timeout_seconds: float = 300.0
    trace_file: Optional[str] = None
    trace_steps: int = 20
    devtrain: int = 0
    regime: Regime = Regime()
    arguments: Dict[str, Any] = dataclasses.field(default_factory=dict)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the driver's options."""
    group = parser.add_argument_group("Training driver")
    group.add_argument(
        "--deterministic",
        type=str2bool,
        default=False,
        help="The same seed gives the same bytes; an operation that cannot is refused",
    )
    group.add_argument(
        "--amp_dtype",
        choices=AMP_DTYPES,
        default="auto",
        help="Type of --use_amp true; auto: bfloat16 where it is supported",
    )
    group.add_argument(
        "--save_interval_minutes",
        type=float_or_none,
        default=30.0,
        help="Save inside of a sub-epoch after so many minutes; none: only at its end",
    )
    group.add_argument(
        "--save_interval_updates",
        type=int_or_none,
        default=None,
        help="Save inside of a sub-epoch after so many updates as well",
    )
    group.add_argument(
        "--nonfinite_in_row",
        type=int,
        default=10,
        help="Stop with status 3 after so many skipped updates in a row",
    )
    group.add_argument(
        "--nonfinite_share",
        type=float,
        default=0.01,
        help="Stop with status 3 if more than this share of a sub-epoch is skipped",
    )
    group.add_argument(
        "--dist_timeout_seconds",
        type=float,
        default=300.0,
        help="A process that waits longer than this for another one gives up. Larger "
        "than the longest validation part of one process",
    )
    group.add_argument(
        "--trace_file",
        type=str_or_none,
        default=None,
        help="Write a digest of every tensor of the first steps, then stop",
    )
    group.add_argument(
        "--trace_steps", type=int, default=20, help="Number of steps of --trace_file"
    )
    group.add_argument(
        "--devtrain",
        type=int,
        default=0,
        help="Score so many utterances of the training set after each epoch, as the "
        "validation set; always the same ones. 0: none",
    )


def build(args: argparse.Namespace) -> DriverOptions:
    """Options of the driver from those of the command.

    Raises:
        OptionError: A value that makes no sense, or one that ESPnet has and we do not.
    """
    wanted = [f.name for f in dataclasses.fields(DriverOptions)]
    values = {name: getattr(args, name) for name in wanted if hasattr(args, name)}
    values["regime"] = parse_regime(getattr(args, "regime_conf", None))
    values["arguments"] = dict(vars(args))
    options = DriverOptions(**values)
    if options.sharded_ddp:
        raise OptionError(
            "sharded_ddp needs fairscale, which is no longer kept up",
            next_step="leave it out; DistributedDataParallel is used",
        )
    devtrain.check_options(options)
    for name in ("nonfinite_in_row", "trace_steps", "dist_timeout_seconds"):
        if getattr(options, name) <= 0:
            raise OptionError(f"{name} {getattr(options, name)}", expected="above 0")
    for name in ("save_interval_minutes", "save_interval_updates"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise OptionError(f"{name} {value}", expected="above 0, or none")
    if not 0.0 <= options.nonfinite_share <= 1.0:
        raise OptionError(
            f"nonfinite_share {options.nonfinite_share}", expected="0 to 1"
        )
    return options
