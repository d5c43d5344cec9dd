"""The example of docs/losses.md runs as it stands."""

import runpy

import torch

from tests.shared import REPOSITORY


def test_the_example_of_the_guide_runs(tmp_path):
    text = (REPOSITORY / "docs" / "losses.md").read_text(encoding="utf-8")
    script = tmp_path / "example.py"
    script.write_text(text.split("```python\n")[1].split("```")[0])
    found = runpy.run_path(str(script))
    assert found["cost"].infeasible == [] and found["cost"].not_finite == []
    assert found["alignment"].shape == (2, 7)
    frame_mass = found["posteriors"].blank_BTS + found["posteriors"].label_BTS
    torch.testing.assert_close(
        frame_mass.sum((1, 2)), torch.tensor([7.0, 5.0], dtype=torch.float64)
    )
    assert torch.isfinite(found["log_probs"].grad).all()
