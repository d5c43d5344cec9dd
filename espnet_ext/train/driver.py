"""Our trainer behind ESPnet's task: resumes exactly, and shows what it does."""

import argparse
from pathlib import Path
from typing import Any, Optional, Sequence

import torch
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.schedulers.abs_scheduler import AbsScheduler
from espnet2.train.abs_espnet_model import AbsESPnetModel
from espnet2.train.distributed_utils import DistributedOption
from espnet2.train.reporter import SubReporter
from espnet2.train.trainer import Trainer

from espnet_ext.train import options as driver_options
from espnet_ext.train.determinism import refusals_are_user_errors
from espnet_ext.train.training import Training


class TransducerTrainer(Trainer):
    """Takes the place of ESPnet's Trainer; the options of that keep their meaning.

    Differs from it: a kill at any moment loses nothing but time; random numbers come
    from named streams; values that are not finite never reach the weights; gradients
    can be summed over batches, and models averaged over processes, as in the original.
    ``sharded_ddp`` is refused, ``create_graph_in_tensorboard`` is ignored.
    """

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """The driver's own options."""
        driver_options.add_arguments(parser)

    @classmethod
    def build_options(cls, args: argparse.Namespace) -> driver_options.DriverOptions:
        """ESPnet's options and ours."""
        return driver_options.build(args)

    @classmethod
    def run(
        cls,
        model: AbsESPnetModel,
        optimizers: Sequence[torch.optim.Optimizer],
        schedulers: Sequence[Optional[AbsScheduler]],
        train_iter_factory: AbsIterFactory,
        valid_iter_factory: AbsIterFactory,
        plot_attention_iter_factory: Optional[AbsIterFactory],
        trainer_options: driver_options.DriverOptions,
        distributed_option: DistributedOption,
    ) -> None:
        """Train to the end; see ``Training.run`` for what can be raised."""

        def plot(reporter: SubReporter, epoch: int) -> None:
            cls.plot_attention(
                model=model,
                output_dir=Path(trainer_options.output_dir) / "att_ws",
                summary_writer=None,
                iterator=plot_attention_iter_factory.build_iter(epoch),
                reporter=reporter,
                options=trainer_options,
            )

        plot_attention: Any = plot if plot_attention_iter_factory is not None else None
        with refusals_are_user_errors():
            Training(
                model,
                optimizers,
                schedulers,
                train_iter_factory,
                valid_iter_factory,
                plot_attention,
                trainer_options,
                distributed_option.distributed,
            ).run()
