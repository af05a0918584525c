"""The command line: words in, words out; every command delegates to a workspace."""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> None:
    """Run one command; exit codes are 0 (done), 1 (failed) and 2 (wrong use)."""
    from kundig.cli.app import app
    from kundig.errors import ConfigError, KundigError

    try:
        app(args=arguments, prog_name="kundig")
    except KundigError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, ConfigError) else 1) from None
    except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError) as error:
        print(f"{_reason(error)}\n  at:   {error.filename}\n  mend: name a place that exists and that you may read and write", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("stopped; nothing half-written is visible, and the same command goes on from here", file=sys.stderr)
        raise SystemExit(1) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(1) from None


def _reason(error: OSError) -> str:
    return f"the file or folder cannot be used: {(error.strerror or str(error)).lower()}"
