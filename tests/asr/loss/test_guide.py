"""The examples of docs/losses.md run as they stand, one after the other."""

import runpy

import torch

from tests.shared import REPOSITORY


def test_the_examples_of_the_guide_run(tmp_path):
    text = (REPOSITORY / "docs" / "losses.md").read_text(encoding="utf-8")
    script = tmp_path / "example.py"
    examples = [part.split("```")[0] for part in text.split("```python\n")[1:]]
    script.write_text("\n".join(examples))
    found = runpy.run_path(str(script))
    assert found["cost"].infeasible == [] and found["cost"].not_finite == []
    assert found["alignment"].shape == (2, 7)
    frame_mass = found["posteriors"].blank_BTS + found["posteriors"].label_BTS
    torch.testing.assert_close(
        frame_mass.sum((1, 2)), torch.tensor([7.0, 5.0], dtype=torch.float64)
    )
    assert torch.isfinite(found["log_probs"].grad).all()
    assert found["cost_BT"].shape == (2, 7) and (found["cost_BT"][1, 5:] == 0).all()
    assert found["frames"].shape[:2] == found["chunks"].alignment_CN.shape
    assert sorted(found["nll_by_layer"]) == [4, 8]
