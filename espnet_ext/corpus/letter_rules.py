"""GLM rules that make ``U. S.`` of a reference equal to ``u s`` of a hypothesis.

STM files write letters with dots, and the GLM files of the releases leave them alone,
so that a system trained on letters without dots would get every acronym wrong. The
rules go right behind the header: NIST's filter did not apply them at the end of the
RT-03 file. They change no word count.
"""

import re
import string

MAX_RULES = re.compile(r"^(\*\s*max_nrules\s*=\s*)'(\d+)'", re.MULTILINE)
ENDINGS = ("", "S", "'S")


def with_letter_rules(glm: str) -> str:
    """The text of a GLM with rules for letters, unless it has them already."""
    if re.search(r"^A\.\s*=>\s*A\b", glm, re.MULTILINE | re.IGNORECASE):
        return glm
    rules = [
        f"{letter}.{ending} => {letter}{ending} / [ ] __ [ ]"
        for letter in string.ascii_uppercase
        for ending in ENDINGS
    ]
    lines = glm.splitlines()
    header_end = max(
        (n for n, line in enumerate(lines, start=1) if line.startswith("*")), default=0
    )
    # no comment above them: its sign is whatever character the file begins with
    lines[header_end:header_end] = rules
    needed = sum("=>" in line for line in lines)
    text = "\n".join(lines) + "\n"
    return MAX_RULES.sub(
        lambda found: f"{found.group(1)}'{max(needed, int(found.group(2)))}'", text
    )
