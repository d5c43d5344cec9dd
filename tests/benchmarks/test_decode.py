"""The decoding benchmark: everybody searches the same model, and ratios are right."""

import json

import pytest
import torch

from benchmarks import decode, decode_cases
from espnet_ext.asr.search.stock_decoder import StockTransducer

SMALL = {"vocabulary": 6, "encoder": 4, "lstm": 5, "joint": 7}


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr(decode_cases, "SIZES", SMALL)
    monkeypatch.setattr(decode_cases, "FRAMES", 6)
    monkeypatch.setattr(decode_cases, "PEAKY", 4.0)
    return decode_cases.search_model(batch=4)[0]


def test_greedy_search_of_espnet_and_ours_find_the_same(model):
    with torch.no_grad():
        best = decode_cases.stock(model, "espnet_greedy", 1)()[0]
        ours = decode_cases.ours(model, 4, 1)()
    assert ours[0].labels == best.yseq[1:]


def test_torchaudio_is_given_the_same_scores(model):
    """After labels 2, 4; all ids are moved by one, as it wants blank last."""
    adapter = decode_cases._TorchaudioModel(model)
    decoder = StockTransducer(model.decoder, model.joint)
    frame = model.frames[:1, :1]
    state, rows = decoder.search_start(1), torch.zeros(1, dtype=torch.long)
    theirs = None
    with torch.no_grad():
        for label in (0, 2, 4):
            if label:
                state = decoder.search_advance(state, rows, torch.tensor([label]))
            ours, _ = decoder.search_scores(decoder.project_frames(frame)[0], state)
            token = torch.tensor([[(label - 1) % SMALL["vocabulary"]]])
            output, _, theirs = adapter.predict(token, None, theirs)
            scores = adapter.join(frame, None, output, None)[0].log_softmax(3)
            torch.testing.assert_close(scores[0, 0].roll(1, dims=1), ours)
        assert decode_cases.torchaudio_search(model, 3)()


def test_the_products_of_a_search_are_all_run_again(model):
    search = decode_cases.ours(model, 2, 3)
    with torch.no_grad():
        again = decode_cases.products_alone(search)()
    outputs = [x for x in again if x.size(1) == SMALL["vocabulary"]]
    assert [tuple(x.shape) for x in outputs] == [(6, 6)] * 6


def test_ratios_compare_rows_of_the_same_threads():
    rows = [
        {"name": "ours", "batch": 16, "beam": 12, "threads": 1, "rtf": 0.01},
        {"name": "ours", "batch": 16, "beam": 12, "threads": 2, "rtf": 0.005},
        {"name": "espnet_tsd", "batch": 1, "beam": 12, "threads": 1, "rtf": 0.1},
        {"name": "whole ours", "batch": 8, "beam": 12, "threads": 1, "rtf": 0.01},
        {"name": "whole espnet_tsd", "batch": 1, "beam": 12, "threads": 1, "rtf": 0.05},
        {"name": "a GPU", "batch": 64, "beam": 12, "threads": None, "rtf": None},
    ]
    found = decode.ratios(rows)
    assert [(r["threads"], r["times"], r["reached"]) for r in found] == [
        (1, 10.0, False),
        (1, 5.0, True),
    ]


def test_the_file_holds_settings_rows_and_ratios(tmp_path, monkeypatch, capsys):
    def rows(threads, repeats, slow):
        return [decode.row("ours", 1, 12, threads, 0.01 / threads)]

    monkeypatch.setattr(decode, "search_rows", rows)
    monkeypatch.setattr(decode, "whole_rows", lambda *_: [])
    path = tmp_path / "decode.json"
    assert decode.main(["--json", str(path), "--threads", "1 2"]) == 0
    content = json.loads(path.read_text())
    assert [row["rtf"] for row in content["rows"]] == [0.01, 0.005, None]
    assert "not run" in content["rows"][-1]["note"]
    assert content["settings"]["sizes"] == decode_cases.SIZES
