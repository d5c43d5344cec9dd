"""A small tree of releases that the tests of preparation and commands share."""

import pytest

from tests.corpus.trees import MINI_GLM, MINI_STM, switchboard, write_call

LINES = [f"{n}.0 {n}.9 " + ("yes" if n % 2 else f"i see {n}") for n in range(8)]


@pytest.fixture
def ldc_tree(tmp_path):
    """Switchboard with a selection list, RT-03 and Fisher part 2, in LDC folders."""
    root = tmp_path / "corpora"
    swbd = switchboard(
        root / "LDC97S62",
        {f"{call}{side}": LINES for call in (2001, 2002, 2005) for side in "AB"},
    )
    (swbd / "docs").mkdir()
    (swbd / "docs" / "selection_conversations.txt").write_text("sw02005\n")
    (swbd / "docs" / "conv_tab.csv").write_text(
        "2001, 1, 1, 2\n2002, 1, 3, 4\n2005, 1, 5, 6\n"
    )
    rt03 = root / "LDC2007S10"
    write_call(rt03 / "audio" / "sw_45104.sph")
    (rt03 / "sw_45104.stm").write_text(MINI_STM)
    (rt03 / "en20030506.glm").write_text(MINI_GLM)
    fisher = root / "LDC2005T19"
    fisher.mkdir()
    (fisher / "fe_03_05851.txt").write_text("# head\n\n0.5 1.6 A: hello u._s.\n")
    return root
