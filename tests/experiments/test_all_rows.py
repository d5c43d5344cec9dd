"""Every experiment of the original resolves to the values recorded of it, all columns."""

import csv
import re

import pytest

from espnet_ext.experiments.files import find_conf
from espnet_ext.experiments.resolve import resolve
from espnet_ext.experiments.schedule import expand
from tests.experiments import table
from tests.shared import REPOSITORY, shared_file

RESULT_COLUMNS = re.compile(
    r"(cfg|seed)_(hub5e_00|hub5e_01|rt03s|best_epoch)|status_note"
)


def rows():
    with open(shared_file("reference/experiments.tsv"), encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture(scope="module")
def resolved():
    conf = find_conf(REPOSITORY / "conf")
    return [(row, resolve(row["name"], conf=conf)) for row in rows()]


def epochs(exp):
    return max(exp.get("max_epoch"), 150)


def rates_of(exp):
    return expand([tuple(s) for s in exp.get("scheduler_conf.lr_segments")])


def batches(exp):
    """(frames, accumulated) of every sub-epoch."""
    final = {
        "from_epoch": 1,
        "max_frames": exp.get("batch_bins") // 80,
        "accum_grad": exp.get("accum_grad"),
    }
    entries = exp.get("regime_conf.batch_schedule") or [final]
    assert entries[-1]["max_frames"] == final["max_frames"]
    assert entries[-1]["accum_grad"] == final["accum_grad"]
    result = []
    for epoch in range(1, epochs(exp) + 1):
        entry = [e for e in entries if e["from_epoch"] <= epoch][-1]
        result.append((entry["max_frames"], entry["accum_grad"]))
    return result


def criterion(exp):
    models = {
        "full_sum_transducer": "RNA full-sum",
        "attention_encoder_decoder": "CE",
        "ctc": "CTC",
    }
    return models[exp.get("model")]


def check_loss(text, row, exp):
    if text == "(recog only)":
        assert exp.get("max_epoch") == 0
        return
    assert criterion(exp) == text.split(" (")[0]
    nonfinite = {"(native warp-rna)": "keep", "(pure TF)": "zero"}
    implementation = text.partition(" (")[2] and f"({text.partition(' (')[2]}"
    assert exp.get("model_conf.nonfinite_loss") == nonfinite.get(implementation)


def check_family(text, row, exp):
    ids = exp.switches.ids()
    expected = {
        "transducer": "conformer",
        "att": "attention",
        "ctc": "ctc",
        "import": "import_old_nick",
    }
    assert any(i.startswith(expected.get(text, text)) for i in ids)
    assert ("attention" in ids, "ctc" in ids) == (text == "att", text == "ctc")


def check_num_subepochs(text, row, exp):
    assert exp.get("max_epoch") == (0 if text == "(no training)" else int(text))


def check_behavior_version(text, row, exp):
    expected = None if text == "(unset)" else int(text)
    assert exp.get("regime_conf.returnn_behavior_version") == expected


def check_pretrain_layers(text, row, exp):
    layers = int(row["layers"])
    expected = table.layers_of_epochs(text, layers, epochs(exp))
    assert [exp.growth.layers_at(e) for e in range(1, epochs(exp) + 1)] == expected
    growth = exp.get("encoder_conf.growth")
    if growth:
        assert growth["layers"] == list(exp.growth.layers[:-1])
        assert growth["epochs"] == list(exp.growth.epochs)


def check_dim_growth(text, row, exp):
    growth = exp.get("encoder_conf.growth") or {}
    if exp.get("encoder") == "conv_blstm":
        fraction = exp.get("encoder_conf.growth_start_fraction", 1.0)
    else:
        fraction = growth.get("start_fraction") if growth.get("width") else 1.0
    assert fraction == (1.0 if text == "none" else 0.5)


def check_d(text, row, exp):
    if exp.get("encoder") == "conv_blstm":  # 1024 or 1024/dir
        assert exp.get("encoder_conf.hidden_size") == int(text.removesuffix("/dir"))
    else:
        assert exp.get("encoder_conf.model_size") == int(text)


def check_heads(text, row, exp):
    expected = 6 if text == "(raw)" else int(table.number(text))  # models.md h: 6
    assert exp.get("encoder_conf.num_heads") == expected


def check_kernel(text, row, exp):
    assert exp.get("encoder_conf.conv_kernel_size") == int(table.number(text))
    grows = bool(exp.get("encoder_conf.growth.kernel", False))
    assert grows == ("grows" in text)


def check_conv_norm(text, row, exp):
    norms = {"BatchNorm no mask": "batch_norm", "LayerNorm": "layer_norm"}
    expected = norms.get(text)
    if text.startswith("LayerNorm, two conv modules"):
        expected = "layer_norm"
        assert exp.get("encoder_conf.block") == "double_convolution"
    elif text.startswith("BatchNorm+mask"):
        expected = "masked_batch_norm"
        in_evaluation = exp.get("encoder_conf.conv_norm_updates_in_evaluation", False)
        assert in_evaluation == ("updated in eval" in text)
    assert exp.get("encoder_conf.conv_norm") == expected


def check_relpos(text, row, exp):
    expected = "relative" if text.startswith("new") else "shaw"  # raw: models.md h
    assert exp.get("encoder_conf.positions") == expected


def check_frontend(text, row, exp):
    if "is whole encoder" in text or "6xBLSTM" in text:
        assert exp.get("encoder") == "conv_blstm"
        assert exp.get("encoder_conf.conv_channels") == [32, 32]
        assert exp.get("encoder_conf.num_layers") == 6
        assert exp.get("encoder_conf.time_pooling") == [3, 2]
        return
    frontend = exp.get("encoder_conf.frontend")
    words = {
        "BLSTM 2x512 pool 3,2(last)": ("blstm", [3, 2]),
        "BLSTM 2x512 pool 6 after 1st": ("blstm", [6, 1]),
        "CNN+BLSTM 2x512 pool 3,2(last)": ("conv_blstm", [3, 2]),
        "BLSTM lstm-6 (raw)": ("blstm", [3, 2]),  # models.md h
        "convwei: conv2d 32/64/64": ("strided_conv", None),
        "conv2d 32/64, strides 2,3": ("conv", None),
        "conv2d 32/64/64/32 swish, time strides 2*3": ("swish_conv", None),
    }
    assert (frontend["type"], frontend.get("time_pooling")) == words[text]
    if frontend["type"].endswith("blstm"):
        assert frontend["hidden_size"] == 512
    if frontend["type"] == "conv":
        assert frontend["conv_channels"] == [32, 64]
        assert frontend["conv_strides"] == [2, 3]


def check_fix245(text, row, exp):
    expected = not text.startswith("no ")  # "raw net": models.md h
    assert exp.get("encoder_conf.attention_residual_dropout") == expected


def check_rate(name):
    def check(text, row, exp):
        rate = exp.get(f"encoder_conf.{name}")
        growth = exp.get("encoder_conf.growth") or {}
        late = re.fullmatch(r"0.0 if epoch <= len\(num_enc_layers\) else (.+)", text)
        scaled = "frac" in text
        assert rate == (
            0.0 if "NOT APPLIED" in text else table.number(late[1] if late else text)
        )
        assert bool(growth.get("width", False)) == scaled or rate == 0.0
        # prerep6noreg's list: 25 entries, one of the last stage (parts.md 2.2)
        count = 25 if row["pretrain_layers"].startswith("2x12 4x6") else 32
        assert growth.get("regularise_from_epoch") == (count + 1 if late else None)
        if "0 in first stage" in text:
            assert growth["regularise_from_stage"] == 1

    return check


def check_switch(path, convert=float, off="-"):
    """A column with one value, absent or zero when off."""

    def check(text, row, exp):
        value = exp.get(path)
        if text == off:
            assert not value
        else:
            assert value == convert(text)

    return check


def check_win(text, row, exp):
    size = exp.get("encoder_conf.attention_window_size")
    assert size == (None if text == "-" else int(text))
    if size:
        assert exp.get("encoder_conf.attention_window") == "ineffective"


def check_attscaledist(text, row, exp):
    names = ("decay", "dropout", "reset")
    values = [exp.get(f"encoder_conf.attention_gradient_{name}") for name in names]
    expected = {
        "-": [None, None, None],
        "0.1": [0.1, None, None],
        "0.1 + dropout 0.1 + reset 0.1": [0.1, 0.1, 0.1],
    }
    assert values == expected[text]


def check_chunk(text, row, exp):
    got = (
        exp.get("encoder_conf.chunk_size"),
        exp.get("encoder_conf.chunk_only_longer", False),
    )
    expected = {
        "-": (None, False),
        "50 (always in train)": (50, False),
        "50a (only if T>chunk)": (50, True),
    }
    assert got == expected[text]


def check_rndresize(text, row, exp):
    got = exp.get("specaug_conf.time_resize")
    if text == "-":
        assert got is None
        return
    low, high, frames, long = re.fullmatch(
        r"U\(([\d.]+), ([\d.]+) if T<=(\d+) else ([\d.]+)\)", text
    ).groups()
    expected = {
        "range": [float(low), float(high)],
        "long_frames": int(frames),
        "long_maximum": float(long),
    }
    assert got == expected


def check_rndframedrop(text, row, exp):
    got = exp.get("specaug_conf.frame_drop")
    if text == "-":
        assert got is None
    else:
        rate, kept = re.fullmatch(r"p=([\d.]+) keep>=(\d+)", text).groups()
        assert (got["rate"], got["min_frames"]) == (float(rate), int(kept))


def check_specaug(text, row, exp):
    """Numbers of parts.md 2.5."""
    masks = exp.get("specaug_conf.masks")
    if text == "none":
        assert masks is None and exp.get("specaug") is None
        return
    wei = "wei" in text
    assert masks["time_length"] == ([1, 15] if wei else [1, 20])
    assert masks["frames_per_time_mask"] == (21 if wei else 100)
    assert masks["min_time_masks"] == (1 if wei else 2)
    assert masks["feature_length"] == ([1, 4] if wei else [1, 8])
    assert masks["feature_masks"] == (5 if wei else 2)
    assert masks["schedule"] == ("halved_until_2000" if wei else "increasing")
    per_sequence = "v1" in text
    assert masks["count"] == ("per_sequence" if per_sequence else "batch_maximum")


def check_twarp(text, row, exp):
    got = exp.get("specaug_conf.time_warp")
    expected = {
        "-": None,
        "oldtwarp (std 10/40/90, freq 0)": ([10, 40, 90], 0.0, 1),
        "oldtwarp3 (std 10/40/90, freq std 1, scale dim/2)": ([10, 40, 90], 1.0, 2),
        "oldtwarp4 (std 50/150)": ([50, 150], 0.0, 1),
    }[text]
    if expected is None:
        assert got is None
    else:
        deviations = [std for _, std in got["std_frames"]]
        assert (deviations, got["feature_std"], got["feature_cells"]) == expected


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
    for part, factor in factors.items():
        assert got.get(part, 0.0) == pytest.approx(factor), part
    # orig: the BLSTM layers alone, its convolutions have none
    assert (got["encoder_parameters"] == "weights") == weights_only
    assert bool(got.get("scaled_by_growth")) == ("*frac" in text)
    late = "l2=0 during pretrain" in text
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


def test_every_column_of_the_table_is_compared():
    columns = [c for c in rows()[0] if c != "name" and not RESULT_COLUMNS.fullmatch(c)]
    assert sorted(CHECKS) == sorted(columns)
    assert len(rows()) == 152


@pytest.mark.parametrize("column", CHECKS)
def test_all_rows_resolve_to_their_recorded_value(column, resolved):
    """An empty cell records nothing; every other cell of the column is compared."""
    wrong, compared = [], 0
    for row, exp in resolved:
        if row[column] == table.NOT_RECORDED:
            continue
        if column in ("batch_size", "batch_size_pre", "accum") and not row["layers"]:
            continue  # recognition only: no batches are trained on
        compared += 1
        try:
            CHECKS[column](row[column], row, exp)
        except (AssertionError, KeyError, TypeError, AttributeError) as error:
            wrong.append(f"{row['name']}: {row[column]!r}: {error!r:.200}")
    assert not wrong, "\n".join(wrong[:20])
    assert compared > 0
