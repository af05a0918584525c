"""`kundig legal folder` writes the PDF and beside it evidence that its checksums agree with."""

from __future__ import annotations

import hashlib
import json


def test_the_command_writes_pdf_and_evidence_that_sums_agree_with(kundig, copy):
    out = copy / "folder.pdf"
    done = kundig("legal", "folder", "-w", copy, "--quarter", "2026-Q4", "--out", out, "--with-log")
    assert done.code == 0 and str(out) in done.out and out.read_bytes().startswith(b"%PDF")
    beside = copy / "folder-evidence"
    sums = dict(reversed(line.split("  ")) for line in (beside / "SHA256SUMS").read_text(encoding="utf-8").splitlines())
    found = {path.relative_to(beside).as_posix() for path in beside.rglob("*") if path.is_file()} - {"SHA256SUMS"}
    assert found == set(sums) and {"consent_log.csv", "objections.csv", "files/purposes.yaml"} <= found and "files/secrets.toml" not in found
    broken = [name for name, digest in sums.items() if hashlib.sha256((beside / name).read_bytes()).hexdigest() != digest]
    assert broken == []
    told = json.loads(kundig("legal", "folder", "-w", copy, "--quarter", "2026-Q4", "--with-log", "--json").out)
    listed = {row["file"]: row["sha256"] for row in told["evidence"]}
    assert {name: sums[name] for name in sums} == {name: listed[name] for name in sums}
    (beside / "objections.csv").write_text("forged", encoding="utf-8")
    assert hashlib.sha256((beside / "objections.csv").read_bytes()).hexdigest() != sums["objections.csv"]


def test_mistakes_are_told(kundig, root):
    assert "no quarter" in kundig("legal", "folder", "-w", root, "--quarter", "2026-Q5").err
    assert "no language" in kundig("legal", "folder", "-w", root, "--language", "fr").err
