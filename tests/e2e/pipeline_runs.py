"""Runs a pipeline of tests/e2e through run.sh, and interrupts it."""

from pathlib import Path
from typing import List

from tests.e2e import running


class PipelineRuns:
    """Runs of one pipeline.

    Args:
        recipe: Folder with run.sh.
        name: Of the file in tests/e2e.
    """

    def __init__(self, recipe: Path, name: str):
        self.recipe = recipe
        self.name = name

    def folder(self, stage: str) -> Path:
        """The experiment of a training."""
        return self.recipe / "exp" / f"asr_{self.name}_{stage}_raw_en_bpe50"

    def words(self, *more: str) -> List[str]:
        """The command."""
        settings = f"--pipeline ../../tests/e2e/{self.name}.yaml --size tiny --nbpe 50"
        settings += " --nj 1 --inference_nj 1 --test_sets rt03s --skip_packing true"
        return ["./run.sh", *settings.split(), "--speed_perturb_factors", "", *more]

    def run(self, *more: str) -> str:
        """Run to the end; returns what was printed."""
        return running.run(self.recipe, self.words(*more))

    def interrupt(self, moment: Path, *more: str) -> str:
        """Interrupt a run as soon as a file is there; returns what was printed."""
        process = running.start(self.recipe, self.words(*more))
        running.wait_for(process, moment.exists)
        return running.interrupt(process)
