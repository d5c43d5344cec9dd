"""The floor of an alignment is measured on the shapes that it is claimed for."""

import numpy as np
import soundfile
import torch

from benchmarks.align_floor import measure_products, reading_seconds


def test_rates_of_product_and_kernel_in_both_types_with_one_thread():
    threads = torch.get_num_threads()
    rows = measure_products(repeats=1)
    assert [row["what"].removeprefix("floor: ") for row in rows] == [
        *("product, float32", "LSTM kernel, float32"),
        *("product, bfloat16", "LSTM kernel, bfloat16"),
    ]
    assert min(row["gflops"] for row in rows) > 0.0
    assert torch.get_num_threads() == threads


def test_every_file_of_the_data_directory_is_read(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(soundfile, "read", lambda file, dtype: read.append(file.name))
    for name in ("a.wav", "b c.wav"):
        soundfile.write(tmp_path / name, np.zeros(10), 8000)
    (tmp_path / "wav.scp").write_text("a a.wav\nb b c.wav\n")
    assert reading_seconds(tmp_path, tmp_path) >= 0.0
    assert read == ["a.wav", "b c.wav"] * 2
