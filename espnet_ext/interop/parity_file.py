"""An array file of the original, and the experiment it is compared with."""

from typing import NamedTuple, Optional, Set

import numpy as np

from espnet_ext.errors import FormatError
from espnet_ext.interop.reference_models import ReferenceModel, build_reference_model
from espnet_ext.interop.returnn import Arrays


class ArrayFile(dict):
    """Arrays by name, which remembers the names that were read with ``[]``."""

    def __init__(self, arrays: Arrays):
        super().__init__(arrays)
        self.read: Set[str] = set()

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self:
            raise FormatError(
                f"the file holds no array {name}",
                next_step="see reference/parity/README.md for what belongs together",
            )
        self.read.add(name)
        return super().__getitem__(name)


class ParityFile(NamedTuple):
    """What a kind compares.

    Attributes:
        experiment: Name as in the original.
        arrays: Content of the file; read with ``[]`` what is compared, so that it
            counts as seen.
        bos: Original label that serves as BOS; the last one by default.
        sub_epoch: 1-based, where it is known.
    """

    experiment: str
    arrays: ArrayFile
    bos: Optional[int] = None
    sub_epoch: Optional[int] = None

    def reference(self) -> ReferenceModel:
        """The experiment's model with the sizes and parameters of the file."""
        return build_reference_model(
            self.experiment, self.arrays, self.bos, self.sub_epoch
        )
