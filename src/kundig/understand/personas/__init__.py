"""Personas: `find(profiles)` on any table of persons and their attributes, with a verdict; see docs/personas.md."""

from __future__ import annotations

from kundig.understand.personas.finding import Model, Personas, Verdict, find

__all__ = ["Model", "Personas", "Verdict", "find"]
