"""Scoring, significance and reports; imports neither torch nor ESPnet."""




