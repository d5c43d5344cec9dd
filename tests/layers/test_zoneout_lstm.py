"""Zoneout against plain recursions."""

import pytest
import torch

from espnet_ext.layers.lstm import Lstm
from espnet_ext.layers.zoneout_lstm import ZoneoutLstm


def reference_step(lstm, x, h, c):
    """One step of TensorFlow's LSTMCell: forget bias 1, gates i, f, g, o of ours."""
    gates = x @ lstm.weight_ih.T + h @ lstm.weight_hh.T + lstm.bias
    i, f, g, o = gates.chunk(4, 1)
    new_c = torch.sigmoid(f + 1.0) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(new_c), new_c


def test_evaluation_mixes_old_and_new_state_and_gives_out_the_plain_output():
    lstm = ZoneoutLstm(3, 4, cell=0.15, output=0.05).eval()
    x = torch.randn(2, 5, 3)
    y, (h_end, c_end) = lstm(x)
    h = c = torch.zeros(2, 4)
    for t in range(5):
        new_h, new_c = reference_step(lstm, x[:, t], h, c)
        torch.testing.assert_close(y[:, t], new_h)
        h, c = 0.95 * new_h + 0.05 * h, 0.85 * new_c + 0.15 * c
    torch.testing.assert_close(h_end[0], h)
    torch.testing.assert_close(c_end[0], c)


def test_zoned_output_is_what_the_state_holds():
    lstm = ZoneoutLstm(3, 4, step_output="zoned").eval()
    y, (h, _) = lstm(torch.randn(2, 5, 3))
    torch.testing.assert_close(y[:, -1], h[0])


def test_without_zoneout_it_is_the_plain_lstm_with_forget_bias():
    lstm = ZoneoutLstm(3, 4, cell=0.0, output=0.0)
    plain = Lstm(3, 4)
    plain.load_state_dict(lstm.state_dict())
    with torch.no_grad():
        plain.bias[4:8] += 1.0
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(lstm(x)[0], plain(x)[0])


def test_in_training_units_keep_their_state_with_the_stated_probability():
    torch.manual_seed(0)
    lstm = ZoneoutLstm(1, 2000, cell=0.15, output=0.05)
    start = (torch.full((1, 1, 2000), 9.0), torch.full((1, 1, 2000), 9.0))
    _, (h, c) = lstm(torch.ones(1, 1, 1), start)
    # 2,000 draws: four standard deviations are 0.032 and 0.02
    assert abs(float((c == 9.0).float().mean()) - 0.15) < 0.032
    assert abs(float((h == 9.0).float().mean()) - 0.05) < 0.02


def test_steps_with_a_state_equal_the_whole_sequence():
    lstm = ZoneoutLstm(3, 4).eval()
    x = torch.randn(2, 6, 3)
    whole, _ = lstm(x)
    first, state = lstm(x[:, :2])
    second, _ = lstm(x[:, 2:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)


def test_recurrent_dropout_acts_in_training_alone():
    torch.manual_seed(0)
    x = torch.randn(1, 4, 3)
    for lstm in (Lstm(3, 4, 0.5), ZoneoutLstm(3, 4, 0.0, 0.0, recurrent_dropout=0.5)):
        assert not torch.equal(lstm(x)[0], lstm(x)[0])
        lstm.eval()
        assert torch.equal(lstm(x)[0], lstm(x)[0])


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="step_output 'plane'"):
        ZoneoutLstm(1, 1, step_output="plane")
    with pytest.raises(ValueError, match="zoneout cell 1.5"):
        ZoneoutLstm(1, 1, cell=1.5)
