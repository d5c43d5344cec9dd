"""Columns of experiments.tsv in the terms of our configuration.

Each function takes the text of one column (and the row) and returns what the resolved
experiment must hold; it reads the table's words, not our catalogue.
"""

import ast
import re

NOT_RECORDED = ""
PATHS_BY_L2_NAME = {
    "enc_ctx": ["attention_key"],
    "dec LM": ["prediction_network"],
    "LM(embed,lstm)": ["prediction_network"],
    "readout_in": ["readout"],
    "frontend": ["frontend"],
    "LSTM enc": ["encoder"],
    "encoder": ["encoder", "frontend"],
}


def number(text):
    """First number of a text."""
    return float(re.match(r"-?[\d.]+(e-?\d+)?", text)[0])


def segments(text):
    """'3xlin(a..b,n=10) + const(c,n=5)' as the rate of every sub-epoch."""
    text = text.replace(" (forced via pretrain overrides)", "")
    rates = []
    for part in [] if text == "-" else text.split(" + "):
        times = re.match(r"(\d+)x", part)
        ramp = re.search(r"lin\(([\d.e-]+)\.\.([\d.e-]+),n=(\d+)\)", part)
        flat = re.search(r"const\(([\d.e-]+),n=(\d+)\)", part)
        if ramp:
            start, end, steps = float(ramp[1]), float(ramp[2]), int(ramp[3])
            one = [start + (end - start) * i / (steps - 1) for i in range(steps)]
        else:
            one = [float(flat[1])] * int(flat[2])
        rates += one * (int(times[1]) if times else 1)
    return rates


def layers_of_epochs(text, layers, epochs):
    """Active layers of sub-epochs 1..epochs out of '2x10 4x10 then 12 from ...'."""
    if text == "none":
        return [layers] * epochs
    listed = re.findall(r"\[(\d+)\]\*(\d+)", text)
    if listed:  # [2]*5+[3]*5+...+[6]...
        values = [int(n) for n, count in listed for _ in range(int(count))]
    else:
        values = [
            int(n)
            for n, count in re.findall(r"(\d+)x(\d+)", text)
            for _ in range(int(count))
        ]
        last = re.search(r"then (\d+) from sub-epoch (\d+)", text)
        assert len(values) + 1 == int(last[2]) and int(last[1]) == layers
    return (values + [layers] * epochs)[:epochs]


def list_length(text):
    """RETURNN's list of layers: the stages, and once more the last one's length.

    Source: reference/parts.md 2.2 (pre3: 27, pre4: 25, pre5: 40).
    """
    counts = [int(count) for _, count in re.findall(r"(\d+)x(\d+)", text)]
    return sum(counts) + counts[-1]


def batches_of_epochs(row, active_layers):
    """(frames, accumulated batches) of every sub-epoch, by running the row's rules."""
    result = []
    for epoch, layers in enumerate(active_layers, start=1):
        accumulated = row["accum"]
        frames = int(row["batch_size"])
        accumulated = 1 if accumulated == "(none)" else int(accumulated)
        rules = row["batch_size_pre"]
        if rules == "5000 (sub-epochs 1-20)":
            frames = 5000 if epoch <= 20 else frames
        elif rules != "-":
            frames, accumulated = run_rules(
                row, rules, epoch, layers, frames, accumulated
            )
        result.append((frames, accumulated))
    return result


def run_rules(row, rules, epoch, layers, frames, accumulated):
    """'if a -> x=1; elif b -> y=2' for one sub-epoch."""
    taken = False
    for rule in rules.split("; "):
        word, condition, name, value = re.fullmatch(
            r"(if|elif) (.+) -> (\w+)=(\d+)", rule
        ).groups()
        left, operator, right = condition.removesuffix(" and training").split()
        known = {"epoch": epoch, "num_enc_layers": layers}
        right = (
            list_length(row["pretrain_layers"])
            if right.startswith("len(")
            else int(right)
        )
        holds = known[left] <= right if operator == "<=" else known[left] >= right
        if word == "if":
            taken = False
        if holds and not taken:
            frames = int(value) if name == "batch_size" else frames
            accumulated = int(value) if "accum" in name else accumulated
            taken = True
    return frames, accumulated


def l2_of(text):
    """Column l2_sets as {part: factor}, and whether on weights only."""
    factors = dict.fromkeys(
        "encoder frontend attention_key prediction_network readout".split(), 0.0
    )
    weights_only = False
    text = text.replace(", (l2=0 during pretrain for Model-level sets)", "")
    text = text.replace("LM(embed,lstm)", "dec LM")
    text = text.replace("LSTM W/W_re + Linear.weight of encoder and enc_ctx", "WDF")
    for part in text.split(", "):
        special = re.fullmatch(r"encoder\(enc_l2=1e-(\d)\)", part)
        if special:
            factors.update(
                dict.fromkeys(["encoder", "frontend"], 10.0 ** -int(special[1]))
            )
        elif part.startswith("BLSTM frontend"):
            factors["frontend"] = 1e-4
        elif part == "conv frontend 0.01":
            factors["frontend"] = 0.01
        elif part.startswith("WDF"):
            factors.update({"encoder": 1e-4, "attention_key": 1e-4})
            weights_only = True
        elif part.startswith(("BLSTM encoder", "raw encoder")):
            factors.update({"encoder": 1e-4, "frontend": 1e-4})
        else:
            factors.update(dict.fromkeys(PATHS_BY_L2_NAME[part], 1e-4))
    return factors, weights_only


def rollback(text):
    """Column use_last_best in our words."""
    if text == "-":
        return None
    names = {
        "only_last_n": "last_scores",
        "only_last_epochs": "last_epochs",
        "filter_score": "max_score",
        "min_score_dist": "min_score_distance",
        "first_epoch": "first_epoch",
    }
    return {names[key]: value for key, value in ast.literal_eval(text).items()}


def aux(text):
    """Column aux: (layers, form, whether the losses are in use)."""
    if text == "-":
        return None
    layers, rule, size, rest = re.fullmatch(
        r"(\[.*?\]) skip-if-i(>=?)n dim (\d+)(.*)", text
    ).groups()
    form = {(">=", "1030"): "aux", (">", "1030"): "f", (">", "1031"): "ff"}[rule, size]
    return ast.literal_eval(layers), form, "COMMENTED OUT" not in rest


def smoothing(text, criterion):
    """Column label_smoothing in our words."""
    if text == "-":
        return None
    kind = {
        "nonblank dist (lsxx)": "lsxx",
        "excl. blank (lsx)": "lsx",
        "full dist (ls)": "ls",
        "att CE via gradient": "ls",
        "CE label smoothing": "ls",
    }
    name = next(value for key, value in kind.items() if text.startswith(key))
    scale = float(re.findall(r"(?<![\w.])0\.\d+", text)[0])
    schedule = "constant"
    if "grow_frac" in text:
        schedule = "growth"
    elif "epoch / 60.0" in text:
        schedule = "warmup"
    apply = "target" if text.startswith("CE ") else "gradient"
    return {"type": name, "scale": scale, "apply": apply, "schedule": schedule}
