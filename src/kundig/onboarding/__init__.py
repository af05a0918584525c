"""The first hour: what a folder of exports is, as a proposal, and what is in it once it has landed."""

from __future__ import annotations

import shutil
from pathlib import Path

from kundig.config.defaults import write_defaults
from kundig.errors import ConfigError
from kundig.onboarding.propose import Proposal, propose, yaml_text
from kundig.onboarding.roles import Question, Reading

__all__ = ["Proposal", "Question", "Reading", "propose", "write"]


def write(proposal: Proposal, exports: Path, root: Path, *, settings: dict[str, str] | None = None, name: str = "") -> list[str]:
    """Make the workspace of a proposal: defaults, kundig.toml, sources, and the exports beneath it. Returns the files written.

    Raises:
        ConfigError: There are sources already: nothing is overwritten.
    """
    there = sorted(path.name for path in (root / "sources").glob("*.yaml"))
    if there:
        raise ConfigError(f"there are sources already: {', '.join(there[:5])}", at=str(root / "sources"), mend="choose an empty folder with --workspace, or add what is new by hand")
    root.mkdir(parents=True, exist_ok=True)
    target = root / "exports"
    if exports.resolve() != target.resolve():
        shutil.copytree(exports, target, dirs_exist_ok=True)
    written = write_defaults(root, settings=proposal.settings | (settings or {}), name=name or root.resolve().name)
    (root / "sources").mkdir(exist_ok=True)
    for source, body in sorted(proposal.sources.items()):
        path = root / "sources" / f"{source}.yaml"
        path.write_text(yaml_text(body), encoding="utf-8")
        written.append(path.relative_to(root).as_posix())
    return written
