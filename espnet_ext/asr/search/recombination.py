"""Merging of hypotheses that are the same, for all sequences of a batch at once.

``merge_arcs``: entries are distinct label sequences, and the paths of one meet where
the entry y stays with blank and the entry y' with y = y' k emits k. Both arcs become
one before the beam is cut, so nothing is lost, and entries stay distinct.

``merge_groups``: entries with the same key are merged before they are expanded, as in
the search of 2020; the best of a group gets the group's score, the others die.

``merge_equal``: the same for any number of candidates, by sorting.
"""

# Dimensions: B (n) batch, K (i, j) hypotheses, C candidates, V vocabulary with blank
from typing import NamedTuple

import torch

DEAD = float("-inf")


def log_add(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """log(e^a + e^b); same bits anywhere in an array, unlike torch.logaddexp."""
    larger, smaller = torch.maximum(a, b), torch.minimum(a, b)
    finite = larger > DEAD
    difference = torch.where(finite, smaller - larger, 0.0)
    return torch.where(finite, larger + difference.exp().log1p(), DEAD)


class MergedArcs(NamedTuple):
    """What ``merge_arcs`` found, each [B, K]; j is the entry that stays.

    Attributes:
        found: Whether there is an entry that extends into j.
        source: That entry.
        score: Score of the merged arc.
        extends_better: Whether the arc from ``source`` is the better one.
    """

    found: torch.Tensor
    source: torch.Tensor
    score: torch.Tensor
    extends_better: torch.Tensor


def merge_arcs(
    keys_BK, parent_keys_BK, labels_BK, scores_BK, log_probs_BKV, blank: int, rule: str
) -> MergedArcs:
    """Find and score the arcs that meet.

    Args:
        keys_BK: Of the label sequences.
        parent_keys_BK: Of the sequences without their last label.
        labels_BK: Last labels.
        scores_BK: Scores of the entries, -inf of empty places.
        log_probs_BKV: Of the next symbol.
        blank: Its id.
        rule: ``sum`` or ``max``.
    """
    alive_BK = scores_BK > DEAD
    same_Bji = parent_keys_BK.unsqueeze(2) == keys_BK.unsqueeze(1)
    same_Bji &= alive_BK.unsqueeze(1) & alive_BK.unsqueeze(2)
    found, source = same_Bji.to(torch.uint8).max(dim=2)
    found = found > 0
    vocabulary = log_probs_BKV.size(2)
    stay = scores_BK + log_probs_BKV[:, :, blank]
    arcs_BK = source * vocabulary + labels_BK
    extend = scores_BK.gather(1, source)
    extend = extend + log_probs_BKV.flatten(1).gather(1, arcs_BK)
    extend = torch.where(found, extend, DEAD)
    score = log_add(stay, extend) if rule == "sum" else torch.maximum(stay, extend)
    return MergedArcs(found, source, score, extend > stay)


def merge_groups(
    keys_BK: torch.Tensor, scores_BK: torch.Tensor, rule: str
) -> torch.Tensor:
    """Scores [B, K] after merging the entries of each key; -inf for the merged ones.

    Of equal scores the first one survives.
    """
    alive_BK = scores_BK > DEAD
    same_Bji = keys_BK.unsqueeze(2) == keys_BK.unsqueeze(1)
    same_Bji &= alive_BK.unsqueeze(1) & alive_BK.unsqueeze(2)
    size = keys_BK.size(1)
    mine_Bj1, others_B1i = scores_BK.unsqueeze(2), scores_BK.unsqueeze(1)
    place_K = torch.arange(size, device=keys_BK.device)
    earlier_ji = place_K.unsqueeze(0) < place_K.unsqueeze(1)
    better_Bji = (others_B1i > mine_Bj1) | ((others_B1i == mine_Bj1) & earlier_ji)
    survives_BK = alive_BK & ~(same_Bji & better_Bji).any(dim=2)
    if rule == "sum":
        # relative to the survivor, which is the largest of its group
        parts = torch.where(same_Bji, others_B1i - mine_Bj1, DEAD)
        total = torch.where(survives_BK.unsqueeze(2), parts, DEAD).exp().sum(dim=2)
        scores_BK = scores_BK + torch.where(survives_BK, total, 1.0).log()
    return torch.where(survives_BK, scores_BK, DEAD)


def merge_equal(
    keys_nC: torch.Tensor, scores_nC: torch.Tensor, rule: str
) -> torch.Tensor:
    """Scores after merging candidates of one key: the best one gets them, others die.

    Args:
        keys_nC: Candidates with the same key are the same.
        scores_nC: -inf for those that do not exist.
        rule: ``sum`` or ``max``. The first of equal scores is the best.
    """
    by_score = scores_nC.argsort(dim=1, descending=True, stable=True)
    by_key = keys_nC.gather(1, by_score).argsort(dim=1, stable=True)
    order = by_score.gather(1, by_key)
    keys, scores = keys_nC.gather(1, order), scores_nC.gather(1, order)
    begins = torch.ones_like(keys, dtype=torch.bool)
    begins[:, 1:] = keys[:, 1:] != keys[:, :-1]
    merged = torch.where(begins, scores, DEAD)
    if rule == "sum":
        group = begins.long().cumsum(1) - 1
        best = torch.full_like(scores, DEAD)
        best = best.scatter(1, torch.where(begins, group, scores.size(1) - 1), merged)
        best = best.gather(1, group)
        parts = torch.where(scores > DEAD, scores - best, DEAD).exp()
        total = torch.zeros_like(scores).scatter_add(1, group, parts).gather(1, group)
        merged = torch.where(merged > DEAD, merged + total.log(), DEAD)
    return torch.empty_like(merged).scatter(1, order, merged)
