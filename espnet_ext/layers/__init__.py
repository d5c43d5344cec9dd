"""Small building blocks of the models; they know nothing of training or data."""
