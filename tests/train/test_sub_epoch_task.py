"""From the command line's arguments to the batches; one training through the task."""

import numpy
import pytest
import soundfile
import yaml
from espnet2.train.distributed_utils import DistributedOption

from espnet_ext.errors import OptionError
from espnet_ext.tasks.asr import TransducerTask
from espnet_ext.train.regime import parse_regime
from espnet_ext.train.sub_epoch_task import sample_rate_of, share_of
from espnet_ext.train.sub_epochs import EpochTeller, Share, SubEpochs

TOKENS = ["<blank>", "<unk>", "a", "b", "ab", "a@@", "<sos/eos>"]
UTTERANCES = 12
CONFIG = {
    "frontend": "gammatone",
    "frontend_conf": {"fs": 8000, "channels": 8},
    "encoder": "conv_blstm",
    "encoder_conf": {
        **{"conv_channels": [2], "conv_feature_pooling": [2], "num_layers": 2},
        **{"hidden_size": 3, "time_pooling": [2]},
    },
    "decoder": "lstm_transducer",
    "decoder_conf": {
        "embedding_size": 3,
        "hidden_size": 4,
        "joint": {"readout_size": 6, "attention": {"key_size": 2}},
    },
    "model": "full_sum_transducer",
    "model_conf": {"ctc_weight": 0.0},
    "specaug": "masks_by_step",
    "specaug_conf": {
        "masks": {"time_length": [1, 4], "feature_length": [1, 2]},
        "time_resize": {"range": [0.9, 1.2], "long_frames": 250, "long_maximum": 1.0},
        "frame_drop": {"rate": 0.1, "min_frames": 10, "in_evaluation": True},
        "length_perturbation": {"drop_rate": 0.05, "insert_rate": 0.05},
        "sequence_noise": {"probability": 0.8, "scale": 0.4},
    },
    "optim": "adam",
    "batch_type": "numel",
    "batch_bins": 80 * 150,
    "accum_grad": 2,
    "max_epoch": 3,
    "num_workers": 0,
    "unused_parameters": True,
    "best_model_criterion": [["valid", "loss", "min"]],
    "regime_conf": {
        "segment_order": "shuffled_sorted_in_chunks",
        "segments_per_chunk": 6,
        "sub_epochs_per_epoch": 2,
        "max_labels": 3,
        "max_sequences": 4,
    },
}


def written(folder, **changes):
    """Command line of a training on noise, one utterance with too many labels."""
    random = numpy.random.RandomState(0)
    wav, text, speech, labels = [], [], [], []
    for number in range(UTTERANCES):
        samples = 2400 + 240 * number
        name = f"u{number:02d}"
        soundfile.write(folder / f"{name}.wav", 0.1 * random.randn(samples), 8000)
        words = "a b a@@ b" if number == 5 else "a@@ b a"
        wav.append(f"{name} {folder / name}.wav\n")
        text.append(f"{name} {words}\n")
        speech.append(f"{name} {samples}\n")
        labels.append(f"{name} {len(words.split())},{len(TOKENS)}\n")
    files = {"wav.scp": wav, "text": text, "speech_shape": speech, "text_shape": labels}
    for file, lines in files.items():
        (folder / file).write_text("".join(lines))
    (folder / "tokens.txt").write_text("\n".join(TOKENS) + "\n")
    (folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **changes}))
    words = ["--config", str(folder / "config.yaml"), "--token_type", "word"]
    words += ["--output_dir", str(folder / "exp"), "--use_matplotlib", "false"]
    words += ["--token_list", str(folder / "tokens.txt"), "--use_tensorboard", "false"]
    for role in ("train", "valid"):
        data = f"--{role}_data_path_and_name_and_type"
        words += [data, f"{folder}/wav.scp,speech,sound"]
        words += [data, f"{folder}/text,text,text"]
        words += [f"--{role}_shape_file", f"{folder}/speech_shape"]
        words += [f"--{role}_shape_file", f"{folder}/text_shape"]
    return words


def factory(folder, mode="train", **changes):
    args = TransducerTask.get_parser().parse_args(written(folder, **changes))
    args.token_list = TOKENS  # as build_model leaves it
    return TransducerTask.build_iter_factory(args, DistributedOption(), mode)


@pytest.mark.slow
def test_the_regime_decides_about_training_and_validation_batches(tmp_path):
    train = factory(tmp_path)
    assert isinstance(train, SubEpochs)
    names = [n for epoch in (1, 2) for batch in train.batches(epoch) for n in batch]
    assert sorted(names) == [f"u{n:02d}" for n in range(UTTERANCES) if n != 5]
    # 2,400 samples are (2400 - 520) / 80 + 1 = 24.5 frames, 240 samples three
    assert train.corpus.frames.tolist() == [24 + 3 * n for n in range(UTTERANCES)]
    assert train.usual.max_frames == 150 and train.accum_grad(1) == 2
    ids, batch = next(iter(train.build_iter(1)))
    assert len(ids) == len(batch["text"]) <= 4
    assert batch["text"][0].tolist() == [5, 3, 2]
    valid = factory(tmp_path, "valid")
    ordered = [name for batch in valid.batches(1) for name in batch]
    assert ordered == sorted(names)  # by length, which is by name here


@pytest.mark.slow
def test_without_a_regime_espnet_forms_the_batches(tmp_path):
    stock = factory(tmp_path, regime_conf={})
    assert not isinstance(stock, (SubEpochs, EpochTeller))
    options = {"breadth_probability": 0.5}
    drawn = factory(
        *(tmp_path,),
        regime_conf={},
        preprocessor="bpe_sampling",
        preprocessor_conf=options,
    )
    assert isinstance(drawn, EpochTeller)
    texts = {
        epoch: {
            tuple(row)
            for _, batch in drawn.build_iter(epoch)
            for row in batch["text"].tolist()
        }
        for epoch in (1, 2)
    }
    # a@@ b is ab, too
    assert any(4 in row for row in texts[1]) and any(5 in row for row in texts[1])


@pytest.mark.slow
@pytest.mark.parametrize("regime", [{}, {"max_sequences": 4}])
def test_a_cache_would_freeze_what_is_drawn(tmp_path, regime):
    options = {"preprocessor": "bpe_sampling", "max_cache_size": 1e6}
    options["regime_conf"] = regime
    with pytest.raises(OptionError, match="a cache would keep"):
        factory(tmp_path, preprocessor_conf={"breadth_probability": 0.5}, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "option, value", [("num_iters_per_epoch", 5), ("drop_last_iter", True)]
)
def test_options_of_espnets_batches_are_not_ignored_silently(tmp_path, option, value):
    with pytest.raises(OptionError, match=f"{option} has no effect"):
        factory(tmp_path, **{option: value})


@pytest.mark.slow
def test_a_training_with_sub_epochs_and_all_augmentation_runs(tmp_path, caplog):
    caplog.set_level("INFO")
    TransducerTask.main(cmd=written(tmp_path))
    log = caplog.text
    for epoch in (1, 2, 3):
        assert f"[train] sub-epoch {epoch}: " in log
        assert f"{epoch}epoch results: [train]" in log
    assert "1 utterances with more than 3 labels left out" in log
    assert (tmp_path / "exp" / "3epoch.pth").is_file()
    import torch

    weights = torch.load(tmp_path / "exp" / "3epoch.pth", weights_only=True)
    made = factory(tmp_path)
    batches = sum(len(made.batches(epoch)) for epoch in (1, 2, 3))
    assert float(weights["specaug.seen_batches"]) == batches


@pytest.mark.parametrize(
    "text, rate", [(8000, 8000), ("8k", 8000), ("16K", 16000), ("8000", 8000)]
)
def test_sampling_rates_are_read_as_espnet_writes_them(text, rate):
    assert sample_rate_of(text) == rate


def test_one_process_has_all_the_data():
    assert share_of(parse_regime({}), False, True) == Share()


def test_processes_share_batches_or_have_orders_of_their_own(monkeypatch):
    import torch

    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 2)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 4)
    assert share_of(parse_regime({}), True, True) == Share(2, 4)
    averaging = {"processes": 4, "data": "shuffled_per_process"}
    regime = parse_regime({"multi_gpu": averaging})
    assert share_of(regime, True, True) == Share(order=2)
    assert share_of(regime, True, False) == Share(2, 4)  # validation is shared
