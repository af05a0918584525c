"""What is well and what is not: files, stores, optional tools; each finding with its mend."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from kundig.errors import KundigError

DRIFTS_TOLD = 5
"""Changes of events that are told one by one."""


def examine(root: Path) -> list[dict[str, str]]:
    """Findings in the order of their weight: sign (✓, !, ✗), what, found, mend."""
    findings = [_python(), *_workspace(root), *_optional()]
    return sorted(findings, key=lambda finding: "✗!✓".index(finding["sign"]))


def _finding(sign: str, what: str, found: str, mend: str = "") -> dict[str, str]:
    return {"sign": sign, "what": what, "found": found, "mend": mend}


def _python() -> dict[str, str]:
    found = ".".join(map(str, sys.version_info[:3]))
    return _finding("✓" if sys.version_info >= (3, 11) else "✗", "Python", found, "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer")


def _workspace(root: Path) -> list[dict[str, str]]:
    from kundig.workspace import Workspace

    try:
        workspace = Workspace(root)
    except KundigError as error:
        return [_finding("✗", "files", fault.what, f"{fault.at}: {fault.mend}") for fault in error.faults]
    found = [_finding("✓", "files", f"{len(workspace.config.sources)} sources, {len(workspace.config.audiences)} audiences; all valid")]
    changed = workspace.changed_files()
    if changed:
        found.append(_finding("!", "changes", f"{len(changed)} files differ from the last apply", "kundig plan, then kundig apply"))
    try:
        release = workspace.lake.release()
        found.append(_finding("✓", "release", f"{release.id} as of {release.moment:%Y-%m-%d %H:%M} UTC") if release else _finding("!", "release", "none yet", "kundig import, then kundig run"))
        faults = workspace.lake.verify()
        found += [_finding("✗", "lake", fault, "restore a backup, or import and run anew") for fault in faults] or [_finding("✓", "lake", "every file and count as the catalogue says")]
        found += _drift(workspace)
    except KundigError as error:
        found.append(_finding("✗", "lake", error.what, error.mend))
    free = shutil.disk_usage(root).free / 1e9
    found.append(_finding("✓" if free > 5 else "!", "disk", f"{free:.0f} GB free", "" if free > 5 else "make room: a run writes beside what is there"))
    return found


def _drift(workspace: Any) -> list[dict[str, str]]:
    """What changed in the events of the last week, against the tracking plan and the four weeks before."""
    from kundig.collect.plan_drift import drift
    from kundig.collect.plan_seen import seen
    from kundig.collect.tracking_plan import merged

    plan = merged(workspace.config.tracking_plan)
    found = [one for one in drift(seen(workspace.lake, plan), plan) if one.changed]
    told = [_finding("!", "events", one.sentence, one.mend) for one in found[:DRIFTS_TOLD]]
    if len(found) > DRIFTS_TOLD:
        told.append(_finding("!", "events", f"{len(found) - DRIFTS_TOLD} more changes", "kundig trackingplan drift"))
    return told or [_finding("✓", "events", "as agreed and as before")]


def _optional() -> list[dict[str, str]]:
    checks: list[tuple[str, Any, str]] = [
        ("Spark", importlib.util.find_spec("pyspark") is not None and shutil.which("java") is not None, "for one machine's end: pip install 'kundig[spark]', and Java 17"),
        ("PostgreSQL driver", importlib.util.find_spec("psycopg") is not None, "for several hosts: pip install 'kundig[postgres]'"),
        ("MariaDB and MySQL driver", importlib.util.find_spec("pymysql") is not None, "for sources in such databases: pip install 'kundig[mysql]'"),
        ("dlt", importlib.util.find_spec("dlt") is not None, "for sources with a REST interface: pip install 'kundig[rest]'"),
        ("hunspell", shutil.which("hunspell") is not None, "spelling of copy is not checked without it"),
    ]
    return [_finding("✓" if present else "!", what, "found" if present else "not found (optional)", "" if present else mend) for what, present, mend in checks] + [
        _finding("✓", "cores", str(os.cpu_count() or 1))
    ]
