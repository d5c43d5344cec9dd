"""Models of experiments for which no array is stored: the names of their parameters.

Made from a stored file by exchanging parts, with the names and shapes that the
original's modules have (returnn_common nn/, i6_experiments exp_fs_base/).
"""

import numpy as np
import pytest

from espnet_ext.asr.encoder.frontends import ConvFrontend
from espnet_ext.interop.reference_models import build_reference_model
from espnet_ext.interop.returnn import read_npz
from espnet_ext.layers.zoneout_lstm import ZoneoutLstm
from tests.shared import shared_file

SIZE = 24  # model dimension of the stored file
NAME = "conformer_pre10_d384_h6_{}specaug_attdrop01_posdrop01_aux48ff"


@pytest.fixture
def arrays():
    stored = read_npz(shared_file("reference/parity/conf_bn_dh4_e15.npz"))
    return {name: a for name, a in stored.items() if not name.startswith("grad:")}


def ones(*shape):
    return np.ones(shape, dtype=np.float32)


def without(arrays, *beginnings):
    return {
        name: array
        for name, array in arrays.items()
        if not name.startswith(tuple(f"param:{b}" for b in beginnings))
    }


def with_convolutions(arrays, names, kernels, channels, width):
    changed = without(arrays, "encoder/input_layer", "encoder/input_projection")
    previous = 1
    for name, kernel, count in zip(names, kernels, channels):
        prefix = f"param:encoder/input_layer/{name}"
        changed[f"{prefix}/filter/param"] = ones(kernel, kernel, previous, count)
        changed[f"{prefix}/bias/param"] = ones(count)
        previous = count
    projection = "param:encoder/input_projection/weight/param"
    changed[projection] = ones(width * previous, SIZE)
    return changed


def test_the_default_frontend_is_recognised(arrays):
    names = ["conv_layers/0", "conv_layers/1"]
    changed = with_convolutions(arrays, names, [3, 5], [2, 3], 7)
    reference = build_reference_model(NAME.format(""), changed)
    frontend = reference.model.encoder.frontend
    assert isinstance(frontend, ConvFrontend)
    assert [c.stride for c in frontend.convolutions] == [(2, 2), (3, 3)]
    assert float(frontend.convolutions[1].weight.min()) == 1.0


def test_the_frontend_convwei_is_recognised(arrays):
    names = ["conv1", "conv2", "conv3"]
    changed = with_convolutions(arrays, names, [3, 3, 3], [2, 3, 4], 20)
    reference = build_reference_model(NAME.format("convwei_"), changed)
    strides = [c.stride for c in reference.model.encoder.frontend.convolutions]
    assert strides == [(1, 1), (2, 1), (3, 1)]


def test_zoneout_has_one_kernel_with_its_own_order_of_gates(arrays):
    changed = without(arrays, "lm/lstm")
    gates = np.repeat(np.arange(4, dtype=np.float32), 9)  # input, cell-in, forget, out
    changed["param:lm/lstm/param_kernel/param"] = np.tile(gates, (6 + 9, 1))
    changed["param:lm/lstm/param_bias/param"] = gates
    reference = build_reference_model(NAME.format("blstmf2_declstmz_"), changed)
    lstm = reference.model.decoder.lstm
    assert isinstance(lstm, ZoneoutLstm)
    assert lstm.weight_ih.shape == (36, 6) and lstm.weight_hh.shape == (36, 9)
    assert lstm.bias[::9].tolist() == [0, 2, 1, 3]  # input, forget, cell-in, output


def test_without_residuals_there_is_no_last_norm(arrays):
    changed = {n: a for n, a in arrays.items() if "final_layer_norm" not in n}
    name = NAME.format("blstmf2_").replace("conformer_", "conformer_nores_")
    reference = build_reference_model(name, changed)
    assert not hasattr(reference.model.encoder.layers[0], "final_norm")


def test_before_the_transducer_starts_there_is_no_decoder(arrays):
    decoder = ("lm/", "enc_ctx", "att_query", "readout", "out_")
    changed = without(arrays, *decoder)
    reference = build_reference_model(NAME.format("transd20_blstmf2_"), changed)
    assert reference.model.decoder is None and len(reference.label_ids_K) == 17
    assert list(reference.model.ctc_heads.layers) == [4]
