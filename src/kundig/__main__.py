"""`python -m kundig` is the command line."""

from __future__ import annotations

from kundig.cli import main

main()
