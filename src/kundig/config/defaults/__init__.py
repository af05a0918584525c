"""The files a new workspace begins with: a German shop's, complete enough to run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent


def default_files() -> dict[str, Path]:
    """Path below the workspace → the default file."""
    return {path.relative_to(FOLDER).as_posix(): path for path in sorted(FOLDER.rglob("*")) if path.is_file() and path.suffix not in (".py", ".pyc")}


def write_defaults(root: Path, *, settings: Mapping[str, str] | None = None, name: str = "kundig") -> list[str]:
    """Write every default file that is not there yet, and a kundig.toml. Returns the paths written."""
    root.mkdir(parents=True, exist_ok=True)
    written = []
    for relative, source in default_files().items():
        target = root / relative
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            written.append(relative)
    toml = root / "kundig.toml"
    if not toml.exists():
        toml.write_text(settings_text(name, settings or {}), encoding="utf-8")
        written.append("kundig.toml")
    ignore = root / ".gitignore"
    if not ignore.exists():
        ignore.write_text("data/\nexports/\nout/\nsecrets.toml\n", encoding="utf-8")
        written.append(".gitignore")
    return written


def settings_text(name: str, settings: Mapping[str, str]) -> str:
    """A kundig.toml with the settings people change first."""
    values = {"zone": "Europe/Berlin", "currency": "EUR", "locale": "de", "country": "DE"} | dict(settings)
    return f"""# Every setting, with its meaning and default: kundig schema FOLDER, or docs/settings.md
[workspace]
name = "{name}"
zone = "{values["zone"]}"
currency = "{values["currency"]}"
locale = "{values["locale"]}"
country = "{values["country"]}"

[value]
horizon_months = 12
discount_rate = 0.10

[brand]
name = "{name}"
address = "du"
sender = "shop@example.org"
website = "https://www.example.org"
imprint = "{name}"
"""
