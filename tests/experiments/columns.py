"""A check for each column of experiments.tsv: its text against our configuration."""

import pytest

from tests.experiments import table
from tests.experiments.columns_model import (
    batches,
    check_attscaledist,
    check_behavior_version,
    check_chunk,
    check_conv_norm,
    check_d,
    check_dim_growth,
    check_family,
    check_fix245,
    check_frontend,
    check_heads,
    check_kernel,
    check_loss,
    check_num_subepochs,
    check_pretrain_layers,
    check_rate,
    check_relpos,
    check_rndframedrop,
    check_rndresize,
    check_specaug,
    check_switch,
    check_twarp,
    check_win,
    epochs,
    rates_of,
)


def check_aux(text, row, exp):
    got = exp.get("model_conf.aux_ctc")
    expected = table.aux(text)
    if expected is None:
        assert got is None
    else:
        assert (got["layers"], got["form"], got["weight"] == 1.0) == expected
        assert got["weight"] in (0.0, 1.0)


def check_transd(text, row, exp):
    expected = None if text == "-" else int(text)
    assert exp.get("model_conf.transducer_start_epoch") == expected


def check_label_smoothing(text, row, exp):
    got = exp.get("model_conf.label_smoothing")
    expected = table.smoothing(text, row["family"])
    if expected is None:
        assert got is None
        return
    if expected["schedule"] == "warmup":
        expected["warmup_epochs"] = 60
    assert got == expected


def check_declstm_type(text, row, exp):
    zoneout = exp.get("decoder_conf.zoneout")
    dropout = exp.get("decoder_conf.recurrent_weight_dropout")
    if text.startswith("zoneout"):
        assert (zoneout["cell"], zoneout["output"]) == (0.15, 0.05)
    else:
        assert zoneout is None
    assert dropout == (0.3 if text == "LSTM+W_re dropout 0.3" else None)


def check_dec_att(text, row, exp):
    attention = exp.get("decoder_conf.joint.attention")
    if text == "window 5":
        assert attention["window_size"] == 5
    elif text == "no":
        assert attention is None and exp.get("decoder_conf.joint.readout_size") == 1000
    else:
        assert text == "global MLP" and exp.get("decoder") == "mlp_attention_lstm"


def check_l2_sets(text, row, exp):
    factors, weights_only = table.l2_of(text)
    got = exp.get("model_conf.l2")
    if "orig" in exp.switches:  # meant to, but absent in the terms of parity/orig_*
        factors["prediction_network"] = 0.0
    for part, factor in factors.items():
        assert got.get(part, 0.0) == pytest.approx(factor), part
    # orig: the BLSTM layers alone, its convolutions have none
    assert (got["encoder_parameters"] == "weights") == weights_only
    assert bool(got.get("scaled_by_growth")) == ("*frac" in text)
    late = "l2=0 during pretrain" in text or "0 in first stage" in text
    assert ("regularise_from_epoch" in got) == late


def check_decouple(text, row, exp):
    factor = exp.get("optim_conf.decoupled_l2_factor")
    assert factor == (None if text == "-" else float(text.removeprefix("factor=")))


def check_optimizer(text, row, exp):
    assert exp.get("optim") == f"{text}_tf"


def check_batches(text, row, exp):
    layers = table.layers_of_epochs(
        row["pretrain_layers"], int(row["layers"]), epochs(exp)
    )
    assert batches(exp) == table.batches_of_epochs(row, layers)
    only_training = exp.get("regime_conf.batch_schedule_only_training", False)
    assert only_training == ("and training" in row["batch_size_pre"])


def check_horovod(text, row, exp):
    got = exp.get("regime_conf.multi_gpu")
    if text == "-":
        assert got is None
    else:
        assert text == "4 procs, param-avg every 100 s, random_seed_offset"
        assert got["processes"] == 4
        assert got["parameter_average_interval_s"] == 100
        assert got["data"] == "shuffled_per_process"


def check_lr_default(text, row, exp):
    assert exp.get("scheduler_conf.default_lr") == float(text)
    assert exp.get("optim_conf.lr") == float(text)


def check_lr_list(text, row, exp):
    assert rates_of(exp) == pytest.approx(table.segments(text), rel=2e-6)


def check_lr_list_len(text, row, exp):
    assert len(rates_of(exp)) == int(text)


def check_growth_threshold(text, row, exp):
    got = exp.get("scheduler_conf.relative_error_growth_threshold")
    decay = exp.get("scheduler_conf.relative_error_threshold")
    assert got == (decay if text == "= thr" else float(text))


def check_use_last_best(text, row, exp):
    got = exp.get("regime_conf.rollback")
    got = got and {key: value for key, value in got.items() if value is not None}
    assert got == table.rollback(text)


def number_at(path):
    def check(text, row, exp):
        assert exp.get(path) == table.number(text)

    return check


CHECKS = {
    "family": check_family,
    "loss": check_loss,
    "num_subepochs": check_num_subepochs,
    "behavior_version": check_behavior_version,
    "layers": number_at("encoder_conf.num_layers"),
    "pretrain_layers": check_pretrain_layers,
    "dim_growth": check_dim_growth,
    "d": check_d,
    "ff": number_at("encoder_conf.feed_forward_size"),
    "heads": check_heads,
    "kernel": check_kernel,
    "conv_norm": check_conv_norm,
    "relpos": check_relpos,
    "frontend": check_frontend,
    "fix245": check_fix245,
    "enc_dropout": check_rate("dropout"),
    "att_dropout": check_rate("attention_dropout"),
    "pos_dropout": check_switch("encoder_conf.position_dropout", table.number, "0"),
    "mhsapinit": number_at("encoder_conf.qkv_init_scale"),
    "win": check_win,
    "attscaledist": check_attscaledist,
    "chunk": check_chunk,
    "rndresize": check_rndresize,
    "rndframedrop": check_rndframedrop,
    "specaug": check_specaug,
    "twarp": check_twarp,
    "aux": check_aux,
    "transd": check_transd,
    "label_smoothing": check_label_smoothing,
    "declstm_dim": number_at("decoder_conf.hidden_size"),
    "declstm_type": check_declstm_type,
    "decemb_dim": number_at("decoder_conf.embedding_size"),
    "dec_att": check_dec_att,
    "decswitchout": check_switch("decoder_conf.label_switchout"),
    "bpe_sample": check_switch("preprocessor_conf.breadth_probability", off="0"),
    "vn": check_switch("encoder_conf.weight_noise_std"),
    "wdrop": check_switch("encoder_conf.weight_dropout"),
    "l2_sets": check_l2_sets,
    "decouple": check_decouple,
    "optimizer": check_optimizer,
    "eps": number_at("optim_conf.eps"),
    "gradient_noise": check_switch("optim_conf.gradient_noise_std", off="0"),
    "batch_size": check_batches,
    "batch_size_pre": check_batches,
    "max_seqs": number_at("regime_conf.max_sequences"),
    "accum": check_batches,
    "horovod": check_horovod,
    "lr_default": check_lr_default,
    "lr_list": check_lr_list,
    "lr_list_len": check_lr_list_len,
    "min_lr": number_at("scheduler_conf.min_lr"),
    "lr_decay": number_at("scheduler_conf.decay"),
    "lr_growth": number_at("scheduler_conf.growth"),
    "newbob_thr": number_at("scheduler_conf.relative_error_threshold"),
    "newbob_grow_thr": check_growth_threshold,
    "nepnewlr": number_at("scheduler_conf.min_epochs_per_lr"),
    "use_last_best": check_use_last_best,
    "keep_last_n": number_at("regime_conf.keep_last_checkpoints"),
}
