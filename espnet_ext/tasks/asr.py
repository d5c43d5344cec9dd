"""ESPnet's ASR task with our plugins registered and our trainer.

The import registers the plugins. ESPnet spawns its GPU workers with a method of the
task as target, so unpickling that target in the worker registers them there as well.
"""

import argparse
import inspect
from typing import Dict, Optional, Tuple

import torch
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.tasks import abs_task, asr
from espnet2.tasks.asr import ASRTask
from espnet2.utils.nested_dict_action import NestedDictAction

from espnet_ext.errors import OptionError
from espnet_ext.layers.corpus_mvn import follow_utterances
from espnet_ext.names import nearest
from espnet_ext.register import register
from espnet_ext.tasks.init_param import check_init_param, refuse_if_loading_failed
from espnet_ext.train import devtrain, sub_epoch_task
from espnet_ext.train.driver import TransducerTrainer
from espnet_ext.train.freed_memory import return_freed_blocks
from espnet_ext.train.regime import parse_regime
from espnet_ext.train.start import training_folder

register()

# configuration keys that name a class, with the table they are looked up in
TABLES = {
    "frontend": asr.frontend_choices,
    "specaug": asr.specaug_choices,
    "normalize": asr.normalize_choices,
    "encoder": asr.encoder_choices,
    "decoder": asr.decoder_choices,
    "model": asr.model_choices,
    "preprocessor": asr.preprocessor_choices,
    "optim": abs_task.optim_classes,
    "scheduler": abs_task.scheduler_classes,
}


def accepted_options(plugin: type) -> Optional[Dict[str, inspect.Parameter]]:
    """Keyword options of a class and of the bases it passes ``**kwargs`` on to.

    None if the set is open (``**kwargs`` without a base that closes it).
    """
    options: Dict[str, inspect.Parameter] = {}
    for base in plugin.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        named = [p for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
        for parameter in named:
            options.setdefault(parameter.name, parameter)
        if len(named) == len(parameters):
            return options
    return None


def check_plugin_options(args: argparse.Namespace) -> None:
    """Refuse unknown classes and unknown ``*_conf`` keys, naming the nearest valid one.

    ESPnet checks neither in a configuration file: a typo surfaces as a KeyError or
    TypeError deep inside the construction of the model.
    """
    for key, table in TABLES.items():
        name = getattr(args, key, None)
        if name is None:
            continue
        classes = getattr(table, "classes", table)
        if name not in classes:
            raise OptionError(
                f"unknown {key} {name!r}",
                expected=", ".join(sorted(classes)),
                next_step=f"{key}: {nearest(name, classes) or '...'}",
            )
        options = accepted_options(classes[name])
        for option in getattr(args, f"{key}_conf", None) or {}:
            if options is not None and option not in options:
                near = nearest(option, options)
                raise OptionError(
                    f"{key}_conf: {name} has no option {option!r}",
                    expected=", ".join(sorted(set(options) - {"self"})),
                    next_step=f"did you mean {near!r}?" if near else None,
                )


class TransducerTask(ASRTask):
    """ASRTask with our trainer and a check of the model's options."""

    trainer = TransducerTrainer

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """ASRTask's options, two mappings that ``--exp`` writes, and the lexicon."""
        super().add_task_arguments(parser)
        group = parser.add_argument_group(description="Experiments by name")
        group.add_argument(
            "--experiment_conf",
            action=NestedDictAction,
            default={},
            help="Name, fidelity and behaviour version; a record, changes nothing",
        )
        group.add_argument(
            "--lexicon",
            default=None,
            help="Lexicon of a model of phonemes; a record, decoding uses it",
        )
        group.add_argument(
            "--regime_conf",
            action=NestedDictAction,
            default={},
            help="Order, batches and control of the original's training",
        )

    @classmethod
    def optional_data_names(
        cls, train: bool = True, inference: bool = False
    ) -> Tuple[str, ...]:
        """ASRTask's, and the alignments that framewise models are trained on."""
        return (*super().optional_data_names(train, inference), "alignment")

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        """Train in this process, in a locked folder, denormal floats flushed to zero.

        Posteriors of unlikely alignments lie below 1e-38, where floats are denormal
        and a CPU computes many times slower. Threads take the setting over from the
        one that starts them, so it is made before the first large operation.
        """
        torch.set_flush_denormal(True)
        if (getattr(args, "model_conf", None) or {}).get("recompute"):
            return_freed_blocks()  # who asks for it is short of memory
        given = getattr(args, "init_param", None) or []
        check_init_param(given)
        with training_folder(args):
            try:
                super().main_worker(args)
            except (AttributeError, KeyError, RuntimeError) as error:
                refuse_if_loading_failed(error, given)
                raise

    @classmethod
    def build_iter_factory(cls, args, distributed_option, mode, kwargs=None):
        """Batches by ``regime_conf`` where it says anything about them, or ESPnet's."""
        regime = parse_regime(args.regime_conf)
        name, mode = mode, "valid" if mode == devtrain.PHASE else mode
        if regime.has_sub_epochs and mode != "plot_att":
            factory = sub_epoch_task.build_sub_epochs(
                cls, args, distributed_option, mode, regime, kwargs
            )
        else:
            factory = super().build_iter_factory(args, distributed_option, mode, kwargs)
            factory = sub_epoch_task.told_epochs(factory, args)
        if name == "valid" and args.devtrain:  # the trainer is given no third one
            factory.devtrain = devtrain.build(cls, args, distributed_option)
        return factory

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> ESPnetASRModel:
        """Build the model as ASRTask does, after checking names and options.

        Raises:
            OptionError: A class or an option does not exist, or has a wrong value.
        """
        check_plugin_options(args)
        try:
            model = super().build_model(args)
        except ValueError as error:
            raise OptionError(f"the model cannot be built: {error}") from error
        follow_utterances(model)
        return model
