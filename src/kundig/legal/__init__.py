"""What a lawyer asks: was this allowed and why, and the folder of proofs."""

from __future__ import annotations

from kundig.legal.folder import Folder, folder
from kundig.legal.moments import Answer, allowed_at

__all__ = ["Answer", "Folder", "allowed_at", "folder"]
