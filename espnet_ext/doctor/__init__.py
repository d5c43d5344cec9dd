"""``espnet-ext doctor``: what is installed, what works, how to mend the rest."""

import argparse
import json
from pathlib import Path
from typing import List, Optional

from espnet_ext.doctor.backends import check_backends
from espnet_ext.doctor.finding import MISSING, WARNING, Finding
from espnet_ext.doctor.losses import check_losses
from espnet_ext.doctor.machine import check_machine
from espnet_ext.doctor.probes import check_torch
from espnet_ext.doctor.tools import check_tools
from espnet_ext.doctor.versions import check_versions
from espnet_ext.files import atomic_write


def examine(folder: Path, quick: bool = False) -> List[Finding]:
    """All findings; ``quick`` leaves out what would import torch."""
    findings = [*check_versions(), *check_machine(folder)]
    if not quick:
        findings += [*check_torch(), *check_losses()]
    return findings + [*check_backends(quick), *check_tools()]


def verdict(findings: List[Finding]) -> str:
    """One line: ready, or the first thing to do."""
    missing = [finding for finding in findings if finding.status == MISSING]
    if not missing:
        warnings = sum(finding.status == WARNING for finding in findings)
        plural = "" if warnings == 1 else "s"
        suffix = f", with {warnings} warning{plural} above" if warnings else ""
        return f"ready for the demo{suffix}: make demo"
    names = ", ".join(finding.name for finding in missing)
    return f"not ready for the demo: {names}; do: {missing[0].fix}"


def render(findings: List[Finding]) -> str:
    """The report for a terminal: sections, one line a finding, verdict last."""
    width = max(len(finding.name) for finding in findings)
    lines: List[str] = []
    section = None
    for finding in findings:
        if finding.section != section:
            section = finding.section
            lines += ["", section]
        lines.append(f"  {finding.status:7} {finding.name:{width}}  {finding.value}")
        if finding.fix is not None:
            lines.append(f"  {'':7} {'':{width}}  -> {finding.fix}")
    return "\n".join([*lines[1:], "", f"verdict: {verdict(findings)}"])


def get_parser() -> argparse.ArgumentParser:
    """Options of the verb."""
    parser = argparse.ArgumentParser("espnet-ext doctor", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="leave out what has to import torch"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write it there")
    return parser


def main(argv: Optional[List[str]] = None) -> int:
    """Print the report; status 0 if the demo can run, else 1."""
    args = get_parser().parse_args(argv)
    findings = examine(Path.cwd(), args.quick)
    ready = not any(finding.status == MISSING for finding in findings)
    print(render(findings))
    if args.json is not None:
        with atomic_write(args.json) as file:
            rows = [finding._asdict() for finding in findings]
            result = {"ready": ready, "verdict": verdict(findings), "findings": rows}
            json.dump(result, file, indent=2, ensure_ascii=False)
            file.write("\n")
    return 0 if ready else 1
