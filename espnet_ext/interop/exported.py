"""Decodes greedily with exported programs; needs torch alone.

``torch.export.load`` reads pickled data: load only what you or somebody you trust made.
"""

import json
from pathlib import Path
from typing import List, Sequence

import torch

from espnet_ext.errors import AudioError, FormatError, MissingInputError

PROGRAMS = ("features", "encoder", "predict", "joint")


class ExportedRecognizer:
    """Greedy recognition with the programs in a folder.

    Args:
        folder: What ``espnet_ext.bin.export`` wrote.

    Raises:
        MissingInputError: A file is missing.
        FormatError: The facts cannot be read.
    """

    def __init__(self, folder):
        folder = Path(folder)
        files = [folder / f"{name}.pt2" for name in PROGRAMS]
        for file in [folder / "export.json", *files]:
            if not file.is_file():
                raise MissingInputError(
                    "file not found", where=file, next_step="espnet_ext.bin.export"
                )
        try:
            facts = json.loads((folder / "export.json").read_text(encoding="utf-8"))
            self.tokens: List[str] = facts["tokens"]
            self.rate_hz: int = facts["rate_hz"]
            self.blank: int = facts["blank"]
            self.state_shapes: List[List[int]] = facts["state"]
            self.multiple: int = facts["multiple"]
            self.fixed: bool = facts["fixed"]
        except (ValueError, KeyError) as error:
            raise FormatError(
                f"cannot be read: {error!r}", where=folder / "export.json"
            ) from None
        modules = [torch.export.load(str(file)).module() for file in files]
        self.features, self.encoder, self.predict, self.joint = modules

    @torch.no_grad()
    def frames(self, samples_N: torch.Tensor) -> torch.Tensor:
        """Projected encoder frames [M, R] of an utterance.

        Raises:
            AudioError: It is longer than the programs were made for.
        """
        features_1TF = self.features(samples_N.float().unsqueeze(0))
        count = features_1TF.size(1)
        if self.fixed and count > self.multiple:
            raise AudioError(
                f"{count} feature frames",
                expected=f"at most {self.multiple}, which the export was made for",
            )
        missing = self.multiple - count if self.fixed else -count % self.multiple
        padded = torch.nn.functional.pad(features_1TF, (0, 0, 0, missing))
        frames_1MR, lengths_1 = self.encoder(padded, torch.tensor([count]))
        return frames_1MR[0, : int(lengths_1[0])]

    @torch.no_grad()
    def __call__(self, samples_N: torch.Tensor) -> List[int]:
        """Labels of an utterance (samples at ``rate_hz``)."""
        state = [torch.zeros(shape) for shape in self.state_shapes]
        label = torch.tensor([[self.blank]])
        prediction_1R, *state = self.predict(label, *state)
        labels: List[int] = []
        for frame_R in self.frames(samples_N):
            symbol = int(self.joint(frame_R.unsqueeze(0), prediction_1R).argmax())
            if symbol != self.blank:
                labels.append(symbol)
                label = torch.tensor([[symbol]])
                prediction_1R, *state = self.predict(label, *state)
        return labels

    def text(self, labels: Sequence[int]) -> str:
        """Tokens joined: ``▁`` begins a word, ``@@`` is glued to the next."""
        tokens = [self.tokens[label] for label in labels]
        if any(token.startswith("▁") for token in self.tokens):
            return "".join(tokens).replace("▁", " ").strip()
        if any(token.endswith("@@") for token in self.tokens):
            return " ".join(tokens).replace("@@ ", "")
        return "".join(tokens).replace("<space>", " ")
