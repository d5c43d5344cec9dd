"""Puts our classes into ESPnet's choice tables.

``ASRTask.build_model`` reads module-level tables, so stock tools (inference, packing,
collect-stats) see our classes once ``register()`` has run in their process.
"""


def register() -> None:
    """Add our classes by YAML name, and our data type; may be called twice.

    Raises:
        RuntimeError: ESPnet already has another class under one of the names.
    """
    from espnet2.tasks import abs_task, asr

    from espnet_ext.asr.attention_model import AttentionModel
    from espnet_ext.asr.ctc_model import CtcModel
    from espnet_ext.asr.decoder.extended_transducer import ExtendedTransducerDecoder
    from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
    from espnet_ext.asr.decoder.mlp_attention import MlpAttentionDecoder
    from espnet_ext.asr.decoder.stateless_transducer import StatelessTransducerDecoder
    from espnet_ext.asr.encoder.conv_blstm import ConvBlstmEncoder
    from espnet_ext.asr.encoder.e_branchformer import FrontendEBranchformer
    from espnet_ext.asr.encoder.staged_conformer import StagedConformerEncoder
    from espnet_ext.asr.framewise_model import FramewiseModel
    from espnet_ext.asr.framewise_transducer_model import FramewiseTransducerModel
    from espnet_ext.asr.frontend.gammatone import GammatoneFrontend
    from espnet_ext.asr.specaug.delayed import DelayedSpecAug
    from espnet_ext.asr.specaug.masks_by_step import MasksByStep
    from espnet_ext.asr.transducer_model import TransducerModel
    from espnet_ext.layers.corpus_mvn import CorpusMVN
    from espnet_ext.optimizers.adam_tf import AdamTf, NadamTf
    from espnet_ext.schedulers.newbob import Newbob
    from espnet_ext.schedulers.piecewise import (
        CosineUpdates,
        PiecewiseLinear,
        PiecewiseLinearUpdates,
    )
    from espnet_ext.train.cut_reader import add_data_type
    from espnet_ext.train.sampling_preprocessor import SamplingPreprocessor

    # "transducer" is not among the decoder names: ESPnet would build its own joint
    for table, name, plugin in (
        (asr.frontend_choices, "gammatone", GammatoneFrontend),
        (asr.specaug_choices, "delayed_specaug", DelayedSpecAug),
        (asr.specaug_choices, "masks_by_step", MasksByStep),
        (asr.normalize_choices, "corpus_mvn", CorpusMVN),
        (asr.encoder_choices, "conv_blstm", ConvBlstmEncoder),
        (asr.encoder_choices, "frontend_e_branchformer", FrontendEBranchformer),
        (asr.encoder_choices, "staged_conformer", StagedConformerEncoder),
        (asr.decoder_choices, "extended_transducer", ExtendedTransducerDecoder),
        (asr.decoder_choices, "lstm_transducer", LstmTransducerDecoder),
        (asr.decoder_choices, "mlp_attention_lstm", MlpAttentionDecoder),
        (asr.decoder_choices, "stateless_transducer", StatelessTransducerDecoder),
        (asr.model_choices, "attention_encoder_decoder", AttentionModel),
        (asr.model_choices, "ctc", CtcModel),
        (asr.model_choices, "framewise", FramewiseModel),
        (asr.model_choices, "framewise_transducer", FramewiseTransducerModel),
        (asr.model_choices, "full_sum_transducer", TransducerModel),
        (asr.preprocessor_choices, "bpe_sampling", SamplingPreprocessor),
        (asr.preprocessor_choices, "speed_perturbation", SamplingPreprocessor),
        (abs_task.optim_classes, "adam_tf", AdamTf),
        (abs_task.optim_classes, "nadam_tf", NadamTf),
        (abs_task.scheduler_classes, "cosine_updates", CosineUpdates),
        (abs_task.scheduler_classes, "newbob", Newbob),
        (abs_task.scheduler_classes, "piecewise_linear", PiecewiseLinear),
        (
            abs_task.scheduler_classes,
            "piecewise_linear_updates",
            PiecewiseLinearUpdates,
        ),
    ):
        present = getattr(table, "classes", table).setdefault(name, plugin)
        if present is not plugin:
            raise RuntimeError(f"ESPnet already has a class named {name!r}: {present}")
    add_data_type()
