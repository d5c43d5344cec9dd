"""The training loop's edge to ESPnet."""
