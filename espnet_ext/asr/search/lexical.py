"""Batched time-synchronous beam search through the prefix tree of a lexicon.

Each frame an entry stays where it is (blank, and with ``label_loop`` its last label
once more) or takes an arc of its tree node, which is one label and may end a word. The
score of an entry is

    log sum (or max) of p(path) over the merged paths
        + sum over its words of weight * log p(word | words before) + penalty

and is final where the entry is at a word end; a sentence ends nowhere else. Paths are
merged that nothing can tell apart later: same label context of the decoder, same tree
node, and same words so far (exact for each word sequence), or same state of the
language model (smaller beams, the words of the best path are kept; with ``max`` still
the exact best path). With ``sum`` every pronunciation of a word sequence counts.

On a CPU the result of a sequence has the same bits whatever else is in the batch.

Ref: Ney and Ortmanns 2000, Progress in dynamic programming search for LVCSR.
"""

# Dimensions: B batch, n sequences that have not ended, K hypotheses, N = n K rows,
#             M arcs of a node, A = M + 2 actions, C = K A candidates, T frames,
#             R what the decoder takes of a frame, V vocabulary with blank
from typing import List, NamedTuple, Tuple, Union

import numpy as np
import torch

from espnet_ext.asr.search.beam import Steps
from espnet_ext.asr.search.interface import SearchDecoder, State, check_bos, map_state
from espnet_ext.asr.search.label_scorer import FusedScores
from espnet_ext.asr.search.prefix_tree import NO_WORD, ROOT, PrefixTree
from espnet_ext.asr.search.recombination import DEAD, merge_equal
from espnet_ext.asr.search.seen_labels import SeenLabels
from espnet_ext.asr.search.surface import MIX, extend_keys
from espnet_ext.asr.search.word_entries import (
    FIRST_ARC,
    REPEAT,
    STAY,
    WordEntry,
    word_entries,
)
from espnet_ext.asr.search.word_lm import ArcScores, WordLm

RECOMBINATIONS = ("sum", "max")
KEYS = ("words", "lm_state")


class LexicalBeam(NamedTuple):
    """The hypotheses of all sequences; tensors [n, K] (contexts [n, K, C])."""

    scores: torch.Tensor
    future: torch.Tensor  # look-ahead
    nodes: torch.Tensor
    lm_states: torch.Tensor
    word_keys: torch.Tensor
    contexts: torch.Tensor
    last: torch.Tensor  # the label that may be repeated, 0 for none
    decoder: State
    scorers: State


class LexicalSearch:
    """Beam search over words.

    Args:
        decoder: See SearchDecoder. ``label_context`` of it says how many labels its
            outputs depend on (absent: all).
        tree: The lexicon.
        lm: Language model of the tree's words.
        beam_size: K, number of hypotheses kept in each frame.
        lm_weight, word_penalty: See above; the penalty is a reward for each word.
        recombination: ``sum`` or ``max`` of the paths that are merged.
        recombine_by: ``words`` or ``lm_state``.
        look_ahead: ``full``, ``unigram`` or ``none``, see word_lm.
        sentence_end: Add the score of the sentence end after the last frame.
        label_loop: CTC: a label may last several frames, and equal labels after one
            another need a blank between them.
        bos: See TimeSyncSearch.
        scorers: Language models of labels with weights, see FusedScores.

    Raises:
        ValueError: An option has a wrong value.
    """

    def __init__(
        self,
        decoder: SearchDecoder,
        tree: PrefixTree,
        lm: WordLm,
        beam_size: int = 12,
        *,
        lm_weight: float = 1.0,
        word_penalty: float = 0.0,
        recombination: str = "sum",
        recombine_by: str = "words",
        look_ahead: str = "full",
        sentence_end: bool = True,
        label_loop: bool = False,
        bos: Union[str, int] = "run",
        scorers=(),
    ):
        if beam_size < 1:
            raise ValueError(f"beam_size {beam_size}: expected at least 1")
        for name, value, known in (
            ("recombination", recombination, RECOMBINATIONS),
            ("recombine_by", recombine_by, KEYS),
        ):
            if value not in known:
                raise ValueError(
                    f"{name} {value!r} of a search over words: expected one of {known}"
                )
        check_bos(bos, decoder.vocab_size)
        self.decoder, self.tree, self.lm = decoder, tree, lm
        self.beam_size = beam_size
        self.rule, self.by_words = recombination, recombine_by == "words"
        self.end_weight = lm_weight if sentence_end else 0.0
        self.label_loop, self.bos = label_loop, bos
        self.fused = FusedScores(scorers, decoder.blank_id)
        seen = getattr(decoder, "label_context", None)
        # language models of labels look at all of them
        self.context = SeenLabels(None if self.fused.scorers else seen)
        self.arc_scores = ArcScores(tree, lm, lm_weight, word_penalty, look_ahead)
        self.first_N1, self.label_A, self.to_A, self.word_A = (
            torch.from_numpy(x)
            for x in (tree.first_N1, tree.label_A, tree.to_A, tree.word_A)
        )

    @torch.no_grad()
    def __call__(
        self, am_BTR: torch.Tensor, lengths_B: torch.Tensor
    ) -> List[List[WordEntry]]:
        """Search through frames [B, T, R] of which lengths [B] are valid.

        Returns:
            For each sequence entries of different words, best first, at most K and at
            least one.
        """
        order = torch.argsort(lengths_B.cpu(), descending=True, stable=True)
        lengths = lengths_B.cpu()[order].tolist()
        device = am_BTR.device
        self._move(device)
        am_BTR = am_BTR.index_select(0, order.to(device))
        beam = self._start(len(lengths), device)
        steps = Steps(len(lengths), self.beam_size, lengths)
        final = [x.clone() for x in beam[:5]]
        running = len(lengths)
        for t in range(max(lengths, default=0)):
            while lengths[running - 1] <= t:
                running -= 1
            rows = running * self.beam_size
            states = (map_state(x, lambda y: y[:rows]) for x in beam[7:])
            beam = LexicalBeam(*(x[:running] for x in beam[:7]), *states)
            ends_n = torch.tensor([length == t + 1 for length in lengths[:running]])
            beam, origins_nK, codes_nK = self._frame(
                beam, am_BTR[:running, t], ends_n.to(device)
            )
            steps.add(origins_nK, codes_nK)
            for whole, part in zip(final, beam):
                whole[:running] = part
        scores, _, nodes, lm_states, word_keys = (x.cpu() for x in final)
        scores = scores + self._sentence_ends(lm_states)
        entries = word_entries(
            self.tree, steps.paths(), scores, nodes, word_keys, self.rule
        )
        return [entries[i] for i in torch.argsort(order).tolist()]

    def _move(self, device) -> None:
        for name in ("first_N1", "label_A", "to_A", "word_A"):
            setattr(self, name, getattr(self, name).to(device))

    def _start(self, batch: int, device) -> LexicalBeam:
        shape = batch, self.beam_size
        scores = torch.full(shape, DEAD, dtype=torch.float64, device=device)
        scores[:, 0] = 0.0
        zeros = torch.zeros(shape, dtype=torch.long, device=device)
        rows = batch * self.beam_size
        return LexicalBeam(
            scores,
            torch.zeros_like(scores),
            zeros + ROOT,
            zeros + self.lm.start(),
            zeros,
            self.context.start(*shape, device),
            zeros,
            self.decoder.search_start(rows, self.bos),
            self.fused.start(rows),
        )

    def _sentence_ends(self, lm_states_BK: torch.Tensor) -> torch.Tensor:
        states, place = lm_states_BK.unique(return_inverse=True)
        if not self.end_weight:
            return torch.zeros(lm_states_BK.shape, dtype=torch.float64)
        ends = [self.end_weight * self.lm.end(state) for state in states.tolist()]
        return torch.tensor(ends, dtype=torch.float64)[place]

    def _frame(
        self, beam: LexicalBeam, frames_nR, ends_n
    ) -> Tuple[LexicalBeam, torch.Tensor, torch.Tensor]:
        """One frame; also the origins [n, K] and the codes of what was done."""
        acoustic, decoder_state = self.decoder.search_scores(frames_nR, beam.decoder)
        fused = self.fused.add(acoustic, beam.scorers)
        n, size = beam.scores.shape
        again_nK1 = acoustic.view(n, size, -1).gather(2, beam.last.unsqueeze(2))
        log_probs_nKV = fused.view(n, size, -1).double()
        candidates = self._candidates(beam, log_probs_nKV, again_nK1.double())
        merged_nC = merge_equal(
            candidates.keys.flatten(1), candidates.scores.flatten(1), self.rule
        )
        rank_nC = merged_nC + candidates.future.flatten(1)
        # in the last frame only what is at a word end counts, if anything is
        whole_nC = (candidates.nodes.flatten(1) == ROOT) & (merged_nC > DEAD)
        only_n1 = (whole_nC.any(dim=1) & ends_n).unsqueeze(1)
        rank_nC = torch.where(only_n1 & ~whole_nC, DEAD, rank_nC)
        value_nK, chosen_nK = rank_nC.topk(size, dim=1)
        actions = candidates.keys.size(2)
        origins_nK = torch.div(chosen_nK, actions, rounding_mode="floor")

        def chosen(x):
            return x.flatten(1).gather(1, chosen_nK)

        codes_nK, labels_nK = chosen(candidates.codes), chosen(candidates.labels)
        words_nK = chosen(candidates.words)
        scores_nK = torch.where(value_nK > DEAD, chosen(merged_nC), DEAD)
        first_row = torch.arange(n, device=origins_nK.device).unsqueeze(1) * size
        rows_N = (origins_nK + first_row).flatten()
        contexts = beam.contexts.flatten(0, 1)[rows_N].view_as(beam.contexts)
        takes_arc = codes_nK >= FIRST_ARC
        longer = self.context.extend(contexts, labels_nK)
        contexts = torch.where(takes_arc.unsqueeze(2), longer, contexts)
        last_nK = torch.where(codes_nK == STAY, 0, labels_nK)
        symbols_N = torch.where(takes_arc, labels_nK, self.decoder.blank_id).flatten()
        lm_states = self._advance_lm(beam.lm_states.gather(1, origins_nK), words_nK)
        word_keys = beam.word_keys.gather(1, origins_nK)
        longer = extend_keys(word_keys, words_nK.clamp(min=0))
        after = LexicalBeam(
            scores_nK,
            chosen(candidates.future),
            chosen(candidates.nodes),
            lm_states,
            torch.where(words_nK == NO_WORD, word_keys, longer),
            contexts,
            last_nK if self.label_loop else torch.zeros_like(last_nK),
            self.decoder.search_advance(decoder_state, rows_N, symbols_N),
            self.fused.advance(beam.scorers, rows_N, symbols_N),
        )
        return after, origins_nK, codes_nK

    def _candidates(self, beam: LexicalBeam, log_probs_nKV, again) -> "_Candidates":
        n, size = beam.scores.shape
        places_M = torch.arange(self.tree.most_arcs, device=beam.scores.device)
        arcs_nKM = self.first_N1[beam.nodes].unsqueeze(2) + places_M
        exists = arcs_nKM < self.first_N1[beam.nodes + 1].unsqueeze(2)
        arcs_nKM = torch.where(exists, arcs_nKM, 0)
        labels_nKM, words_nKM = self.label_A[arcs_nKM], self.word_A[arcs_nKM]
        last_nK1 = beam.last.unsqueeze(2)
        if self.label_loop:
            exists &= labels_nKM != last_nK1
        rows_nK1 = self.arc_scores.rows(beam.lm_states).unsqueeze(2)
        language = self.arc_scores.table_UA[rows_nK1, arcs_nKM].double()
        ends_word = words_nKM != NO_WORD
        scores = beam.scores.unsqueeze(2)
        arcs = scores + log_probs_nKV.gather(2, labels_nKM)
        arcs = torch.where(exists, arcs + torch.where(ends_word, language, 0.0), DEAD)
        blank = self.decoder.blank_id
        stay = scores + log_probs_nKV[:, :, blank : blank + 1]
        # the label goes on: language models have had it already
        repeat = torch.where(last_nK1 > 0, scores + again, DEAD)
        keys = self._keys(beam, arcs_nKM, labels_nKM, words_nKM)

        def of_both(old_nK, new_nKM):
            """Of blank, of the last label once more, and of the arcs."""
            old = old_nK.unsqueeze(2)
            return torch.cat([old, old, new_nKM], dim=2)

        stays = torch.full_like(last_nK1, STAY)
        repeats = torch.full_like(last_nK1, REPEAT)
        return _Candidates(
            torch.cat([stay, repeat, arcs], dim=2),
            of_both(beam.future, torch.where(ends_word, 0.0, language)),
            of_both(beam.nodes, self.to_A[arcs_nKM]),
            torch.cat([stays, repeats, arcs_nKM + FIRST_ARC], dim=2),
            of_both(beam.last, labels_nKM),
            of_both(torch.full_like(beam.nodes, NO_WORD), words_nKM),
            keys,
        )

    def _keys(self, beam: LexicalBeam, arcs, labels, words) -> torch.Tensor:
        """A number [n, K, A] for all that later scores depend on."""
        ends_word = words != NO_WORD
        if self.by_words:
            old_nK = beam.word_keys
            longer = extend_keys(old_nK.unsqueeze(2), words.clamp(min=0))
            history = torch.where(ends_word, longer, old_nK.unsqueeze(2))
        else:
            old_nK = beam.lm_states
            states = old_nK.unsqueeze(2).expand_as(words)
            history = self._advance_lm(states, words)
        contexts = beam.contexts.unsqueeze(2).expand(-1, -1, labels.size(2), -1)
        contexts = self.context.keys(self.context.extend(contexts, labels))
        last = labels if self.label_loop else torch.zeros_like(labels)
        new = _key(contexts, self.to_A[arcs], last, history)
        same = self.context.keys(beam.contexts), beam.nodes
        stay = _key(*same, torch.zeros_like(beam.last), old_nK)
        repeat = _key(*same, beam.last, old_nK)
        return torch.cat([stay.unsqueeze(2), repeat.unsqueeze(2), new], dim=2)

    def _advance_lm(self, states: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """States after words; the same where there is none."""
        before = states.cpu().numpy().flatten()
        words_X = words.cpu().numpy().flatten()
        place = np.flatnonzero(words_X != NO_WORD)
        after = before.copy()
        if len(place):
            after[place] = self.lm.advance(before[place], words_X[place])
        return torch.from_numpy(after).view(states.shape).to(states.device)


class _Candidates(NamedTuple):
    """What every entry can do in a frame, [n, K, A]: blank, last label, arcs."""

    scores: torch.Tensor
    future: torch.Tensor
    nodes: torch.Tensor
    codes: torch.Tensor
    labels: torch.Tensor
    words: torch.Tensor
    keys: torch.Tensor


def _key(contexts, nodes, last, history) -> torch.Tensor:
    key = extend_keys(extend_keys(contexts, nodes), last)
    # a product keeps (context, history) apart from (history, context)
    return key * MIX + extend_keys(history, torch.zeros_like(history))
