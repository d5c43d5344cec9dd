"""Model plugins for ESPnet2's ASR task."""
