"""Data of the tiny training, made once."""

import pytest


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    """Folder with features, texts and a configuration."""
    from tests.train.tiny_training import make_data

    return make_data(tmp_path_factory.mktemp("tiny"))
