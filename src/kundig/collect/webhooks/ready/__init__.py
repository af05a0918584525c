"""Ready webhooks, made from the vendors' public documentation: files to be copied into a workspace and looked at."""

from __future__ import annotations

from pathlib import Path

from kundig.errors import ConfigError, nearest

FOLDER = Path(__file__).parent
READY = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))
"""Names of the ready webhooks."""


def add(root: Path, name: str) -> Path:
    """Copy a ready webhook into the workspace; gives the file.

    Raises:
        ConfigError: There is none of that name, or the workspace has one already.
    """
    if name not in READY:
        raise ConfigError(f"no webhook '{name}' is ready", at="kundig webhook add", mend=nearest(name, READY))
    target = root / "webhooks" / f"{name}.yaml"
    if target.exists():
        raise ConfigError(f"there is a webhook '{name}' already", at=str(target), mend="mend the file; nothing is overwritten")
    target.parent.mkdir(exist_ok=True)
    target.write_text((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    return target
