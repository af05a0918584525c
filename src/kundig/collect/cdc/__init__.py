"""Change data capture: what changed in a database's tables becomes what changes in the lake's, each change once."""

from __future__ import annotations
