"""Pipelines: trainings and alignments after one another, as data."""
