"""What the Conformer encoder sees of padding, and its chunks."""

import torch

from tests.asr.encoder.test_staged_conformer import batch, encoder


def test_chunks_are_computed_by_themselves_with_zeros_around():
    """One window of a sequence equals the network run on that window alone."""
    network = encoder(chunk_size=6, conv_norm="layer_norm")
    x, lengths = batch((80,))
    y, _, _ = network(x, lengths)
    frames, _ = network.frontend(x, lengths)
    padded = torch.nn.functional.pad(frames, (0, 0, 2, 6))  # left of 6: (6 - 1) // 2
    alone = network._conformer(padded[:, 6:12], None, ())[0][1]
    torch.testing.assert_close(y[:, 4:10], alone)


def test_short_batches_are_not_cut_if_only_longer_ones_are_to_be():
    long, short = batch((80, 20)), batch((30, 20))
    for data, cut in ((long, True), (short, False)):
        whole = encoder()(*data)[0]
        chunked = encoder(chunk_size=8, chunk_only_longer=True)(*data)[0]
        assert torch.equal(whole, chunked) is not cut


def test_attention_ignores_padding_but_convolution_and_pooling_see_it_unless_hidden():
    """The original's encoder is not invariant to padding: models.md section 0."""
    lengths = torch.tensor([60, 36])
    x = batch((60, 60))[0]
    changed = x.clone()
    changed[1, 36:] += 1.0

    def difference(**options):
        network = encoder(**{"conv_norm": "layer_norm", **options}).eval()
        first, lens, _ = network(x, lengths)
        second, _, _ = network(changed, lengths)
        return float((first - second)[1, : int(lens[1])].abs().max())

    # the BLSTM frontend gives zeros on padding, so what is visible afterwards does not
    # depend on the features there
    assert difference() < 1e-6
    convolutions = {"type": "conv_blstm", "conv_channels": [2, 2], "hidden_size": 3}
    assert difference(frontend=convolutions) > 1e-4
    assert difference(frontend=convolutions, padding="zero") < 1e-6
    frontend = {"type": "conv", "conv_channels": [2, 3]}
    assert difference(frontend=frontend) > 1e-4
    assert difference(frontend=frontend, padding="zero") < 1e-6


def test_hidden_padding_makes_an_utterance_independent_of_its_batch():
    """With lengths that leave the SAME-pooling offsets alone."""
    network = encoder(padding="zero", conv_norm="layer_norm").eval()
    x, _ = batch((60, 60))
    y, lens, _ = network(x, torch.tensor([60, 36]))
    alone, _, _ = network(x[1:, :36], torch.tensor([36]))
    torch.testing.assert_close(y[1, : int(lens[1])], alone[0])
    visible = encoder(conv_norm="layer_norm").eval()
    y, _, _ = visible(x, torch.tensor([60, 36]))
    alone, _, _ = visible(x[1:, :36], torch.tensor([36]))
    assert not torch.allclose(y[1, : int(lens[1])], alone[0])
