import math

import pytest
import torch

from espnet_ext.asr.alignment_targets import AlignmentOptions, frame_targets
from espnet_ext.errors import FormatError
from espnet_ext.inference.model_search import build_search
from tests.asr.tiny_framewise import aligned_batch, tiny_framewise

FOCAL = 2.0


def loop_cost(head, frames_BTD, batch, focal):
    """Sum over frames, one after the other, in plain numbers."""
    total = 0.0
    for row, length in enumerate(batch["alignment_lengths"].tolist()):
        for t in range(length):
            logits = head(frames_BTD[row, t]).tolist()
            normaliser = math.log(sum(math.exp(x) for x in logits))
            log_p = logits[int(batch["alignment"][row, t])] - normaliser
            total += (1.0 - math.exp(log_p)) ** focal * -log_p
    return total


def test_the_loss_is_the_sum_over_frames_of_the_output_and_of_auxiliary_layers():
    options = {"layers": [2], "weight": 0.5}
    model = tiny_framewise(focal_factor=FOCAL, aux_framewise=options).double().eval()
    batch = aligned_batch()
    batch["speech"] = batch["speech"].double()
    loss, stats, _ = model(**batch)
    parts = batch["speech"], batch["speech_lengths"]
    frames_BTD, _, [(number, inner_BTD)] = model.encode_layers(*parts, [2])
    top = loop_cost(model.framewise_output, frames_BTD, batch, FOCAL)
    inner = loop_cost(model.aux_outputs["2"], inner_BTD, batch, FOCAL)
    assert number == 2
    assert loss.item() == pytest.approx((top + 0.5 * inner) / 2, rel=1e-10)
    assert stats["loss_framewise_2"].item() == pytest.approx(inner / 2, rel=1e-10)


def test_label_smoothing_by_gradient_is_that_of_torch():
    model = tiny_framewise(label_smoothing={"type": "ls", "amount": 0.1}).eval()
    batch = aligned_batch()
    model(**batch)[0].backward()
    frames_BTD, lens_B = model.encode_frames(batch["speech"], batch["speech_lengths"])
    logits = model.framewise_output(frames_BTD.detach()).flatten(0, 1)
    # torch spreads over all V classes, the original over the other V - 1
    spread = 0.1 * 6 / 5
    expected = torch.nn.functional.cross_entropy(
        logits,
        batch["alignment"].flatten(),
        ignore_index=-1,
        label_smoothing=spread,
        reduction="sum",
    )
    weight = model.framewise_output.weight
    (expected_grad,) = torch.autograd.grad(expected / 2, weight)
    torch.testing.assert_close(weight.grad, expected_grad, rtol=1e-4, atol=1e-6)


def test_padding_of_features_and_alignments_has_no_influence():
    model = tiny_framewise(focal_factor=FOCAL, aux_framewise={"layers": [2]}).eval()
    batch = aligned_batch()
    together = model(**batch)[0].item() * 2
    alone = 0.0
    for row, (samples, frames, labels) in enumerate(((14, 7, 3), (10, 5, 2))):
        one = {name: value[row : row + 1] for name, value in batch.items()}
        one["speech"] = one["speech"][:, :samples]
        one["alignment"] = one["alignment"][:, :frames]
        one["text"] = one["text"][:, :labels]
        alone += model(**one)[0].item()
    batch["speech"][1, 10:] = 1e3
    batch["alignment"][1, 5:] = 3
    assert model(**batch)[0].item() * 2 == pytest.approx(together, rel=1e-5)
    assert together == pytest.approx(alone, rel=1e-5)


def test_training_on_an_alignment_finds_its_labels_again():
    model = tiny_framewise(encoder={"num_layers": 1}, prior_momentum=0.2)
    batch = aligned_batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(150):
        optimizer.zero_grad()
        loss, stats, _ = model(**batch)
        loss.backward()
        optimizer.step()
    model.eval()
    assert model(**batch)[1]["fer"].item() == 0.0
    frames = model.encode(batch["speech"], batch["speech_lengths"])
    search = build_search(model, 4, {"collapse": False}, [])
    found = [beam[0].yseq[1:-1] for beam in search.batch(*frames)]
    assert found == [batch["text"][0].tolist(), batch["text"][1, :2].tolist()]
    # 7 of 12 frames are blank
    assert model.prior[0].item() == pytest.approx(7 / 12, abs=0.05)


def test_the_prior_is_the_mean_posterior_and_is_taken_off_by_its_scale():
    model = tiny_framewise(prior_scale=0.7).eval()
    batch = aligned_batch()
    parts = batch["speech"], batch["speech_lengths"]
    before = model.symbol_scores(model.encode_frames(*parts)[0])
    ones = [(batch["speech"][row : row + 1], parts[1][row : row + 1]) for row in (0, 1)]
    model.estimate_prior([(s[:, : int(n)], n) for s, n in ones])
    frames_BTD, lens_B = model.encode_frames(*parts)
    posteriors = model.framewise_output(frames_BTD).softmax(-1)
    expected = torch.cat([posteriors[0, :7], posteriors[1, :5]]).mean(0)
    torch.testing.assert_close(model.prior, expected, rtol=1e-4, atol=1e-6)
    # from a uniform prior to this one
    change = model.symbol_scores(frames_BTD) - before
    expected = -0.7 * (expected.log() + math.log(6))
    torch.testing.assert_close(change, expected.expand_as(change), rtol=1e-3, atol=1e-4)


def test_weights_and_prior_are_saved_and_anything_else_is_refused(tmp_path):
    model = tiny_framewise(aux_framewise={"layers": [2]})
    model.prior.fill_(0.25)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    state = torch.load(tmp_path / "model.pth", weights_only=True)
    other = tiny_framewise(aux_framewise={"layers": [2]})
    other.load_state_dict(state)
    assert other.prior[0] == 0.25
    with pytest.raises(RuntimeError, match="aux_outputs"):
        tiny_framewise().load_state_dict(state, strict=False)


def test_growing_stages_train_the_auxiliary_layers_that_exist():
    growth = {"layers": [2], "epochs": [1], "width": True}
    model = tiny_framewise(encoder={"growth": growth}, aux_framewise={"layers": [2, 4]})
    model.set_epoch(1)
    stats = model(**aligned_batch())[1]
    assert "loss_framewise_2" in stats and "loss_framewise_4" not in stats
    assert not model.used_entries()["framewise_output.weight"].all()
    model.set_epoch(2)
    assert "loss_framewise_4" in model(**aligned_batch())[1]


def test_of_an_alignment_every_ten_milliseconds_the_middle_symbols_count():
    alignment = torch.arange(8).unsqueeze(0)
    parts = alignment, torch.tensor([8]), 3, torch.tensor([3])
    targets, lens = frame_targets(*parts, AlignmentOptions(stride=3))
    # frames of 3, 3 and 2 symbols
    assert targets.tolist() == [[1, 4, 7]] and lens.tolist() == [3]


def test_lengths_that_differ_are_refused_by_name_or_cut_within_the_tolerance():
    parts = torch.ones(1, 5, dtype=torch.long), torch.tensor([5]), 6, torch.tensor([6])
    with pytest.raises(FormatError, match="(?s)sw02-a.*5 symbols.*6 encoder frames"):
        frame_targets(*parts, utterance_ids=["sw02-a"])
    targets, lens = frame_targets(*parts, AlignmentOptions(tolerance=1))
    assert targets.tolist() == [[1, 1, 1, 1, 1, -1]] and lens.tolist() == [5]


def test_a_batch_without_alignments_is_refused_with_the_option_to_give():
    batch = aligned_batch()
    del batch["alignment"], batch["alignment_lengths"]
    with pytest.raises(ValueError, match="train_data_path_and_name_and_type"):
        tiny_framewise()(**batch)
