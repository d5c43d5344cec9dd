"""Aligns the utterances of a data set with a trained model."""

# Dimensions: B batch, L labels
import contextlib
import time
from typing import (
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
)

import numpy as np
import torch

from espnet_ext.alignment.aligner import Soft, align_batch
from espnet_ext.alignment.batches import Load, Utterance, batches, collate
from espnet_ext.alignment.outputs import Output
from espnet_ext.alignment.prior import PriorSum
from espnet_ext.alignment.store import Aligned, AlignmentInfo, AlignmentSet
from espnet_ext.errors import OptionError, UserError
from espnet_ext.layers.corpus_mvn import utterances_are

BATCH_SAMPLES = 1_280_000  # 160 s of telephone speech
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SoftSink = Callable[[str, Soft], None]
Seconds = Dict[str, float]  # by part of the work
READING, ENCODER, LATTICE, WRITING = "reading", "encoder", "lattice", "writing"


@contextlib.contextmanager
def spent(seconds: Optional[Seconds], part: str) -> Iterator[None]:
    """Add the time inside to a part; on a GPU, which works behind, it is a guess."""
    start = time.perf_counter()
    yield
    if seconds is not None:
        seconds[part] = seconds.get(part, 0.0) + time.perf_counter() - start


def check_dtype(name: str) -> torch.dtype:
    """The type of this name.

    Raises:
        OptionError: An encoder is not computed in it.
    """
    if name not in DTYPES:
        raise OptionError(
            f"{name!r} is no type that an encoder is computed in",
            where="--dtype",
            expected=", ".join(DTYPES),
        )
    return DTYPES[name]


class Aligner(NamedTuple):
    """What aligns: an output of a model, and how.

    Attributes:
        output: Of ``outputs.py``; its model is in evaluation mode.
        info: How the alignments are made; its topology, method and dtype count.
        log_prior_C: Scaled log prior, or None.
        device: Where to compute.
        seconds: Gets what was spent on reading, encoder and lattice.
    """

    output: Output
    info: AlignmentInfo
    log_prior_C: Optional[torch.Tensor] = None
    device: str = "cpu"
    seconds: Optional[Seconds] = None

    @torch.inference_mode()
    def batch(
        self, utterances: Sequence[Utterance], soft: Optional[SoftSink] = None
    ) -> List[Optional[Aligned]]:
        """Alignments of a batch; None where there is none."""
        batch = collate(utterances)
        spending = spent(self.seconds, ENCODER)
        with utterances_are(self.output.model, batch.ids), spending, self._computing():
            frames, lengths_B = self.output.frames(
                batch.speech.to(self.device), batch.speech_lengths.to(self.device)
            )
            frames = frames.float()
        labels_BL = batch.text.clamp(min=0).to(self.device)
        label_lens_B = batch.text_lengths.to(self.device)
        lengths_B = lengths_B.to(self.device)
        with spent(self.seconds, LATTICE):
            arcs = self.output.arcs(
                *(frames, labels_BL, label_lens_B, lengths_B),
                *(self.info.topology, self.log_prior_C),
            )
            result = align_batch(
                *(arcs, labels_BL, lengths_B, label_lens_B),
                *(self.info.topology, self.info.blank, self.info.method),
                soft is not None,
            )
        for key, posteriors in zip(batch.ids, result.soft):
            if soft is not None and posteriors is not None:
                soft(key, posteriors)
        return result.aligned

    def _computing(self) -> torch.autocast:
        """The encoder's matrix products and LSTMs in the chosen type; its features, its
        softmaxes and norms, and the lattice stay in float32.
        """
        chosen = check_dtype(self.info.dtype)
        kind = torch.device(self.device).type
        return torch.autocast(kind, chosen, enabled=chosen != torch.float32)


def align_all(
    aligner: Aligner,
    ids: Iterable[str],
    load: Load,
    batch_samples: int = BATCH_SAMPLES,
    soft: Optional[SoftSink] = None,
    progress: Callable[[int], None] = lambda done: None,
) -> AlignmentSet:
    """Align all utterances; each is in the result, or has a reason why it is not.

    Args:
        aligner: The model's output.
        ids: Utterance ids.
        load: ``speech`` and ``text`` (token ids) of an utterance.
        batch_samples: Padded samples of a batch.
        soft: Called with the posteriors of each utterance.
        progress: Called with the number of utterances done.
    """
    made = AlignmentSet(aligner.info)
    done = 0

    def timed_load(key: str) -> Dict[str, np.ndarray]:
        with spent(aligner.seconds, READING):
            return load(key)

    for group in batches(ids, timed_load, batch_samples, made.failed):
        for part in _attempts(aligner, group, soft, made):
            _file(part, made)
        done += len(group)
        progress(done)
    made.aligned = dict(sorted(made.aligned.items()))
    return made


class _Part(NamedTuple):
    utterances: Sequence[Utterance]
    results: List[Optional[Aligned]]


def _attempts(aligner: Aligner, group: Sequence[Utterance], soft, made: AlignmentSet):
    """The whole batch; if that fails, one utterance after the other."""
    try:
        return [_Part(group, aligner.batch(group, soft))]
    except UserError:  # a wrong option is the same for all
        raise
    except Exception:  # out of memory, or an utterance that the model cannot take
        pass
    parts = []
    for utterance in group:
        try:
            parts.append(_Part([utterance], aligner.batch([utterance], soft)))
        except UserError:
            raise
        except Exception as error:  # named by id, so that it is never silent
            reason = str(error).splitlines()[0] if str(error) else ""
            made.failed[utterance.id] = f"{type(error).__name__}: {reason}"
    return parts


def _file(part: _Part, made: AlignmentSet) -> None:
    for utterance, aligned in zip(part.utterances, part.results):
        if aligned is None:
            made.failed[utterance.id] = (
                f"no {made.info.topology} alignment: {len(utterance.labels)} labels "
                f"are too many for {len(utterance.speech)} samples"
            )
        elif not np.isfinite(aligned.score) or not np.isfinite(aligned.full_sum):
            made.failed[utterance.id] = f"its score is {aligned.score}"
        else:
            made.aligned[utterance.id] = aligned


def add_prior(
    output: Output,
    ids: Iterable[str],
    load: Load,
    device: str = "cpu",
    batch_samples: int = BATCH_SAMPLES,
    progress: Callable[[int], None] = lambda done: None,
) -> PriorSum:
    """Average the distribution of a CTC output over a data set.

    Raises:
        OptionError: The output is a transducer.
    """
    prior, done = PriorSum(output), 0
    failed: Dict[str, str] = {}
    for group in batches(ids, load, batch_samples, failed):
        batch = collate(group)
        with torch.no_grad(), utterances_are(output.model, batch.ids):
            frames = output.frames(
                batch.speech.to(device), batch.speech_lengths.to(device)
            )
        prior.add(*frames)
        done += len(group)
        progress(done)
    return prior
