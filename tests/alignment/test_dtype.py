"""An encoder in bfloat16: only its products are rounded, and the alignment says so."""

import dataclasses

import pytest
import torch

from espnet_ext.alignment.outputs import get_output
from espnet_ext.alignment.run import DTYPES, Aligner, align_all
from espnet_ext.alignment.store import AlignmentInfo
from espnet_ext.bin.align import main, summary
from espnet_ext.errors import OptionError
from tests.alignment.test_run import LENGTHS, aligner_of, data
from tests.asr.tiny import tiny_model
from tests.bin.align_experiment import arguments

PLACES = 2 * torch.finfo(torch.bfloat16).eps  # of a number that was rounded twice


def in_dtype(aligner: Aligner, dtype: str) -> Aligner:
    return aligner._replace(info=dataclasses.replace(aligner.info, dtype=dtype))


@pytest.mark.parametrize("output", ["transducer", "ctc"])
def test_scores_are_nearly_those_of_float32_and_not_the_same(output):
    aligner = aligner_of(tiny_model(ctc_weight=0.5), output)
    load = data().__getitem__
    exact, rounded = (
        align_all(in_dtype(aligner, dtype), LENGTHS, load) for dtype in DTYPES
    )
    assert list(exact.aligned) == list(rounded.aligned) == sorted(LENGTHS)
    for key, entry in exact.aligned.items():
        other = rounded.aligned[key]
        assert other.full_sum != entry.full_sum
        assert other.full_sum == pytest.approx(entry.full_sum, rel=PLACES)


def test_features_and_lattice_stay_in_float32_and_the_products_do_not():
    model = tiny_model(ctc_weight=0.5).eval()
    chosen, seen = get_output(model, "transducer"), {}

    def arcs(frames, *rest):
        seen["lattice"] = frames.dtype, torch.is_autocast_enabled("cpu")
        return chosen.arcs(frames, *rest)

    def watched(name):
        def hook(module, inputs, result):
            first = result[0] if isinstance(result, tuple) else result
            seen[name] = inputs[0].dtype, first.dtype

        return hook

    model.encoder.register_forward_hook(watched("encoder"))
    model.encoder.layers[0].forward_lstm.register_forward_hook(watched("lstm"))
    info = AlignmentInfo("rna", tuple(model.token_list), 0.02, dtype="bfloat16")
    aligner = Aligner(dataclasses.replace(chosen, arcs=arcs), info)
    align_all(aligner, LENGTHS, data().__getitem__)
    assert seen["encoder"][0] == torch.float32
    assert seen["lstm"][1] == torch.bfloat16
    assert seen["lattice"] == (torch.float32, False)


def test_the_type_is_told_and_stored():
    aligner = in_dtype(aligner_of(tiny_model()), "bfloat16")
    made = align_all(aligner, LENGTHS, data().__getitem__)
    assert "transducer, rna, bfloat16" in summary(made)
    assert AlignmentInfo.from_json(made.info.to_json()).dtype == "bfloat16"


def test_another_type_is_refused_before_the_model_is_read(tmp_path, capsys):
    aligner = in_dtype(aligner_of(tiny_model()), "float16")
    with pytest.raises(OptionError, match="(?s)float16.*float32, bfloat16"):
        align_all(aligner, LENGTHS, data().__getitem__)
    command = arguments(tmp_path, "run", "--output_dir", tmp_path, "--dtype", "half")
    assert main(command) == 1
    assert "--dtype: 'half' is no type" in capsys.readouterr().err
