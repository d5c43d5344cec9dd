import math

import pytest
import torch

from espnet_ext.asr.framewise_transducer_model import time_reduction
from espnet_ext.asr.loss.frame_context import cut_alignments
from espnet_ext.asr.search.greedy import greedy_search
from espnet_ext.inference.model_search import build_search
from tests.asr.tiny import tiny_decoder, tiny_model
from tests.asr.tiny_framewise import aligned_batch, tiny_framewise_transducer


def path_log_probs(model, batch):
    """Log-probability of each symbol of the alignments, by the steps of the searches.

    Yields one list of numbers for each utterance.
    """
    frames_BTR, lengths_B = model.encode(batch["speech"], batch["speech_lengths"])
    rows = torch.tensor([0])
    for row, length in enumerate(lengths_B.tolist()):
        state, found = model.decoder.search_start(1), []
        for t in range(length):
            frame = frames_BTR[row : row + 1, t]
            scores, state = model.decoder.search_scores(frame, state)
            symbol = batch["alignment"][row, t]
            found.append(scores[0, symbol].item())
            state = model.decoder.search_advance(state, rows, symbol[None])
        yield found


def lstm_model(**options):
    decoder = tiny_decoder(
        6,
        6,
        spread=1.0,
        joint={
            "readout_size": 8,
            "attention": {"key_size": 3, "key_dropout": 0.0, "weight_dropout": 0.0},
        },
    )
    return tiny_framewise_transducer(decoder=decoder, **options)


@pytest.mark.parametrize("build", [tiny_framewise_transducer, lstm_model])
def test_the_loss_is_the_score_of_the_alignment(build):
    model = build().eval()
    batch = aligned_batch()
    loss, stats, _ = model(**batch)
    expected = -sum(sum(found) for found in path_log_probs(model, batch))
    assert loss.item() * 2 == pytest.approx(expected, rel=1e-5)
    assert 0.0 <= stats["fer"].item() <= 1.0


def test_the_focal_factor_weighs_each_frame_by_what_is_missing_to_one():
    model = tiny_framewise_transducer(focal_factor=2.0).eval()
    batch = aligned_batch()
    expected = sum(
        (1.0 - math.exp(log_p)) ** 2 * -log_p
        for found in path_log_probs(model, batch)
        for log_p in found
    )
    assert model(**batch)[0].item() * 2 == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_moves_the_target_of_label_frames_and_not_the_loss():
    """Over labels: a target of 1 - s, and s / (K - 1) for every other label."""
    amount, batch = 0.2, aligned_batch()
    model = tiny_framewise_transducer(
        label_smoothing={"amount": amount, "over": "labels"}
    ).eval()
    plain = tiny_framewise_transducer().eval()
    plain.load_state_dict(model.state_dict())
    losses = [each(**batch)[0] for each in (model, plain)]
    assert torch.equal(*losses)
    for loss in losses:
        loss.backward()
    frames_BTR, lengths_B = model.encode(batch["speech"], batch["speech_lengths"])
    symbols_BT = batch["alignment"].clamp(min=0)
    logits_BTK, _ = model.decoder(frames_BTR, lengths_B, symbols_BT)
    posteriors_NK = logits_BTK[symbols_BT > 0].softmax(-1)
    labels = posteriors_NK.size(1)
    target_NK = torch.full_like(posteriors_NK, amount / (labels - 1))
    target_NK.scatter_(1, symbols_BT[symbols_BT > 0][:, None] - 1, 1.0 - amount)
    expected_K = (posteriors_NK - target_NK).sum(0) / 2  # mean over two utterances
    found_K = model.decoder.label_output.bias.grad
    torch.testing.assert_close(found_K, expected_K, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(found_K, plain.decoder.label_output.bias.grad, atol=1e-3)
    emission = [each.decoder.emission_output.bias.grad for each in (model, plain)]
    torch.testing.assert_close(*emission)


def test_ctc_behind_the_bottleneck_is_that_of_torch_and_has_no_bias():
    options = {"encoder_ctc_weight": 0.7}
    model, without = tiny_framewise_transducer(**options), tiny_framewise_transducer()
    model.load_state_dict(
        {"encoder_ctc.weight": model.encoder_ctc.weight, **without.state_dict()}
    )
    batch = aligned_batch()
    loss, stats, _ = model.eval()(**batch)
    frames_BTD, lengths = model.encode_frames(batch["speech"], batch["speech_lengths"])
    logits = model.decoder.project_encoder(frames_BTD) @ model.encoder_ctc.weight.T
    expected = torch.nn.functional.ctc_loss(
        logits.log_softmax(-1).transpose(0, 1),
        batch["text"].clamp(min=0),
        lengths,
        batch["text_lengths"],
        reduction="sum",
    ).item()
    assert model.encoder_ctc.bias is None
    assert stats["loss_encoder_ctc"].item() * 2 == pytest.approx(expected, rel=1e-5)
    difference = loss.item() - without.eval()(**batch)[0].item()
    assert difference * 2 == pytest.approx(0.7 * expected, rel=1e-4)


def test_chunks_are_utterances_of_their_own():
    model = tiny_framewise_transducer(
        chunk={"size": 3, "hop": 2}, encoder_ctc_weight=1.0
    )
    batch = aligned_batch()
    assert time_reduction(model.encoder) == 2
    loss = model.train()(**batch)[0].item() * 2
    whole = tiny_framewise_transducer(encoder_ctc_weight=1.0)
    whole.load_state_dict(model.state_dict())
    alone = 0.0
    for row, frames in enumerate((7, 5)):
        for start in range(0, frames, 2):
            end = min(start + 3, frames)
            symbols = batch["alignment"][row : row + 1, start:end]
            speech = batch["speech"][row : row + 1, 2 * start : 2 * end]
            labels = symbols[symbols > 0][None]
            piece = dict(
                speech=speech,
                speech_lengths=torch.tensor([speech.size(1)]),
                text=labels,
                text_lengths=torch.tensor([labels.numel()]),
                alignment=symbols,
                alignment_lengths=torch.tensor([end - start]),
            )
            alone += whole.train()(**piece)[0].item()
    assert loss == pytest.approx(alone, rel=1e-5)
    # evaluation sees whole utterances
    whole_loss = whole.eval()(**batch)[0].item()
    assert model.eval()(**batch)[0].item() == pytest.approx(whole_loss, rel=1e-6)


def test_the_original_trains_on_sixty_frames_with_half_of_them_twice():
    model = tiny_framewise_transducer(chunk={})
    lengths = torch.tensor([130])
    chunks = cut_alignments(
        torch.zeros(1, 130, dtype=torch.long), lengths, *model.chunk[:2]
    )
    assert chunks.start_C.tolist() == [0, 30, 60, 90, 120]
    assert chunks.frame_lens_C.tolist() == [60, 60, 60, 40, 10]


def test_an_utterance_costs_the_same_alone_and_in_a_batch():
    model = tiny_framewise_transducer(focal_factor=2.0, encoder_ctc_weight=1.0).eval()
    batch = aligned_batch()
    together, alone = model(**batch)[0].item() * 2, 0.0
    for row, (samples, frames, labels) in enumerate(((14, 7, 3), (10, 5, 2))):
        one = {name: value[row : row + 1] for name, value in batch.items()}
        one["speech"] = one["speech"][:, :samples]
        one["alignment"] = one["alignment"][:, :frames]
        one["text"] = one["text"][:, :labels]
        alone += model(**one)[0].item()
    batch["alignment"][1, 5:] = 4
    assert model(**batch)[0].item() * 2 == together
    # convolutions in front see frames after the end, as in the original
    assert together == pytest.approx(alone, rel=0.02)


def test_training_finds_the_labels_again_and_searches_agree():
    model = tiny_framewise_transducer(encoder_ctc_weight=0.1)
    batch = aligned_batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(250):
        optimizer.zero_grad()
        model(**batch)[0].backward()
        optimizer.step()
    frames = model.eval().encode(batch["speech"], batch["speech_lengths"])
    expected = [batch["text"][0].tolist(), batch["text"][1, :2].tolist()]
    greedy = greedy_search(model.decoder, *frames)
    beams = build_search(model, 4, {}, []).batch(*frames)
    assert [result.labels for result in greedy] == expected
    assert [beam[0].yseq[1:] for beam in beams] == expected
    assert model(**batch)[1]["fer"].item() == 0.0


def test_a_plain_transducer_goes_on_with_the_full_sum():
    framewise, full_sum = lstm_model(), tiny_model()
    full_sum.load_state_dict(framewise.state_dict())
    batch = aligned_batch()
    alignment_nll = framewise.eval()(**batch)[0].item()
    # one alignment is part of the sum over all
    assert full_sum.eval()(**batch)[0].item() < alignment_nll


def test_unknown_topologies_and_chunks_are_refused():
    with pytest.raises(Exception, match="rnnt"):
        tiny_framewise_transducer(topology="rnnt")
    with pytest.raises(ValueError, match="chunk"):
        tiny_framewise_transducer(chunk={"sizes": 3})
