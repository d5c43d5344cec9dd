"""Mean and variance normalisation with the statistics of each utterance's corpus.

    y = (x - mean of the corpus) / standard deviation of the corpus

Telephone calls and studio recordings, say, are brought to the same range although
neither is normalised by itself; unlike normalisation over the utterance it needs no
more of an utterance than the present frame, and unlike ESPnet's ``global_mvn`` no
corpus pays for the channel of another. With one corpus it is ``global_mvn``.

The original normalised each segment by itself (reference/data.md 2): ``utterance_mvn``
with ``norm_vars``.
"""

# Dimensions: B batch, T frames, F feature, N corpora
import contextlib
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple, Union

import torch
from espnet2.layers.abs_normalize import AbsNormalize

from espnet_ext.corpus_statistics import CorpusStatistics
from espnet_ext.errors import OptionError
from espnet_ext.names import nearest


class CorpusMVN(AbsNormalize):
    """Normalisation by corpus.

    Args:
        stats_file: ``corpus_stats.npz`` of stage 10.
        norm_means: Subtract the means.
        norm_vars: Divide by the standard deviations.
        eps: Least variance.

    Which corpus an utterance belongs to follows from its id, which ``utterances_are``
    or ``follow_utterances`` tell. Without an id it is ``Corpora.default``, in training
    an error; ``choose`` names one for all. The statistics are part of the checkpoint.

    Raises:
        FormatError: The file holds no statistics of corpora.
        OptionError: In ``forward``: an id belongs to no corpus, or training tells none.
    """

    def __init__(
        self,
        stats_file: Union[Path, str],
        norm_means: bool = True,
        norm_vars: bool = True,
        eps: float = 1.0e-20,
    ):
        super().__init__()
        statistics = CorpusStatistics.read(Path(stats_file))
        self.stats_file = str(stats_file)
        self.corpora = statistics.corpora
        self.subtracts, self.divides = norm_means, norm_vars
        mean_NF, std_NF = statistics.moments(eps)
        self.register_buffer("mean_NF", torch.from_numpy(mean_NF).float())
        self.register_buffer("std_NF", torch.from_numpy(std_NF).float())
        self.chosen: Optional[str] = None
        self.present: Optional[List[str]] = None  # ids of the utterances of a batch

    def extra_repr(self) -> str:
        """Shown by ``print(model)``."""
        return f"{self.corpora.text}, means={self.subtracts}, variances={self.divides}"

    def choose(self, corpus: str) -> None:
        """Take all utterances for some of this corpus, whatever their ids.

        Raises:
            OptionError: There is no such corpus.
        """
        if corpus not in self.corpora.names:
            near = nearest(corpus, self.corpora.names)
            raise OptionError(
                f"the model knows no corpus {corpus!r}",
                expected=", ".join(self.corpora.names),
                next_step=f"did you mean {near}?" if near else None,
            )
        self.chosen = corpus

    def _names(self, batch: int) -> List[str]:
        """Corpus of each utterance of the batch."""
        if self.chosen is not None:
            return [self.chosen] * batch
        if self.present is not None:
            if len(self.present) != batch:
                raise ValueError(f"{len(self.present)} ids of {batch} utterances")
            return [self.corpora.of(utterance_id) for utterance_id in self.present]
        if self.training and len(self.corpora.names) > 1:
            raise OptionError(
                "training has not told the ids of the utterances",
                where="normalize: corpus_mvn",
                expected="ids, from which the corpus of each follows",
                next_step="train with espnet_ext.bin.asr_train",
            )
        return [self.corpora.default] * batch

    def forward(
        self, x: torch.Tensor, ilens: Optional[torch.Tensor] = None
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Features [B, T, F] normalised, zero after the ends, and their lengths [B]."""
        batch, frames = x.shape[:2]
        if ilens is None:
            ilens = x.new_full((batch,), frames, dtype=torch.long)
        names = self.corpora.names
        rows = [names.index(name) for name in self._names(batch)]
        rows_B = torch.tensor(rows, dtype=torch.long, device=x.device)
        if self.subtracts:
            x = x - self.mean_NF.to(x)[rows_B].unsqueeze(1)
        if self.divides:
            x = x / self.std_NF.to(x)[rows_B].unsqueeze(1)
        frames_T = torch.arange(frames, device=x.device)
        padded_BT = frames_T >= ilens.to(x.device).unsqueeze(1)
        return x.masked_fill(padded_BT.unsqueeze(2), 0.0), ilens


def choose_corpus(model: torch.nn.Module, corpus: str) -> None:
    """``CorpusMVN.choose`` of a model's normalisation.

    Raises:
        OptionError: It does not normalise by corpus, or knows no such corpus.
    """
    if not isinstance(model.normalize, CorpusMVN):
        raise OptionError(
            f"corpus {corpus}: the model does not normalise by corpus",
            next_step="leave the corpus out",
        )
    model.normalize.choose(corpus)


@contextlib.contextmanager
def utterances_are(
    model: Optional[torch.nn.Module], utterance_ids: Optional[Sequence[str]]
) -> Iterator[None]:
    """Inside, batches of the model are these utterances; for other models nothing."""
    normalize = getattr(model, "normalize", None)
    if not isinstance(normalize, CorpusMVN):
        yield
        return
    before = normalize.present
    normalize.present = None if utterance_ids is None else list(utterance_ids)
    try:
        yield
    finally:
        normalize.present = before


def utterances_of(model: torch.nn.Module) -> Optional[List[str]]:
    """The ids that ``utterances_are`` has told, if any."""
    return getattr(getattr(model, "normalize", None), "present", None)


def follow_utterances(model: torch.nn.Module) -> None:
    """Let each ``forward`` of a model use the ids that it is called with (``utt_id``).

    Works for every model of ESPnet whose ``normalize`` is a CorpusMVN.
    """
    if not isinstance(getattr(model, "normalize", None), CorpusMVN):
        return

    model.register_forward_pre_hook(_begin, with_kwargs=True)
    model.register_forward_hook(_end, always_call=True)


def _begin(model, args, kwargs) -> None:
    model.normalize.present = kwargs.get("utt_id")


def _end(model, args, output) -> None:
    model.normalize.present = None
