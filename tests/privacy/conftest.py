"""The made-up shop, and commands run over it."""

from tests.cli.conftest import Done, Kundig, copy, kundig, root

__all__ = ["Done", "Kundig", "copy", "kundig", "root"]
