"""Every experiment of the original is read, built and compared, in all growing stages.

For most of them there is no array of the original at hand. The files here have the
names and shapes that the original's would have (``original_names``), random parameters,
and our own outputs: they show that every parameter of every experiment has its place.
"""

import csv

import numpy as np
import pytest
import torch

from espnet_ext.asr.attention_model import AttentionModel
from espnet_ext.asr.ctc_model import CtcModel
from espnet_ext.asr.transducer_model import TransducerModel
from espnet_ext.errors import FormatError
from espnet_ext.interop.parity import batch_of
from espnet_ext.interop.parity_file import ArrayFile, ParityFile
from espnet_ext.interop.parity_kinds import compare_file
from tests.experiments.table import layers_of_epochs
from tests.parity.original_names import FEATURES, LABELS, shapes_of
from tests.parity.subset_copy import growing_file
from tests.shared import shared_file


def rows():
    with open(shared_file("reference/experiments.tsv"), encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def epochs_of(row):
    """A sub-epoch of the first stage, of the second, and one after all growth."""
    layers = int(row["layers"] or 12)
    every = layers_of_epochs(row["pretrain_layers"] or "none", layers, 200)
    changes = [e for e in range(2, 200) if every[e - 1] != every[e - 2]]
    return sorted({1, *changes[:1], 150})


def parameters(row, epoch):
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in shapes_of(row, epoch).items():
        array = rng.normal(0.0, 0.3, shape).astype(np.float32)
        if name.removesuffix("/param").endswith("variance"):
            array = np.abs(array) + 0.5
        arrays[name] = array
    return arrays


def with_batch(arrays):
    rng = np.random.default_rng(1)
    return {
        **arrays,
        "in:data": rng.normal(size=(2, 40, FEATURES)).astype(np.float32),
        "in:data_len": np.array([40, 25]),
        "in:targets": rng.integers(1, LABELS, (2, 3)).astype(np.int32),
        "in:targets_len": np.array([3, 1]),
    }


def with_outputs(file):
    """The file, completed by what our model gives for its batch."""
    arrays, reference = file.arrays, file.reference()
    model = reference.model
    data, data_lens, labels, label_lens = batch_of(arrays, reference)
    with torch.no_grad():
        frames, lens, outputs = model.encode_with_heads(data, data_lens)
        batch = (lens, labels, label_lens)
        losses = {}
        if isinstance(model, TransducerModel):
            am = model.joint_network.project_frames(frames, lens)
            losses["full_sum"] = model.transducer_nll(am, *batch)
        elif isinstance(model, AttentionModel):
            losses["ce"] = model.cross_entropy(frames, *batch)
        elif isinstance(model, CtcModel):
            losses["ctc"] = model.top_nll(frames, *batch)
        for number, nll in model.aux_ctc_nll(outputs, *batch).items():
            losses[f"ctc_{number}"] = nll
    completed = dict(arrays)
    completed["out:encoder"] = frames.numpy()
    completed["size:encoder:1"] = lens.numpy()
    for name, values in losses.items():
        completed[f"out:{name}"] = values.numpy()
        completed[f"loss:{name}"] = values.sum().numpy()
    return file._replace(arrays=ArrayFile(completed))


@pytest.mark.slow
@pytest.mark.parametrize("row", rows(), ids=lambda row: row["name"])
def test_every_parameter_has_its_place_in_every_stage(row):
    for epoch in epochs_of(row):
        arrays = ArrayFile(with_batch(parameters(row, epoch)))
        file = with_outputs(ParityFile(row["name"], arrays, None, epoch))
        comparisons = compare_file(file)
        different = [c for c in comparisons if not c.passed]
        assert not different, (epoch, different)
        assert len(comparisons) >= 4


def growing_rows():
    """Experiments whose width grows, with copies that training.md describes.

    Which part of a zoneout LSTM's one kernel is copied, it does not say.
    """
    return [
        row
        for row in rows()
        if "subset copy" in row["dim_growth"]
        and row["family"] in ("transducer", "ctc", "att")
        and not (row["family"] == "att" and row["declstm_type"].startswith("zoneout"))
    ]


def test_the_copy_that_is_expected_here_is_the_original_s():
    """Every element, fresh ones as well, of the original's own growing copy."""
    original = np.load(shared_file("reference/parity/grow_copy.npz"))
    shapes = [
        {
            n.replace(f"{when}:", "param:"): original[n].shape
            for n in original.files
            if n.startswith(f"{when}:")
        }
        for when in ("old", "new")
    ]
    expected = growing_file(*shapes, window=True)
    assert sorted(expected) == sorted(original.files)
    for name in expected:
        if "running" not in name:  # fresh statistics are 0 and 1
            np.testing.assert_array_equal(expected[name], original[name], name)


@pytest.mark.slow
@pytest.mark.parametrize("row", growing_rows(), ids=lambda row: row["name"])
def test_growth_copies_what_the_original_copies(row):
    full = int(row["layers"])
    every = layers_of_epochs(row["pretrain_layers"], full, 200)
    changes = [e for e in range(2, 200) if every[e - 1] != every[e - 2]]
    for epoch in {changes[0], changes[-1]}:
        shapes = shapes_of(row, epoch - 1), shapes_of(row, epoch)
        arrays = growing_file(*shapes, window=row["dec_att"] != "no")
        file = ParityFile(row["name"], ArrayFile(arrays))
        different = [c for c in compare_file(file) if not c.passed]
        assert not different, (epoch, different[:5])


def test_there_are_all_experiments():
    assert len(rows()) == 152


@pytest.mark.parametrize("name", ["start", "old_moh_hybrid_conformer", "orig_native"])
def test_one_parameter_less_or_more_is_named(name):
    row = next(row for row in rows() if row["name"] == name)
    arrays = with_batch(parameters(row, 150))
    more = ArrayFile({**arrays, "param:more/weight/param": np.zeros((2, 3))})
    with pytest.raises(FormatError, match="unused \\['more/weight'\\]"):
        ParityFile(name, more).reference()
    last = [n for n in arrays if n.startswith("param:")][-1]
    less = ArrayFile({n: a for n, a in arrays.items() if n != last})
    with pytest.raises(FormatError, match="missing"):
        ParityFile(name, less).reference()


def test_a_file_of_another_sub_epoch_is_refused():
    row = next(row for row in rows() if row["name"] == "start_slowpretrain")
    arrays = ArrayFile(with_batch(parameters(row, 1)))
    with pytest.raises(FormatError, match="has 2 layers, that of the experiment 6"):
        ParityFile("start_slowpretrain", arrays, None, 150).reference()
