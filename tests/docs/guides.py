"""Guides as data: their code blocks, and a shell that really runs those of first-day.md on a folder of its own."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.generate import DOCS

GUIDES = sorted(path for path in DOCS.glob("*.md"))
_BLOCK = re.compile(r"^```(\w*) ?([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"(?:#|//) ([\w./-]+\.\w+)\s*\n")


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A code block of a guide: its language, what stands behind it, its text, and the line it begins at."""

    guide: str
    language: str
    note: str
    text: str
    line: int

    @property
    def file(self) -> str:
        """Path that a comment in the first line names; empty where there is none."""
        found = _FILE.match(self.text)
        return found[1] if found else ""

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"docs/{self.guide}:{self.line}"


def blocks(path: Path, *languages: str) -> list[Block]:
    """The code blocks of a guide, of these languages or all."""
    text = path.read_text(encoding="utf-8")
    found = [Block(guide=path.name, language=one[1], note=one[2].strip(), text=one[3], line=text.count("\n", 0, one.start()) + 1) for one in _BLOCK.finditer(text)]
    return [block for block in found if not languages or block.language in languages]


def differences(expected: str, output: str) -> list[str]:
    """Lines that a guide quotes and that the output lacks, in order; `…` stands for any text, alone in a line for any lines.

    Examples:
        >>> differences("a…\\n…\\nd", "abc\\nx\\ny\\nd\\n"), differences("a\\nc", "a\\nb\\nc")
        ([], ["expected 'c', found 'b'"])
    """
    given = [line.rstrip() for line in output.splitlines() if line.strip()]
    place, skipping, missing = 0, False, []
    for line in (line.rstrip() for line in expected.splitlines() if line.strip()):
        if line.strip() == "…":
            skipping = True
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in line.split("…")))
        until = len(given) if skipping else place + 1
        hit = next((number for number in range(place, min(until, len(given))) if pattern.fullmatch(given[number])), None)
        if hit is None:
            missing.append(f"expected {line!r}, found {given[place] if place < len(given) else 'the end'!r}")
        else:
            place = hit + 1
        skipping = False
    return missing


@dataclass(kw_only=True)
class Shell:
    """Runs a guide's blocks in a folder: kundig in this process, other commands by bash, pip not at all."""

    folder: Path
    port: int
    ran: list[str] = field(default_factory=list)

    def run(self, block: Block) -> str:
        """What the commands of a block print, on both streams.

        Raises:
            AssertionError: A command failed.
        """
        if block.file:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            return ""
        return "".join(self._line(line, block) for line in block.text.splitlines() if line.strip())

    def _line(self, line: str, block: Block) -> str:
        words = shlex.split(line, comments=True)
        if not words or words[0] == "pip":
            return ""
        self.ran.append(" ".join(words))
        if words[:2] == ["kundig", "serve"]:
            return self._served()
        if words[0] == "kundig":
            words = [self._record() if word == "RECORD" else word for word in words]
            code, output = self._kundig(words[1:])
        else:
            identity = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "kundig"), ("EMAIL", "kundig@example.org"))}
            done = subprocess.run(["bash", "-ec", line], cwd=self.folder, env=os.environ | identity, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            code, output = done.returncode, done.stdout
        assert code == 0, f"{block.place}: {line} ended with {code}\n{output}"
        return output

    def _kundig(self, arguments: list[str]) -> tuple[int, str]:
        from kundig.cli import main

        output = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            try:
                main(arguments)
                code = 0
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        return code, output.getvalue()

    def _record(self) -> str:
        import json

        _, listed = self._kundig(["quarantine", "list", "--records", "--json"])
        record: str = json.loads(listed)[0]["record_id"]
        return record

    def _served(self) -> str:
        """The title of the first page, from a server of its own process."""
        import sys
        import time

        toml = self.folder / "kundig.toml"
        before = toml.read_text(encoding="utf-8")
        toml.write_text(before + f"\n[serve]\nport = {self.port}\nintake_port = 0\n", encoding="utf-8")
        server = subprocess.Popen([sys.executable, "-m", "kundig", "serve"], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            for _ in range(200):
                with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=20) as page:
                    return str(re.search(r"<title>(.*?)</title>", page.read().decode())[1])  # type: ignore[index]
                assert server.poll() is None, f"kundig serve ended: {server.stderr.read().decode() if server.stderr else ''}"
                time.sleep(0.1)
            raise AssertionError("kundig serve answers nothing")
        finally:
            server.terminate()
            server.wait(timeout=20)
            toml.write_text(before, encoding="utf-8")


def steps(path: Path) -> Iterator[tuple[Block, Block | None]]:
    """The blocks of a guide that do something, in order, each with the block that quotes its output (or none)."""
    found = blocks(path)
    for block, after in zip(found, [*found[1:], None], strict=True):
        if block.language == "sh" or block.file:
            yield block, after if after is not None and after.language == "text" and block.language == "sh" else None
