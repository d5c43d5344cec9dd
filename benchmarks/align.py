"""Time of alignment against a training pass, memory by vocabulary, and a peer.

    python benchmarks/align.py --json FILE [--exp EXP --data_dir DIR]

The real thing with the demo, if it has been trained (``make demo``), or with ``--exp``
(a trained experiment of a recipe) and ``--data_dir`` (its training set, as dumped), see
``align_trained.py``; then, and where nothing is trained only, made-up speech of the
demo's lengths through the demo's model (conf/train_demo.yaml, random weights): one
training pass with all its losses, in the demo's batches, and alignments of the same
utterances. ``torchaudio.functional.forced_align`` gets the CTC log-probabilities that
our CTC alignment starts from. ``align_lattice.py`` times the lattice alone at the size
of the experiments, ``align_floor.py`` what the processor can do at its best. Memory is
the growth of a fresh process, without the output layer itself.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

REPOSITORY = Path(__file__).resolve().parents[1]
if str(REPOSITORY) not in sys.path:  # started as a script
    sys.path.insert(0, str(REPOSITORY))

from espnet_ext.analysis.provenance import environment, hardware  # noqa: E402
from espnet_ext.errors import run_main  # noqa: E402
from espnet_ext.files import atomic_write  # noqa: E402

DEMO = REPOSITORY / "egs2" / "swbd_repro"
EXPERIMENT = Path("exp") / "asr_train_demo_raw_en_bpe150_sp"
RATE, VOCABULARY = 8000, 150
TRAIN_SAMPLES = 80_000  # of a batch, as train_demo.yaml has it
LABELS_PER_S = 5.0
LENGTHS_S = (0.7, 6.0)
VOCABULARIES = (1024, 4096, 16384)
LATTICE = (8, 100, 30)  # batch, frames, labels of the measurement of memory
READOUT = 1000


def make_speech(count: int, seed: int = 1):
    """Utterances of noise with random labels."""
    import numpy as np

    from espnet_ext.alignment.batches import Utterance

    generator = np.random.default_rng(seed)
    made = []
    for number in range(count):
        seconds = generator.uniform(*LENGTHS_S)
        samples = generator.standard_normal(int(seconds * RATE), dtype=np.float32)
        labels = generator.integers(2, VOCABULARY - 1, int(seconds * LABELS_PER_S))
        made.append(Utterance(f"{number:05d}", 0.1 * samples, labels))
    return made


def make_model():
    """The demo's model as it is after the epochs of CTC alone."""
    import torch

    from espnet_ext.register import register
    from espnet_ext.tasks.asr import TransducerTask

    register()
    config = str(REPOSITORY / "conf" / "train_demo.yaml")
    args = TransducerTask.get_parser().parse_args(["--config", config])
    args.token_list = ["<blank>", "<unk>", *map(str, range(2, VOCABULARY))]
    args.normalize, args.normalize_conf = "utterance_mvn", {}
    torch.manual_seed(1)
    model = TransducerTask.build_model(args)
    model.set_epoch(100)
    return model


def batched(utterances, samples: int):
    """Batches of similar length."""
    from espnet_ext.alignment.batches import batches

    by_id = {u.id: {"speech": u.speech, "text": u.labels} for u in utterances}
    return list(batches(by_id, by_id.__getitem__, samples, {}))


def training_pass(model, utterances) -> float:
    """Seconds for losses, gradients and updates over all utterances."""
    import torch

    from espnet_ext.alignment.batches import collate

    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    groups = [collate(group) for group in batched(utterances, TRAIN_SAMPLES)]
    start = time.perf_counter()
    for batch in groups:
        loss, _, _ = model(
            *(batch.speech, batch.speech_lengths, batch.text, batch.text_lengths)
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    return time.perf_counter() - start


def alignment(model, utterances, output: str, method: str, frames_only=False) -> float:
    """Seconds for the alignments of all utterances, from waveforms to paths."""
    import torch

    from espnet_ext.alignment.batches import collate
    from espnet_ext.alignment.outputs import get_output
    from espnet_ext.alignment.run import BATCH_SAMPLES, Aligner, align_all
    from espnet_ext.alignment.store import AlignmentInfo

    chosen = get_output(model.eval(), output)
    info = AlignmentInfo(chosen.topology, (), 0.04, method=method)
    by_id = {u.id: {"speech": u.speech, "text": u.labels} for u in utterances}
    start = time.perf_counter()
    if frames_only:
        with torch.no_grad():
            for group in batched(utterances, BATCH_SAMPLES):
                batch = collate(group)
                chosen.frames(batch.speech, batch.speech_lengths)
    else:
        made = align_all(Aligner(chosen, info), by_id, by_id.__getitem__)
        assert len(made.aligned) == len(utterances), made.failed
    return time.perf_counter() - start


def ctc_peers(utterances, vocabulary: int) -> Dict[str, float]:
    """Seconds of our CTC paths and of torchaudio's, from the same log-probabilities."""
    import torch
    import torchaudio

    from espnet_ext.alignment.aligner import align_batch
    from espnet_ext.alignment.batches import collate
    from espnet_ext.alignment.run import BATCH_SAMPLES
    from espnet_ext.alignment.scores import frame_arcs

    generator = torch.Generator().manual_seed(2)
    groups = batched(utterances, BATCH_SAMPLES)
    ours = theirs = 0.0
    equal = total = 0
    for group in groups:
        batch = collate(group)
        frames_B = batch.speech_lengths // 320
        size = (len(group), int(frames_B.max()), vocabulary)
        log_probs = torch.randn(size, generator=generator).log_softmax(-1)
        labels = batch.text.clamp(min=1)
        start = time.perf_counter()
        arcs = frame_arcs(
            log_probs, lambda x: x, vocabulary, labels, batch.text_lengths, "ctc"
        )
        made = align_batch(arcs, labels, frames_B, batch.text_lengths, "ctc").aligned
        ours += time.perf_counter() - start
        start = time.perf_counter()
        for b, entry in enumerate(made):
            path, _ = torchaudio.functional.forced_align(
                log_probs[b : b + 1, : int(frames_B[b])],
                labels[b : b + 1, : int(batch.text_lengths[b])],
                blank=0,
            )
            total += path.numel()
            equal += int((path[0] == torch.from_numpy(entry.symbols)).sum())
        theirs += time.perf_counter() - start
    return {"ours": ours, "torchaudio": theirs, "same_frames": equal / total}


def measure_memory(vocabulary: int) -> Dict[str, float]:
    """Megabytes that aligning a batch adds to a process, after a tiny one."""
    import torch

    from espnet_ext.alignment.aligner import align_batch
    from espnet_ext.alignment.scores import tile_nodes
    from espnet_ext.asr.loss import FusedJointLoss

    def run(lattice: Sequence[int], weight) -> float:
        batch, frames, labels = lattice
        am = torch.randn(batch, frames, READOUT)
        lm = torch.randn(batch, labels + 1, READOUT)
        bias = torch.zeros(len(weight))
        gate = torch.randn(1, READOUT // 2), torch.zeros(1)
        joint = FusedJointLoss(am, lm, weight, bias, *gate)
        joint.tile_nodes = tile_nodes(joint.vocabulary)
        text = torch.randint(1, len(weight), (batch, labels))
        lengths = torch.full((batch,), frames), torch.full((batch,), labels)
        start = time.perf_counter()
        arcs = joint.arc_scores(text, *lengths)
        assert None not in align_batch(arcs, text, *lengths).aligned
        return time.perf_counter() - start

    torch.manual_seed(1)
    weight = 0.05 * torch.randn(vocabulary - 1, READOUT // 2)
    run((1, 4, 2), weight)
    # imports need more than the measurement: the peak is forgotten first (Linux)
    Path("/proc/self/clear_refs").write_text("5")
    before = status_kb("VmRSS")
    seconds = run(LATTICE, weight)
    grown = status_kb("VmHWM") - before
    return {"megabytes": grown / 1024, "seconds": seconds}


def status_kb(name: str) -> int:
    """A number of this process that Linux keeps, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith(f"{name}:"))


def memory_of(vocabulary: int) -> Dict[str, float]:
    """``measure_memory`` in a fresh process."""
    command = [sys.executable, __file__, "--memory", str(vocabulary)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(count: int, repeats: int) -> List[Dict[str, Any]]:
    """All rows; of repeated measurements the fastest."""

    def best(call: Callable[[], float]) -> float:
        return min(call() for _ in range(repeats))

    utterances, model = make_speech(count), make_model()
    training_pass(model, utterances[:8])  # loads libraries
    train_s = best(lambda: training_pass(model, utterances))
    rows = [{"what": "training pass", "seconds": train_s}]

    def add(what: str, seconds: float) -> None:
        rows.append({"what": what, "seconds": seconds, "faster": train_s / seconds})

    encoder = best(lambda: alignment(model, utterances, "transducer", "exact", True))
    add("encoder alone", encoder)
    for output in ("transducer", "ctc"):
        for method in ("exact", "sum_alpha", "posterior"):
            seconds = best(lambda: alignment(model, utterances, output, method))
            add(f"{output}, {method}", seconds)
    peers = [ctc_peers(utterances, VOCABULARY) for _ in range(repeats)]
    for name in ("ours", "torchaudio"):
        seconds = min(peer[name] for peer in peers)
        rows.append({"what": f"CTC paths alone, {name}", "seconds": seconds})
    ratio = rows[-1]["seconds"] / rows[-2]["seconds"]
    rows.append(
        {"what": "torchaudio / ours", "ratio": ratio, "same": peers[0]["same_frames"]}
    )
    for vocabulary in VOCABULARIES:
        rows.append({"what": f"memory, V = {vocabulary}", **memory_of(vocabulary)})
    return rows


def run(arguments: Optional[Sequence[str]] = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to write settings and rows")
    parser.add_argument("--utterances", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of training and of alignment")
    parser.add_argument("--exp", type=Path, help="folder of a trained experiment")
    parser.add_argument("--data_dir", type=Path, help="with wav.scp and text")
    parser.add_argument(
        "--iterations", type=int, help="batches of the real training pass; all"
    )
    parser.add_argument(
        "--batch_samples", type=int, nargs="*", default=[], help="sizes to try"
    )
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.memory:
        print(json.dumps(measure_memory(args.memory)))
        return 0
    if (args.exp is None) != (args.data_dir is None):
        parser.error("--exp and --data_dir belong together")
    if args.exp is None and (DEMO / EXPERIMENT / "config.yaml").is_file():
        args.exp, args.data_dir = DEMO / EXPERIMENT, DEMO / "dump" / "raw" / "train_sp"
    import torch

    torch.set_flush_denormal(True)
    if args.threads:
        torch.set_num_threads(args.threads)
    rows = []
    if args.exp:
        from benchmarks.align_trained import Trained, measure_trained

        rows = measure_trained(
            Trained.of(args.exp, args.data_dir),
            *(torch.get_num_threads(), args.iterations, args.batch_samples),
            args.repeats,
        )
    rows += measure(args.utterances, args.repeats)
    from benchmarks.align_floor import measure_products
    from benchmarks.align_lattice import measure_lattices

    rows += measure_lattices(args.repeats) + measure_products()
    for row in rows:
        numbers = [f"{k} {v:.4g}" for k, v in row.items() if k != "what"]
        print(f"{row['what']:36} {', '.join(numbers)}")
    settings = {
        "utterances": args.utterances,
        "repeats": args.repeats,
        "iterations": args.iterations,
        "threads": torch.get_num_threads(),
        "hardware": hardware(),
        **environment(),
    }
    if args.json:
        with atomic_write(args.json) as file:
            json.dump({"settings": settings, "rows": rows}, file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(run_main(run))
