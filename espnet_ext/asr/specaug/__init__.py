"""Augmentation of features during training."""
