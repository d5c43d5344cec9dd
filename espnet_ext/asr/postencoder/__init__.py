"""Layers between encoder and decoder."""
