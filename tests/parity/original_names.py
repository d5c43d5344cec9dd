"""Names and shapes of an experiment's parameters as the original would store them.

Made from the rows of experiments.tsv and from reference/parity/README.md alone; nothing
here is taken from the importer, whose names it tests.
"""

import re
from typing import Dict, List, Tuple

from tests.experiments.table import layers_of_epochs

FEATURES, LABELS = 12, 7
UNITS, CHANNELS = 3, 2  # of the frontends
BLSTM, EMBEDDING, HIDDEN, READOUT, KEY = 8, 4, 5, 6, 3
HEAD, POSITIONS = 4, 33
Shapes = Dict[str, Tuple[int, ...]]


def linear(name: str, inputs: int, outputs: int, bias: bool = True) -> Shapes:
    shapes: Shapes = {f"{name}/weight/param": (inputs, outputs)}
    return {**shapes, f"{name}/bias/param": (outputs,)} if bias else shapes


def lstm(name: str, inputs: int, units: int) -> Shapes:
    return {
        f"{name}/param_W/param": (inputs, 4 * units),
        f"{name}/param_W_re/param": (units, 4 * units),
        f"{name}/param_b/param": (4 * units,),
    }


def zoneout_lstm(name: str, inputs: int, units: int) -> Shapes:
    return {
        f"{name}/param_kernel/param": (inputs + units, 4 * units),
        f"{name}/param_bias/param": (4 * units,),
    }


def raw_lstm(name: str, inputs: int, units: int) -> Shapes:
    return {
        f"{name}/rec/W": (inputs, 4 * units),
        f"{name}/rec/W_re": (units, 4 * units),
        f"{name}/rec/b": (4 * units,),
    }


def raw_linear(name: str, inputs: int, outputs: int, bias: bool = True) -> Shapes:
    shapes: Shapes = {f"{name}/W": (inputs, outputs)}
    return {**shapes, f"{name}/b": (outputs,)} if bias else shapes


def convolutions(names: List[str], kernels: List[int], channels: List[int]) -> Shapes:
    shapes: Shapes = {}
    previous = 1
    for name, kernel, count in zip(names, kernels, channels):
        shapes[f"{name}/filter/param"] = (kernel, kernel, previous, count)
        shapes[f"{name}/bias/param"] = (count,)
        previous = count
    return shapes


def blstm(prefix: str, inputs: int, units: int, layers: int) -> Shapes:
    shapes: Shapes = {}
    for layer in range(layers):
        for direction in ("fw", "bw"):
            shapes |= lstm(f"{prefix}/layers/{layer}/{direction}", inputs, units)
        inputs = 2 * units
    return shapes


def cnn(prefix: str) -> Shapes:
    names = [f"{prefix}/pre_conv_net/conv{i}" for i in range(2)]
    return convolutions(names, [3, 3], [CHANNELS] * 2)


def pooled(features: int) -> int:
    return -(-features // 2)


CNN_WIDTH = pooled(pooled(FEATURES)) * CHANNELS


def frontend(row) -> Tuple[Shapes, int]:
    """Shapes and the size of its output."""
    kind = row["frontend"]
    prefix = "frontend" if row["chunk"] not in ("", "-") else "encoder/input_layer"
    if kind.startswith("conv2d 32/64,"):
        names = [f"{prefix}/conv_layers/{i}" for i in range(2)]
        width = -(-pooled(FEATURES) // 3) * CHANNELS
        return convolutions(names, [3, 5], [CHANNELS] * 2), width
    if kind.startswith("convwei"):
        names = [f"{prefix}/conv{i}" for i in (1, 2, 3)]
        width = pooled(FEATURES) * CHANNELS
        return convolutions(names, [3, 3, 3], [CHANNELS] * 3), width
    if kind.startswith("CNN+BLSTM"):
        layers = blstm(prefix, CNN_WIDTH, UNITS, 2)
        return {**cnn(prefix), **layers}, 2 * UNITS
    return blstm(prefix, FEATURES, UNITS, 2), 2 * UNITS


def norm(name: str, size: int) -> Shapes:
    return {f"{name}/scale/param": (size,), f"{name}/bias/param": (size,)}


def conformer_layer(row, name: str, size: int, inner: int, heads: int) -> Shapes:
    shaw = row["relpos"].startswith("old")
    kernel = int(re.match(r"\d+", row["kernel"])[0])
    attention, block = f"{name}/self_att", f"{name}/conv_block"
    shapes = {
        **linear(f"{attention}/qkv", size, 3 * size, not shaw),
        **linear(f"{attention}/proj", size, size, not shaw),
        **linear(f"{block}/positionwise_conv1", size, 2 * size),
        **linear(f"{block}/positionwise_conv2", size, size),
        f"{block}/depthwise_conv/filter/param": (kernel, 1, size),
        f"{block}/depthwise_conv/bias/param": (size,),
    }
    for part in ("ffn1", "ffn2"):
        shapes |= linear(f"{name}/{part}/linear_ff", size, inner)
        shapes |= linear(f"{name}/{part}/linear_out", inner, size)
    norms = ["ffn1", "self_att", "conv", "ffn2"]
    if "nores" not in row["name"].split("_"):
        norms.append("final")
    for part in norms:
        shapes |= norm(f"{name}/{part}_layer_norm", size)
    if row["conv_norm"].startswith("LayerNorm"):
        shapes |= norm(f"{block}/norm", size)
    else:
        for part in ("gamma", "beta", "running_mean", "running_variance"):
            shapes[f"{block}/norm/{part}/param"] = (size,)
    if shaw:
        table = f"{attention}/learned_pos_emb/pos_emb/param"
        return {**shapes, table: (POSITIONS, size // heads)}
    for part in ("pos_bias_u", "pos_bias_v"):
        shapes[f"{attention}/{part}/param"] = (heads, size // heads)
    return {**shapes, **linear(f"{attention}/linear_pos", size, size, False)}


def conformer(row, layers: int, size: int, inner: int, heads: int) -> Shapes:
    shapes, width = frontend(row)
    shapes |= linear("encoder/input_projection", width, size, False)
    for layer in range(layers):
        name = f"encoder/layers/{layer}"
        shapes |= conformer_layer(row, name, size, inner, heads)
    return shapes


def raw_norm(name: str, size: int) -> Shapes:
    return {f"{name}/scale": (size,), f"{name}/bias": (size,)}


def old_conformer(row, layers, size, inner, heads, kernel) -> Shapes:
    moh = "moh" in row["name"]
    shapes: Shapes = {}
    width = 2 * size
    if moh:
        previous = 1
        for name in ("c1", "c3", "c4", "c2"):
            shapes[f"encoder/{name}/W"] = (3, 3, previous, CHANNELS)
            shapes[f"encoder/{name}/bias"] = (CHANNELS,)
            previous = CHANNELS
        width = pooled(FEATURES) * CHANNELS
        shapes |= raw_norm("encoder/source_linear_ln", size)
    else:
        for layer, inputs in enumerate((FEATURES, 2 * size)):
            for direction in ("fw", "bw"):
                name = f"encoder/lstm{layer}_{direction}"
                shapes |= raw_lstm(name, inputs, size)
    shapes |= raw_linear("encoder/source_linear", width, size, False)
    for number in range(1, layers + 1):
        block = f"encoder/conformer_block_{number:02d}"
        shapes |= raw_norm(f"{block}_ln", size)
        for i in (1, 2):
            shapes |= raw_norm(f"{block}_ffmod_{i}_ln", size)
            shapes |= raw_linear(f"{block}_ffmod_{i}_ff1", size, inner)
            shapes |= raw_linear(f"{block}_ffmod_{i}_ff2", inner, size)
        attention = f"{block}_self_att"
        shapes |= raw_norm(f"{attention}_ln", size)
        shapes[f"{attention}/QKV"] = (size, 3 * size)
        shapes |= raw_linear(f"{attention}_linear", size, size, False)
        table = f"{attention}_ln_rel_pos_enc/encoding_matrix"
        shapes[table] = (POSITIONS, size // heads)
        middles = ("_covmod_1", "_covmod_2") if moh else ("",)
        for middle in middles:
            module = f"{block}{middle}_conv_mod"
            shapes |= raw_norm(f"{module}_ln", size)
            shapes |= raw_linear(f"{module}_pointwise_conv1", size, 2 * size)
            shapes |= raw_linear(f"{module}_pointwise_conv2", size, size)
            shapes[f"{module}_depthwise_conv2/W"] = (kernel, 1, size)
            shapes[f"{module}_depthwise_conv2/bias"] = (size,)
            if moh:
                shapes |= raw_norm(f"{module}_ln_replace_bn", size)
                continue
            for part in ("gamma", "beta", "mean", "variance"):
                shapes[f"{module}_bn/batch_norm/v2_{part}"] = (size,)
    return shapes


def transducer(row, size: int) -> Shapes:
    window = row["dec_att"] != "no"
    cell = zoneout_lstm if row["declstm_type"].startswith("zoneout") else lstm
    shapes = {
        **linear("lm/embed", LABELS, EMBEDDING),
        **cell("lm/lstm", EMBEDDING, HIDDEN),
        **linear("readout_in_am", size * (2 if window else 1), READOUT, False),
        **linear("readout_in_lm", HIDDEN, READOUT, False),
        "readout_in_bias/param": (READOUT,),
        **linear("out_nb_label_logits", READOUT // 2, LABELS),
        **linear("out_emit_logit", READOUT // 2, 1),
    }
    if window:
        shapes |= linear("enc_ctx", size, KEY)
        shapes |= linear("att_query", size, KEY, False)
    return shapes


def attention_decoder(row, size: int) -> Shapes:
    cell = zoneout_lstm if row["declstm_type"].startswith("zoneout") else lstm
    return {
        **linear("target_embed", LABELS, EMBEDDING, False),
        **cell("s", EMBEDDING + size, HIDDEN),
        **linear("enc_ctx", size, KEY),
        **linear("inv_fertility", size, 1),
        **linear("weight_feedback", 1, KEY, False),
        **linear("s_transformed", HIDDEN, KEY, False),
        **linear("energy", KEY, 1, False),
        **linear("readout_in", HIDDEN + EMBEDDING + size, READOUT),
        **linear("output_prob", READOUT // 2, LABELS),
    }


def orig(layers: int, units: int) -> Shapes:
    shapes: Shapes = {
        "conv0/W": (3, 3, 1, CHANNELS),
        "conv0/bias": (CHANNELS,),
        "conv1/W": (3, 3, CHANNELS, CHANNELS),
        "conv1/bias": (CHANNELS,),
    }
    inputs = CNN_WIDTH
    for layer in range(layers):
        for direction in ("fw", "bw"):
            shapes |= raw_lstm(f"lstm{layer}_{direction}", inputs, units)
        inputs = 2 * units
    loop = "output/rec"
    return {
        **shapes,
        "enc_ctx0/W": (2 * units, KEY),
        f"{loop}/att_query/W": (2 * units, KEY),
        **raw_linear(f"{loop}/lm_masked/input_embed", LABELS, EMBEDDING),
        **raw_lstm(f"{loop}/lm_masked/lstm0", EMBEDDING, HIDDEN),
        **raw_linear(f"{loop}/readout_in", 4 * units + HIDDEN, READOUT),
        **raw_linear(f"{loop}/label_log_prob", READOUT // 2, LABELS),
        **raw_linear(f"{loop}/emit_prob0", READOUT // 2, 1),
    }


def aux_outputs(row, layers: int, size: int) -> Shapes:
    found = re.match(r"\[([\d, ]+)\] skip-if-i(>=?)n dim (\d+)(.*)", row["aux"])
    if not found or "COMMENTED" in found[4]:
        return {}
    outputs = LABELS + (1 if found[3] == "1031" else 0)
    shapes: Shapes = {}
    for layer in (int(n) for n in found[1].split(",")):
        skipped = layer >= layers if found[2] == ">=" else layer > layers
        if not skipped:
            shapes |= linear(f"enc_aux_logits_{layer}", size, outputs)
    return shapes


def shapes_of(row, epoch: int) -> Shapes:
    """Names, each with ``param:`` in front, and shapes in a 1-based sub-epoch."""
    full = int(row["layers"] or 12)
    steps = row["pretrain_layers"] or "none"
    every = layers_of_epochs(steps, full, max(epoch, 200))
    layers = every[epoch - 1]
    fraction = 1.0
    if row["dim_growth"].startswith("0.5") and layers < full:
        fraction = 0.5 + 0.5 * (1 - (full - layers) / (full - every[0]))
    if row["family"] == "orig":
        shapes = orig(layers, int(BLSTM * fraction))
    elif "start" in row["name"].split("_"):
        size = 2 * BLSTM
        front = {**cnn("encoder"), **blstm("encoder", CNN_WIDTH, BLSTM, layers)}
        head = linear("logits", size, LABELS + 1)
        ctc = row["family"] == "ctc"
        shapes = {**front, **(head if ctc else transducer(row, size))}
    else:
        shapes = _conformer_model(row, epoch, layers, fraction)
    return {f"param:{name}": shape for name, shape in shapes.items()}


def _conformer_model(row, epoch: int, layers: int, fraction: float) -> Shapes:
    heads = 8 if row["family"] == "import" else 6
    if row["heads"][:1].isdigit() and row["family"] != "import":
        heads = int(row["heads"][0])
    size = int(heads * HEAD * fraction / heads) * heads
    inner = int(heads * HEAD * 4 * fraction / heads) * heads
    if row["family"] == "old":
        kernel = int(32 * fraction / 8) * 8 if "nick" in row["name"] else 8
        encoder = old_conformer(row, layers, size, inner, heads, kernel)
        return {**encoder, **transducer(row, size)}
    shapes = {
        **conformer(row, layers, size, inner, heads),
        **aux_outputs(row, layers, size),
    }
    if row["family"] == "att":
        return {**shapes, **attention_decoder(row, size)}
    if row["family"] == "ctc":
        return {**shapes, **linear("logits", size, LABELS + 1)}
    starts = int(row["transd"]) if row["transd"].isdigit() else 0
    return shapes if epoch < starts else {**shapes, **transducer(row, size)}
