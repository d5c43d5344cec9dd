"""Feature extraction: ESPnet frontend plugins."""
