"""The texts of what lawyers read, German and English, from `legal/texts/`."""

from __future__ import annotations

from pathlib import Path

from kundig.answers.texts import LANGUAGES, Texts

_TEXTS = Texts(Path(__file__).resolve().parent / "texts", shown="legal/texts")
text, named = _TEXTS.text, _TEXTS.named

__all__ = ["LANGUAGES", "named", "text"]
