"""ESPnet's own transducers in our batched searches.

ESPnet's searches take one utterance at a time; with this adapter those here decode a
model that was trained with ``decoder: transducer`` (LSTM) as it is.

Ref: espnet2/asr/decoder/transducer_decoder.py, espnet2/asr_transducer/joint_network.py.
"""

# Dimensions: B batch, T frames, N rows, E rows that emit, D encoder, J joint space,
#             H LSTM, V vocabulary with blank
from typing import Tuple, Union

import torch
from espnet2.asr.decoder.transducer_decoder import TransducerDecoder
from espnet2.asr_transducer.joint_network import JointNetwork

from espnet_ext.asr.search.interface import advance_emitted
from espnet_ext.asr.search.lstm_cell import LstmCell
from espnet_ext.asr.search.products import RowProduct
from espnet_ext.errors import OptionError


class StockTransducer:
    """SearchDecoder (see interface.py) of ESPnet's decoder and joint network.

    Args:
        decoder: In evaluation mode; its weights are copied.
        joint_network: Likewise.

    Raises:
        OptionError: The decoder is no LSTM.
    """

    frame_dependent = False

    @torch.no_grad()
    def __init__(self, decoder: TransducerDecoder, joint_network: JointNetwork):
        if getattr(decoder, "dtype", None) != "lstm":
            raise OptionError(
                f"a {type(decoder).__name__} of {getattr(decoder, 'dtype', '?')}",
                expected="ESPnet's transducer decoder with rnn_type lstm",
                next_step="decode it with espnet2.bin.asr_inference",
            )
        self.blank_id = decoder.blank_id
        self.vocab_size = decoder.odim
        self.hidden_size = decoder.dunits
        self.joint_network = joint_network
        self.cells = []
        for number, layer in enumerate(decoder.decoder):
            bias_G = layer.bias_ih_l0 + layer.bias_hh_l0
            vectors = decoder.embed.weight if number == 0 else None
            cell = LstmCell(layer.weight_ih_l0, layer.weight_hh_l0, bias_G, vectors)
            self.cells.append(cell)
        self.project = RowProduct(
            joint_network.lin_dec.weight, joint_network.lin_dec.bias
        )
        self.output = RowProduct(
            joint_network.lin_out.weight, joint_network.lin_out.bias
        )

    def project_frames(self, frames_BTD: torch.Tensor) -> torch.Tensor:
        """Encoder output to [B, T, J], which the searches take."""
        return self.joint_network.lin_enc(frames_BTD)

    def _step(self, labels_E: torch.Tensor, state):
        output, layers = labels_E, []
        for cell, (h_EH, c_EH) in zip(self.cells, state[1]):
            output, h_EH, c_EH = cell(output, h_EH, c_EH)
            layers.append((h_EH, c_EH))
        return self.project(output), tuple(layers)

    def search_start(self, batch: int, bos: Union[str, int] = "run") -> Tuple:
        """State of ``batch`` rows; ESPnet feeds blank first."""
        weight = self.joint_network.lin_dec.weight
        zeros_1H = weight.new_zeros(1, self.hidden_size)
        layers = tuple((zeros_1H, zeros_1H) for _ in self.cells)
        state = weight.new_zeros(1, weight.size(0)), layers
        if bos != "skip":
            first = self.blank_id if bos == "run" else int(bos)
            state = self._step(torch.tensor([first], device=weight.device), state)
        output, layers = state
        return output.expand(batch, -1), tuple(
            tuple(x.expand(batch, -1) for x in layer) for layer in layers
        )

    def search_scores(self, frames_BR: torch.Tensor, state):
        """Log-probabilities [N, V], and the state as it was."""
        lm_BKR = state[0].view(frames_BR.size(0), -1, frames_BR.size(1))
        joint = self.joint_network.joint_activation(lm_BKR + frames_BR.unsqueeze(1))
        return self.output(joint.flatten(0, 1)).log_softmax(1), state

    def search_advance(self, state, rows_N, symbols_N):
        """See SearchDecoder."""
        return advance_emitted(state, rows_N, symbols_N, self.blank_id, self._step)
