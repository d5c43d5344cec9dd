"""LSTM layers against torch.nn.LSTM on packed sequences and against their equations."""

import torch

from espnet_ext.layers.lstm import Blstm, Lstm, reverse_by_length


def torch_twin(blstm: Blstm) -> torch.nn.LSTM:
    """A torch.nn.LSTM with the same weights; its second bias is zero."""
    first = blstm.forward_lstm
    twin = torch.nn.LSTM(
        first.input_size, first.hidden_size, batch_first=True, bidirectional=True
    ).to(first.bias.dtype)
    with torch.no_grad():
        for suffix, lstm in (("", first), ("_reverse", blstm.backward_lstm)):
            getattr(twin, f"weight_ih_l0{suffix}").copy_(lstm.weight_ih)
            getattr(twin, f"weight_hh_l0{suffix}").copy_(lstm.weight_hh)
            getattr(twin, f"bias_ih_l0{suffix}").copy_(lstm.bias)
            getattr(twin, f"bias_hh_l0{suffix}").zero_()
    return twin


def test_blstm_equals_torch_on_packed_sequences_in_value_and_gradient():
    torch.manual_seed(0)
    blstm = Blstm(5, 4).double()
    with torch.no_grad():
        for lstm in (blstm.forward_lstm, blstm.backward_lstm):
            lstm.bias.normal_()
    twin = torch_twin(blstm)
    lengths = torch.tensor([9, 6, 1])
    x = torch.randn(3, 9, 5, dtype=torch.float64)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(
        twin(packed)[0], batch_first=True
    )
    y = blstm(x, lengths)
    torch.testing.assert_close(y, expected)
    weight = torch.randn_like(y)
    (y * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(
        blstm.backward_lstm.bias.grad, twin.bias_ih_l0_reverse.grad
    )
    torch.testing.assert_close(
        blstm.forward_lstm.weight_hh.grad, twin.weight_hh_l0.grad
    )


def test_frames_after_the_end_are_zero_and_do_not_matter():
    torch.manual_seed(0)
    blstm = Blstm(3, 4)
    lengths = torch.tensor([5, 2])
    x = torch.randn(2, 5, 3)
    changed = x.clone()
    changed[1, 2:] = 1e3
    assert torch.equal(blstm(x, lengths), blstm(changed, lengths))
    assert (blstm(x, lengths)[1, 2:] == 0).all()


def test_steps_with_carried_state_equal_one_pass():
    torch.manual_seed(0)
    lstm = Lstm(3, 4).double()
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    outputs, state = [], None
    for t in range(6):
        y, state = lstm(x[:, t : t + 1], state)
        outputs.append(y)
    torch.testing.assert_close(torch.cat(outputs, 1), lstm(x)[0])


def test_initial_weights_are_glorot_over_all_four_gates_and_biases_zero():
    torch.manual_seed(0)
    lstm = Lstm(30, 50)
    limit = (6 / (30 + 200)) ** 0.5
    assert limit * 0.98 < lstm.weight_ih.abs().max().item() <= limit
    assert (lstm.bias == 0).all()


def test_reversal_by_length_is_its_own_inverse():
    x = torch.arange(10.0).view(2, 5, 1)
    lengths = torch.tensor([5, 3])
    y = reverse_by_length(x, lengths)
    assert y[1].flatten().tolist() == [7.0, 6.0, 5.0, 8.0, 9.0]
    assert torch.equal(reverse_by_length(y, lengths), x)
