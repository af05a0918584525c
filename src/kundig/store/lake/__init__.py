"""Tables as Parquet files, and a catalogue in SQL that says which files make up which table in which snapshot.

The layout is the open DuckLake 1.0 one, so any DuckDB with the `ducklake` extension may attach it read-only; no extension is
needed to use it here. One transaction commits all tables of a run.
"""

from __future__ import annotations

from kundig.store.lake.commit import Append, Change, Release, ReleaseMark, Replace, Swap, Upsert
from kundig.store.lake.files import StagedFiles
from kundig.store.lake.forgetting import Erasure
from kundig.store.lake.lake import Lake

__all__ = ["Append", "Change", "Erasure", "Lake", "Release", "ReleaseMark", "Replace", "StagedFiles", "Swap", "Upsert"]
