"""Saved random models, made once for all tests."""

import pytest

from tests.inference.models import saved_model


@pytest.fixture(scope="session")
def transducer(tmp_path_factory):
    """A transducer that emits labels on noise."""
    return saved_model(tmp_path_factory.mktemp("transducer"))
