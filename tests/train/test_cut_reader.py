"""Speech read in place is, sample for sample, the speech of dumped files."""

import numpy as np
import pytest

from espnet_ext.corpus.cuts import Cut
from espnet_ext.register import register
from espnet_ext.train.cut_reader import CutReader
from tests.corpus.trees import RATE, noise, sphere_bytes
from tests.recipe.folders import make_recipe, run_stage


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [[], ["--fs", "16k", "--speed_perturb_factors", "0.9 1.0"]]
)
def test_espnet_sees_the_same_samples_as_in_dumped_files(tmp_path, monkeypatch, words):
    from espnet2.train.dataset import ESPnetDataset
    from espnet2.train.iterable_dataset import IterableESPnetDataset

    register()
    make_recipe(tmp_path)
    train = "org/train_sp" if "--speed_perturb_factors" in words else "org/train"
    seen = []
    for audio_format, file, kind in (
        ("flac", "wav.scp", "sound"),
        ("segments", "speech.scp", "segment"),
    ):
        monkeypatch.chdir(tmp_path)
        options = [*words, "--audio_format", audio_format, "--dumpdir", audio_format]
        if words:
            run_stage(2, *options)
        run_stage(3, *options)
        path = f"{audio_format}/raw/{train}/{file}"
        data = [(path, "speech", kind)]
        dataset = ESPnetDataset(data)
        keys = sorted(dataset.loader_dict["speech"])
        seen.append({key: dataset[key][1]["speech"] for key in keys})
        streamed = dict(IterableESPnetDataset(data, key_file=path))
        assert sorted(streamed) == keys
        for key in keys:
            np.testing.assert_array_equal(streamed[key]["speech"], seen[-1][key])
    dumped, in_place = seen
    assert list(dumped) == list(in_place) and len(dumped) in (8, 16)
    for key, samples in in_place.items():
        assert samples.dtype == np.float32
        np.testing.assert_array_equal(samples, dumped[key])


def test_a_line_names_file_side_times_and_rate(tmp_path):
    audio = tmp_path / "a call.sph"
    audio.write_bytes(sphere_bytes(noise(3.0)))
    cut = Cut(str(audio), 1, ((0.5, 1.0), (2.0, None)), 1.0, RATE)
    (tmp_path / "speech.scp").write_text(f"sw02001-B_1 {cut.to_line()}\n")
    reader = CutReader(tmp_path / "speech.scp")
    assert list(reader) == ["sw02001-B_1"] and len(reader) == 1
    assert reader.cuts["sw02001-B_1"] == cut
    assert reader["sw02001-B_1"].shape == (int(1.5 * RATE),)
