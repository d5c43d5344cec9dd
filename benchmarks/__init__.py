"""Measurements that the documentation quotes; each script prints its settings."""
