"""Columns of experiments.tsv about loss, growth, encoder and augmentation."""

import re

from espnet_ext.schedulers.rates import expand
from tests.experiments import table


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
    multiple = exp.get("encoder_conf.growth.kernel_multiple")
    assert multiple == (8 if "grows 16->32" in text else None)


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
        first = count + 1 if late else None
        if "0 in first stage" in text:  # which has 6 sub-epochs, parts.md 2.1
            first = 7
        assert growth.get("regularise_from_epoch") == first

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
