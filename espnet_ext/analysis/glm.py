"""Global mapping of spellings (GLM), applied to both sides as NIST's csrfilt does.

A rule is ``A => B / left __ right``: the string A becomes B where the given contexts
stand beside it in the text as it was before any rule. At each position the first rule
of the file that fits wins, and the scan goes on behind A. ``[ ]`` protects spaces, B
may hold alternatives ``{ X / Y }``. Lines ``* key = 'value'`` set options, ``;;``
starts a comment, and ``;; INPUT_DEPENDENT_APPLICATION = "ctm"`` limits what follows to
one side.

Supported: format NIST1 with name, desc, format, max_nrules, copy_no_hit and
case_sensitive (unknown options have no effect); quoting by ``[ ]`` or ``" "``. Refused
with the line number: other formats, lines without an arrow or with nothing on the left,
an indented comment, no rule at all, more rules than max_nrules. Not supported:
utterance maps, extended letters (csrfilt -e), keeping case (-s).

The first word of the file is its comment mark, normally ``;;``, as in NIST's filter: in
a file that starts with ``* name "..."`` all option lines are comments.

Ref: NIST SCTK (public domain), csrfilt.sh 1.17 and src/rfilter1 (rfilter1 2.0); checked
against csrfilt.sh of SCTK 2.4.10.
"""

import re
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple, Union

from espnet_ext.errors import FormatError
from espnet_ext.files import read_lines

DEFAULT_MAX_RULES = 400  # of rfilter1, where the file does not say
REFERENCE, HYPOTHESIS = ("stm", "ref"), ("ctm", "hyp")
_FIRST_WORD = re.compile(r"[!-~]*")
_OPTION = re.compile(r"""["']([^"']*)["']""")
_APPLIES = re.compile(r'^;;\s+INPUT_DEPENDENT_APPLICATION\s*=\s*"([^"]*)"')
_UNPAIRED = re.compile(r"\s\([^()]+\)")
_HYPHEN = re.compile(r"([^( ])-(?=[^) ])")
_OPTIONAL_RUN = re.compile(r"(\(\s+[^()\s]+\s+)([^()\s]+)")


class Rule(NamedTuple):
    """One mapping: ``source`` between ``left`` and ``right`` becomes ``target``."""

    source: str
    target: str
    left: str
    right: str
    line: int


class Glm:
    """The rules of a GLM file that apply to one side, ready to filter text."""

    def __init__(self, rules: List[Rule], case_sensitive: bool, copy_no_hit: bool):
        self.rules = rules
        self.case_sensitive = case_sensitive
        self.copy_no_hit = copy_no_hit
        self._by_first: Dict[str, List[Rule]] = {}
        for rule in rules:
            folded = rule._replace(
                source=self._fold(rule.source),
                left=self._fold(rule.left),
                right=self._fold(rule.right),
            )
            self._by_first.setdefault(folded.source[0], []).append(folded)
        self._by_head: Dict[str, Tuple[Rule, ...]] = {}

    def _fold(self, text: str) -> str:
        return text if self.case_sensitive else upper_ascii(text)

    def _candidates(self, head: str) -> Tuple[Rule, ...]:
        """Rules whose source can start with the next few characters ``head``."""
        found = self._by_head.get(head)
        if found is None:
            found = tuple(
                rule
                for rule in self._by_first.get(head[0], ())
                if rule.source.startswith(head) or head.startswith(rule.source)
            )
            self._by_head[head] = found
        return found

    def apply(self, text: str) -> str:
        """Apply the rules once to a text; contexts look at the unchanged text."""
        folded = self._fold(text)
        parts, position, copied = [], 0, 0
        while position < len(text):
            if folded[position] not in self._by_first:
                position += 1
                continue
            for rule in self._candidates(folded[position : position + 4]):
                end = position + len(rule.source)
                if (
                    folded.startswith(rule.source, position)
                    and folded.startswith(rule.right, end)
                    and position >= len(rule.left)
                    and folded.endswith(rule.left, 0, position)
                ):
                    if self.copy_no_hit:
                        parts.append(text[copied:position])
                    parts.append(rule.target)
                    position = copied = end
                    break
            else:
                position += 1
        if self.copy_no_hit:
            parts.append(text[copied:])
        return "".join(parts)


def upper_ascii(text: str) -> str:
    """Upper case of the letters a-z only; other letters stay as they are."""
    if text.isascii():
        return text.upper()
    return "".join(c.upper() if "a" <= c <= "z" else c for c in text)


def load_glm(path: Union[str, Path], side: Tuple[str, str]) -> Glm:
    """Read the rules of a GLM file that apply to one side.

    Args:
        path: The GLM file (latin-1 is accepted, as old releases are).
        side: REFERENCE or HYPOTHESIS.

    Raises:
        FormatError: A line is not understood; it is named, never skipped.
    """
    lines = _read(path)
    if not lines:
        raise FormatError("the file is empty", where=path, expected="mapping rules")
    comment = _FIRST_WORD.match(lines[0]).group()
    options = {"FORMAT": "NIST1", "MAX_NRULES": str(DEFAULT_MAX_RULES)}
    rules: List[Rule] = []
    applies = True
    for number, line in enumerate(lines, 1):
        side_mark = _APPLIES.match(line)
        if side_mark:
            applies = _applies(side_mark.group(1).lower(), side, path, number)
        line = line.rstrip()
        if number == 1 or not applies or not line:
            continue
        if comment and line.startswith(comment):
            continue
        if line.startswith("*"):
            _read_option(line, options, path, number)
        else:
            rules.append(_read_rule(line, comment, path, number))
    if options["FORMAT"] != "NIST1":
        raise FormatError(
            f"format {options['FORMAT']!r} is not supported",
            where=path,
            expected="NIST1",
        )
    if not rules:
        raise FormatError(
            f"no rules for {side[0]} files; NIST's filter then gives nothing at all",
            where=path,
            next_step="add a rule that never applies: NOSUCHWORD => NOSUCHWORD",
        )
    if len(rules) > int(options["MAX_NRULES"]):
        raise FormatError(
            f"{len(rules)} rules, but max_nrules is {options['MAX_NRULES']}",
            where=path,
            next_step=f"add a line: * max_nrules = '{len(rules)}'",
        )
    return Glm(
        rules,
        case_sensitive=_is_true(options.get("CASE_SENSITIVE", "T")),
        copy_no_hit=_is_true(options.get("COPY_NO_HIT", "T")),
    )


def _read(path: Union[str, Path]) -> List[str]:
    try:
        return read_lines(path)
    except FormatError:  # releases of the 1990s are in latin-1
        return Path(path).read_text(encoding="latin-1").splitlines()


def _is_true(value: str) -> bool:
    return value[:1].upper() in ("T", "Y", "1")


def _applies(pattern: str, side: Tuple[str, str], path, number: int) -> bool:
    try:
        return bool(pattern) and any(re.search(pattern, name) for name in side)
    except re.error as error:
        raise FormatError(
            f"INPUT_DEPENDENT_APPLICATION {pattern!r} is not a pattern: {error}",
            where=f"{path} line {number}",
        ) from None


def _read_option(line: str, options: Dict[str, str], path, number: int) -> None:
    value = _OPTION.search(line)
    if value is None:
        raise FormatError(
            f"an option without a quoted value: {line}", where=f"{path} line {number}"
        )
    known = ("NAME", "DESC", "FORMAT", "MAX_NRULES", "COPY_NO_HIT", "CASE_SENSITIVE")
    names = [name for name in known if name in line[: value.start()].upper()]
    if names:
        options[names[0]] = value.group(1)


def _read_rule(line: str, comment: str, path, number: int) -> Rule:
    where = f"{path} line {number}"
    if comment:
        line = line.split(comment, 1)[0].rstrip()
    if not line.strip():
        raise FormatError(
            "an indented comment; NIST's filter stops at it",
            where=where,
            next_step=f"move {comment} to the start of the line",
        )
    arrow = line.find("=>")
    if arrow < 0:
        raise FormatError(f"a rule without an arrow: {line}", where=where)
    source = _unquote(line[:arrow].strip())
    if not source:
        raise FormatError(f"a rule with nothing to replace: {line}", where=where)
    slash = line.rfind("/")
    closing, opening = line.find("]", slash), line.find("[", slash)
    if slash >= 0 and opening >= 0 and closing < opening:
        slash = -1  # it stands inside quoted alternatives, so there are no contexts
    # a slash before the arrow leaves nothing on the right, which is what NIST's rules
    # such as "/SLASH => SLASH" amount to
    target = line[arrow : slash if slash >= 0 else len(line)].rstrip()
    left = right = ""
    slot = line.find("_", slash) if slash >= 0 else -1
    if slot >= 0:
        left = _behind_first_space(line[slash:slot].rstrip())
        right = _behind_first_space(line[slot:])
    return Rule(source, _behind_first_space(target), left, right, number)


def _behind_first_space(text: str) -> str:
    """What follows the first word of a field (its arrow, slash or slot), unquoted."""
    parts = text.split(None, 1)
    return _unquote(parts[1].strip()) if len(parts) > 1 else ""


def _unquote(text: str) -> str:
    if len(text) > 1 and text[0] + text[-1] in ("[]", '""'):
        return text[1:-1]
    return text


def filter_text(text: str, glm: Glm, where: object = None) -> str:
    """Filter the words of one segment or one word: case, rules, hyphens.

    Returns:
        The text with single spaces inside and none at the ends.

    Raises:
        FormatError: Parentheses of optional words do not pair up.
    """
    spaced = " ".join(text.split()).replace("(", "( ").replace(")", " )")
    spaced = f" {spaced} "
    check_optional_words(spaced, where if where is not None else text)
    mapped = glm.apply(upper_ascii(spaced))
    mapped = _HYPHEN.sub(r"\1 ", mapped)
    while _OPTIONAL_RUN.search(mapped):
        mapped = _OPTIONAL_RUN.sub(r"\1) ( \2", mapped, count=1)
    mapped = re.sub(r"\(\s+", "(", mapped)
    mapped = re.sub(r"\s+\)", ")", mapped)
    return " ".join(mapped.split())


def check_optional_words(text: str, where: object) -> None:
    """Require that the parentheses of optional words pair up.

    Raises:
        FormatError: They do not; NIST's filter stops at that as well.
    """
    apart = f" {text}".replace("(", "   (").replace(")", ")  ")
    rest = _UNPAIRED.sub("", apart)
    if "(" in rest or ")" in rest:
        raise FormatError(
            "the parentheses of optional words do not pair up",
            where=where,
            expected="( and ) around one or more words, not nested",
        )
