"""Time of the training driver against a bare loop over the same model and batches.

    python benchmarks/trainer_overhead.py --json FILE

The bare loop does what no training can do without: forward, backward, clipping, update.
The driver does all it always does: it checks, counts, logs each batch and guards
buffers. Batches are in memory in both. Rounds of the two alternate in one process, and
the ratio is taken in each round; saves and the parts between sub-epochs are measured
apart, because their share depends on the length of a sub-epoch.
"""

import argparse
import contextlib
import copy
import json
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

REPOSITORY = Path(__file__).resolve().parents[1]
if str(REPOSITORY) not in sys.path:  # started as a script
    sys.path.insert(0, str(REPOSITORY))

from espnet_ext.analysis.provenance import environment, hardware  # noqa: E402
from espnet_ext.errors import OptionError, run_main  # noqa: E402
from espnet_ext.files import atomic_write  # noqa: E402

AIM = 1.03
VOCABULARY, FEATURES = 500, 40
# batch, frames, labels, hidden units of the BLSTM, layers
SIZES = {"small": (8, 200, 12, 128, 2), "medium": (8, 400, 20, 256, 3)}
CLIP = 5.0


def make_model(hidden: int, layers: int):
    """A BLSTM transducer on features, as the demo's."""
    from espnet2.asr.ctc import CTC

    from espnet_ext.asr.decoder.lstm_transducer import LstmTransducerDecoder
    from espnet_ext.asr.encoder.conv_blstm import ConvBlstmEncoder
    from espnet_ext.asr.transducer_model import TransducerModel

    encoder = ConvBlstmEncoder(
        FEATURES, [32], [2], num_layers=layers, hidden_size=hidden, time_pooling=[3, 2]
    )
    size = encoder.output_size()
    decoder = LstmTransducerDecoder(
        VOCABULARY, size, embedding_size=64, hidden_size=hidden
    )
    tokens = ["<blank>", *(f"t{n}" for n in range(1, VOCABULARY - 1)), "<sos/eos>"]
    parts = {"frontend": None, "specaug": None, "normalize": None, "preencoder": None}
    return TransducerModel(
        vocab_size=VOCABULARY,
        token_list=tokens,
        encoder=encoder,
        postencoder=None,
        decoder=decoder,
        ctc=CTC(VOCABULARY, size),
        ctc_weight=0.5,
        **parts,
    )


def make_batches(size: Sequence[int], count: int) -> List[Tuple[List[str], Dict]]:
    """Random features and labels, of full length."""
    import torch

    batch, frames, labels = size[:3]
    generator = torch.Generator().manual_seed(1)
    found = []
    for number in range(count):
        tensors = {
            "speech": torch.randn(batch, frames, FEATURES, generator=generator),
            "speech_lengths": torch.full((batch,), frames),
            "text": torch.randint(
                1, VOCABULARY - 1, (batch, labels), generator=generator
            ),
            "text_lengths": torch.full((batch,), labels),
        }
        found.append(([f"u{number}-{row}" for row in range(batch)], tensors))
    return found


class InMemory:
    """Iterator factory of batches that are there already."""

    def __init__(self, batches: Sequence):
        self.batches = batches

    def build_iter(self, epoch: int, start_batch: int = 0) -> Sequence:
        """The batches."""
        return self.batches[start_batch:]


def bare_loop(model, optimizer, batches) -> float:
    """Seconds of the loop that the driver is compared with."""
    import torch

    model.train()
    began = time.perf_counter()
    for ids, batch in batches:
        loss, _, _ = model(**batch, utt_id=ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()
    return time.perf_counter() - began


def driver_loop(model, optimizer, batches, folder: Path) -> Tuple[float, float]:
    """Seconds of the driver's loop over one sub-epoch, and of one save after it."""
    from espnet_ext.tasks.asr import TransducerTask
    from espnet_ext.train import options
    from espnet_ext.train.training import Training

    parser = TransducerTask.get_parser()
    args = parser.parse_args(["--output_dir", str(folder)])
    args.use_tensorboard, args.use_matplotlib = False, False
    training = Training(
        model,
        [optimizer],
        [None],
        InMemory(batches),
        InMemory([]),
        None,
        options.build(args),
        distributed=False,
    )
    training.begin()
    with contextlib.closing(training.saver.log):
        training.reporter.set_epoch(1)
        training.position.begun = True
        began = time.perf_counter()
        training.train_part(1)
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        training.saver.save()
        return seconds, time.perf_counter() - began


def measure(name: str, rounds: int, count: int) -> Dict[str, Any]:
    """One row."""
    import torch

    size = SIZES[name]
    torch.manual_seed(1)
    original = make_model(*size[3:])
    batches = make_batches(size, count)
    ratios, bare, driven, saves = [], [], [], []
    for number in range(rounds + 1):  # the first one warms up
        times = {}
        for kind in ("bare", "driver") if number % 2 else ("driver", "bare"):
            torch.manual_seed(number)
            model = copy.deepcopy(original)
            optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
            if kind == "bare":
                times[kind] = bare_loop(model, optimizer, batches)
                continue
            with tempfile.TemporaryDirectory() as folder:
                times[kind], save = driver_loop(model, optimizer, batches, Path(folder))
        if number:
            bare.append(times["bare"] / count)
            driven.append(times["driver"] / count)
            ratios.append(times["driver"] / times["bare"])
            saves.append(save)
    return {
        "size": name,
        "parameters": sum(p.numel() for p in original.parameters()),
        "ratio": round(statistics.median(ratios), 4),
        "ratios": [round(ratio, 4) for ratio in ratios],
        "bare_s_per_batch": round(statistics.median(bare), 5),
        "driver_s_per_batch": round(statistics.median(driven), 5),
        "save_s": round(statistics.median(saves), 4),
        "reached": statistics.median(ratios) < AIM,
    }


def benchmark(args: argparse.Namespace) -> int:
    """Run all sizes; print the table and write the JSON."""
    import torch

    sizes = args.sizes.split()
    if not sizes or set(sizes) - set(SIZES):
        raise OptionError(f"--sizes {args.sizes!r}", expected=" ".join(SIZES))
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    logging.basicConfig(level="WARNING")
    rows = [measure(size, args.rounds, args.batches) for size in sizes]
    settings = {
        **environment(),
        "machine": hardware(),
        "threads": args.threads,
        "rounds": args.rounds,
        "batches a round": args.batches,
        "sizes (B, T, L, hidden, layers)": {size: SIZES[size] for size in sizes},
        "ratio": "median over rounds of driver / bare loop",
        "aim": f"below {AIM}",
    }
    print(f"{'size':8}{'ratio':>8}{'bare':>10}{'driver':>10}{'save':>9}")
    for row in rows:
        print(
            f"{row['size']:8}{row['ratio']:8.3f}{row['bare_s_per_batch']:8.4f} s"
            f"{row['driver_s_per_batch']:8.4f} s{row['save_s']:7.3f} s"
        )
    if args.json:
        with atomic_write(args.json) as file:
            json.dump({"settings": settings, "rows": rows}, file, indent=1)
            file.write("\n")
    return 0


def get_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--json", type=Path, help="results go here as well")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--rounds", type=int, default=30, help="of each of the two")
    parser.add_argument("--batches", type=int, default=4, help="of a round")
    parser.add_argument("--sizes", default="small medium", help="which sizes to run")
    return parser


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    args = get_parser().parse_args(argv)
    return run_main(lambda: benchmark(args))


if __name__ == "__main__":
    sys.exit(main())
