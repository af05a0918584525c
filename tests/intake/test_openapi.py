"""The intake keeps its description: whatever is sent to an address that it names, the answer is one that it names; and never a 500."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from kundig.collect.intake import REFUSALS
from kundig.collect.intake.app import CALLS, PIXELS
from kundig.collect.intake.openapi import description
from tests.intake.asking import basic, stored
from tests.intake.conftest import FULL

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_every_address_and_refusal_is_described():
    told = description(4_000_000)
    addresses = set(told["paths"])
    assert {path for path in CALLS if not path.endswith(("/api/s/import", "/import/import"))} - {"/v1/import", "/api/s/import"} <= addresses
    assert {path for path in PIXELS if path.startswith("/v1/")} <= addresses
    text = json.dumps(told)
    described = {code for code in REFUSALS if re.search(rf"\b{code}: ", text)}
    assert described == set(REFUSALS) - {"no_such_method"}


def test_anything_that_is_sent_gets_an_answer_that_is_described(served, tmp_path):
    words = [str(Path(sys.executable).with_name("st")), "run", f"{served.url}/openapi.json", "--max-examples", "60" if FULL else "6", "--checks", CHECKS, "--seed", "7", "--no-color", "--phases", "fuzzing"]
    header = f"Authorization: {basic(served.key)['Authorization']}"
    done = subprocess.run([*words, "-H", header], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6_000:]
    assert re.search(r"\d+ generated, \d+ passed", done.stdout), done.stdout[-3_000:]
    with urllib.request.urlopen(f"{served.url}/metrics", timeout=30) as told:
        counts = {name: int(count) for name, count in re.findall(r'kundig_intake_requests_total\{source="web",result="(\w+)"\} (\d+)', told.read().decode())}
    assert counts["taken"] == len(stored(served.root)) > 0
