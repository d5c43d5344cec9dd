"""Joint networks: encoder frame and label context to symbol probabilities."""
