"""One line of the doctor's report."""

from typing import Iterator, NamedTuple, Optional

OK, NOTE, WARNING, MISSING = "ok", "note", "warn", "MISSING"


class Finding(NamedTuple):
    """What was looked at, what was found, and how to mend it.

    Args:
        section: Heading it stands under.
        name: What was looked at.
        status: OK; NOTE (optional and absent); WARNING (the demo may still work);
            MISSING (the demo cannot work).
        value: What was found.
        fix: What to type or change, where something should be done.
    """

    section: str
    name: str
    status: str
    value: str
    fix: Optional[str] = None


Findings = Iterator[Finding]
