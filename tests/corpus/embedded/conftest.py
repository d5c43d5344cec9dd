"""One tiny corpus for all tests of this folder that need files."""

import pytest

from espnet_ext.corpus.embedded import build


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Root of a tiny corpus; a blank and letters outside ASCII are in its path."""
    return build(tmp_path_factory.mktemp("corpora für alle") / "tiny", size="tiny")
