"""Scoring, significance and reports; imports neither torch nor ESPnet."""

from espnet_ext.analysis.score import score_experiment, score_set

__all__ = ["score_experiment", "score_set"]
