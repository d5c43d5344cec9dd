"""The valid name nearest to a mistyped one."""

import difflib
from typing import Iterable, Optional


def nearest(name: str, valid: Iterable[str]) -> Optional[str]:
    """The entry of ``valid`` most like ``name``, or None if none is near."""
    matches = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    return matches[0] if matches else None
