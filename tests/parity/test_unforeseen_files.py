"""Files unlike those at hand: parts missing, wrong, of another type or size."""

import re

import numpy as np
import pytest

from espnet_ext.bin.check_parity import EXIT_NOT_COMPARED, main
from espnet_ext.interop.parity_file import ArrayFile, ParityFile
from espnet_ext.interop.parity_kinds import compare_file
from tests.parity.original_names import FEATURES, LABELS
from tests.parity.test_all_experiments import parameters, rows, with_outputs
from tests.parity.test_all_files import EXPERIMENTS
from tests.shared import shared_file

EQUAL, DIFFERENT = 0, 1
# a small file of each kind
FILES = ["start_e1", "att_conformer_e15", "orig_stage1", "recog_start", "gammatone"]
FILES += ["chunk_train_50a", "grow_copy_orig", "newbob"]
ONE_BY_ONE = [name for name in FILES if name not in ("att_conformer_e15", FILES[5])]


@pytest.fixture
def check(tmp_path, capsys):
    """Run the command on arrays: exit status, and all that it prints."""

    def run(experiment, arrays, name="file.npz"):
        np.savez(tmp_path / name, **arrays)
        words = ["--experiment", experiment, "--array", str(tmp_path / name)]
        status = main(words)
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def stored(name):
    return dict(np.load(shared_file(f"reference/parity/{name}.npz")))


def first(arrays, beginning):
    return next(n for n in sorted(arrays) if n.startswith(beginning))


@pytest.mark.parametrize("name", FILES)
def test_other_number_types_change_nothing(name, check):
    arrays = stored(name)
    for kind, dtype in (("f", np.float64), ("i", np.int64)):
        changed = {
            n: a.astype(dtype) if a.dtype.kind == kind else a for n, a in arrays.items()
        }
        status, text = check(EXPERIMENTS[name], changed, f"{name}.npz")
        assert status == EQUAL and ", 0 different" in text


@pytest.mark.parametrize(
    "name, beginnings",
    [
        ("start_e1", ["grad:"]),
        ("start_e1", ["grad:", "size:"]),
        ("start_e1", ["out:model_encoder", "size:model_encoder"]),
        ("start_e1", ["out:model_Probs"]),
        ("start_e1", ["out:full_sum"]),
        ("start_e1", ["loss:"]),
        ("start_e1", ["loss:", "out:full_sum", "grad:"]),
        (
            "start_e1",  # the encoder alone
            ["loss:", "in:targets", "out:full", "out:model_P", "size:model_P", "grad:"],
        ),
        ("orig_stage1", ["out:output/lm", "size:output/lm", "total_loss"]),
        ("orig_stage1", ["out:encoder", "size:encoder"]),
        ("att_conformer_e15", ["out:ctc_4", "grad:"]),
        ("recog_start", ["beam12:len", "single", "out:"]),
        ("chunk_train_50a", ["set_a:", "set_b:loss"]),
        ("gammatone", ["predct", "batch_len"]),
    ],
)
def test_what_a_file_lacks_is_not_compared_and_the_rest_is_equal(
    name, beginnings, check
):
    arrays = stored(name)
    kept = {n: a for n, a in arrays.items() if not n.startswith(tuple(beginnings))}
    assert len(kept) < len(arrays)
    status, text = check(EXPERIMENTS[name], kept, f"{name}.npz")
    assert status == EQUAL and ", 0 different" in text


def changed_value(array):
    """One entry moved by a hundredth of the largest, or by one."""
    array = array.copy()
    step = 1
    if array.dtype.kind == "f":
        step = 0.01 * max(np.abs(array).max(), 1e-3)
    array.flat[0] += array.dtype.type(step)
    return array


@pytest.mark.parametrize(
    "name, beginning, named",
    [
        ("start_e1", "out:full_sum", "full_sum of each sequence"),
        ("start_e1", "loss:full_sum", "full_sum of the batch"),
        ("start_e1", "out:model_Probs", "log-probabilities"),
        ("start_e1", "out:model_encoder", "encoder output"),
        ("start_e1", "size:model_encoder", "size:model_encoder"),
        ("start_e1", "grad:att_query", "attention.query.weight"),
        ("att_conformer_e15", "out:ce", "ce of each sequence"),
        ("orig_stage1", "constraints", "weight decay"),
        ("orig_stage1", "total_loss", "total_loss"),
        ("orig_stage1", "out:output/att", "out:output/att"),
        ("orig_stage1", "out:output/readout", "out:output/readout"),
        ("recog_start", "single1:out:encoder", "single1:out:encoder"),
        ("recog_start", "beam12:len", "beam12 row 0 lengths"),
        ("chunk_train_50a", "set_c:out:model_cond", "set_c:encoder output"),
        ("gammatone", "filterbank_c40", "filterbank_c40"),
        ("gammatone", "batch_len_c40", "batch_len_c40"),
        ("newbob", "lr:start:n6:noisy", "lr:start:n6:noisy"),
    ],
)
def test_a_changed_value_is_found_and_named(name, beginning, named, check):
    arrays = stored(name)
    array = first(arrays, beginning)
    arrays[array] = changed_value(arrays[array])
    status, text = check(EXPERIMENTS[name], arrays, f"{name}.npz")
    found = [line for line in text.splitlines() if "DIFFERENT" in line]
    assert status == DIFFERENT and len(found) == 1 and named in found[0]


def reshaped(array):
    return np.stack([array, array]) if array.ndim == 1 else array.reshape(-1)


def sort_of(array):
    """Name without numbers; of parameters, whose they are."""
    if re.match("(.*:)?(param|grad|final|old|new):", array):
        return array.rsplit(":", 1)[0]
    return re.sub("set_.|[0-9]+", "N", array)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, change",
    [
        *((name, change) for name in ONE_BY_ONE for change in ("missing", "reshaped")),
        *((name, "text") for name in ("start_e1", "recog_start", "newbob")),
    ],
)
def test_no_array_makes_the_command_fail_without_a_message(name, change, check):
    """One array of each sort; whatever happens to it, all is said in a line."""
    arrays = stored(name)
    sorts = {sort_of(array): array for array in sorted(arrays, reverse=True)}
    for array in sorts.values():
        changed = dict(arrays)
        if change == "missing":
            del changed[array]
        elif change == "reshaped":
            changed[array] = reshaped(arrays[array])
        else:
            changed[array] = np.full(arrays[array].shape, "x")
        status, text = check(EXPERIMENTS[name], changed, f"{name}.npz")
        assert status in (DIFFERENT, EXIT_NOT_COMPARED) or change == "missing", array
        if status == EXIT_NOT_COMPARED:
            assert text.startswith("error: ") and "Traceback" not in text
        elif status == DIFFERENT:
            assert "DIFFERENT" in text


def experiment(**wanted):
    return next(row for row in rows() if all(wanted[k] in row[k] for k in wanted))


@pytest.mark.parametrize(
    "batch, labels",
    [(1, [3]), (2, [0, 0]), (1, [0]), (3, [2, 0, 4])],
    ids=["batch of one", "no labels", "one without labels", "another batch"],
)
@pytest.mark.parametrize("family", ["orig", "transducer", "ctc", "att"])
def test_other_batches_are_compared_in_full(family, batch, labels):
    row = experiment(family=family)
    rng = np.random.default_rng(1)
    lengths = np.array([40, 31, 25][:batch])
    arrays = {
        **parameters(row, 150),
        "in:data": rng.normal(size=(batch, 40, FEATURES)).astype(np.float32),
        "in:data_len": lengths,
        "in:targets": rng.integers(1, LABELS, (batch, max(labels))).astype(np.int32),
        "in:targets_len": np.array(labels),
    }
    file = with_outputs(ParityFile(row["name"], ArrayFile(arrays), None, 150))
    comparisons = compare_file(file)
    assert [c for c in comparisons if not c.passed] == [] and len(comparisons) >= 4
