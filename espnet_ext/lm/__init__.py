"""Language models: n-grams in plain numpy."""
