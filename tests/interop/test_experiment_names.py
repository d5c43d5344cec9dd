"""What is read from the name of an original experiment."""

import csv

import pytest

from espnet_ext.errors import OptionError
from espnet_ext.interop.experiment_names import parse_experiment, smoothing_at
from tests.shared import shared_file


def test_facts_that_parameters_do_not_show_are_read():
    named = parse_experiment(
        "conformer_nores_pre10_d384_h6_cnnblstmf2_chunk50a_attscaledist_aux48f_lsx01b"
    )
    assert named.family == "conformer" and named.pool_last
    assert named.residual == "attention_only"
    assert named.gradient_decay == 0.1
    assert (named.chunk_size, named.chunk_only_longer) == (50, True)
    assert named.aux_form == "f"
    assert (named.smoothing, named.smoothing_scale) == ("lsx", 0.1)
    assert smoothing_at(named, 15, 4) == pytest.approx(0.025)


def test_every_recorded_experiment_is_understood():
    """Columns of experiments.tsv, made independently from the original's files."""
    path = shared_file("reference/experiments.tsv")
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) > 140
    for row in rows:
        named = parse_experiment(row["name"])
        if "BLSTM 2x512 pool" in row["frontend"] and "conformer" in named.family:
            assert named.pool_last == ("3,2" in row["frontend"]), row["name"]
        assert (named.chunk_size is not None) == (row["chunk"] not in ("-", "")) or (
            named.family not in ("conformer", "ctc_conformer")
        ), row["name"]


def test_growth_and_warmup_scale_the_smoothing():
    growing = parse_experiment("conformer_aux48ff_ls01a")
    layers = {2: 0.0, 4: 0.02, 8: 0.06, 12: 0.1}
    for count, scale in layers.items():
        assert smoothing_at(growing, 1, count) == pytest.approx(scale)
    constant = parse_experiment("conformer_lsxx01")
    assert smoothing_at(constant, 1, 2) == 0.1


def test_an_unknown_family_is_refused_with_the_nearest():
    with pytest.raises(OptionError, match="nearest: conformer"):
        parse_experiment("conformr")
