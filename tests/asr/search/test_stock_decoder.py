"""ESPnet's own transducers: our searches against ESPnet's on the same weights."""

import pytest
import torch
from espnet2.asr.decoder.transducer_decoder import TransducerDecoder
from espnet2.asr.transducer.beam_search_transducer import BeamSearchTransducer
from espnet2.asr_transducer.joint_network import JointNetwork

from espnet_ext.asr.search.greedy import greedy_search
from espnet_ext.asr.search.rnnt import RnntSearch
from espnet_ext.asr.search.stock_decoder import StockTransducer
from espnet_ext.asr.search.time_sync import TimeSyncSearch
from espnet_ext.errors import OptionError


def model(layers=1, seed=0):
    torch.manual_seed(seed)
    decoder = TransducerDecoder(6, num_layers=layers, hidden_size=5).eval()
    joint = JointNetwork(6, 4, 5, joint_space_size=7).eval()
    with torch.no_grad():
        for parameter in (*decoder.parameters(), *joint.parameters()):
            parameter.mul_(4.0)
    frames = torch.randn(3, 8, 4, generator=torch.Generator().manual_seed(seed))
    return decoder, joint, frames


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_a_batch_is_decoded_as_espnet_decodes_one_by_one(layers, seed):
    decoder, joint, frames = model(layers, seed)
    ours = StockTransducer(decoder, joint)
    am, lengths = ours.project_frames(frames).detach(), torch.tensor([8, 5, 8])
    greedy = greedy_search(ours, am, lengths)
    beams = RnntSearch(ours, 3, max_symbols=1)(am, lengths)
    stock = {
        size: BeamSearchTransducer(
            decoder, joint, size, search_type="tsd", score_norm=False, nbest=3
        )
        for size in (1, 3)
    }
    for row, length in enumerate(lengths.tolist()):
        with torch.no_grad():
            best = stock[1](frames[row, :length])[0]
            beam = stock[3](frames[row, :length])
        assert greedy[row].labels == best.yseq[1:]
        assert [e.labels for e in beams[row]] == [h.yseq[1:] for h in beam]
        assert [e.score for e in beams[row]] == pytest.approx(
            [h.score for h in beam], abs=1e-4
        )


def test_its_batches_have_the_same_bits_as_single_sequences():
    decoder, joint, frames = model(2, 1)
    ours = StockTransducer(decoder, joint)
    am, lengths = ours.project_frames(frames).detach(), torch.tensor([8, 5, 2])
    search = TimeSyncSearch(ours, 4)
    for row, result in enumerate(search(am, lengths)):
        length = lengths[row : row + 1]
        assert search(am[row : row + 1, : int(length)], length)[0] == result


def test_a_decoder_without_lstm_is_refused():
    decoder = TransducerDecoder(6, rnn_type="gru", hidden_size=5)
    with pytest.raises(OptionError, match="gru"):
        StockTransducer(decoder, model()[1])
