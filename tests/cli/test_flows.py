"""What people do over a day: change a file, plan, apply and run; mend what quarantine holds; deliver; serve; find a damaged file."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import kundig as library
from tests.cli.conftest import Kundig

END = "2026-10-31"
DESK = """meaning: Cases of a second desk
owner: desk@example.org
received_at: as_occurred
truth_for: [tickets]
inputs:
  - files: [exports/desk/*.ndjson]
    format: ndjson
    lands:
      - table: tickets
        columns: {ticket_id: id, occurred_at: created_at, topic: subject, status: status, channel: channel}
        identifiers:
          - {namespace: email, column: email}
"""


def case(number: int, at: str) -> str:
    return json.dumps({"id": f"D{number}", "created_at": at, "email": f"person{number}@example.org", "subject": "Lieferung", "status": "open", "channel": "email"})


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "NO_COLOR": "1"}


def test_a_changed_file_is_planned_applied_and_run(kundig: Kundig, copy: Path) -> None:
    file = copy / "audiences" / "welcome.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("within: 30 days", "within: 60 days"), encoding="utf-8")
    refused = kundig("run", "-w", copy, "--as-of", END)
    assert refused.code == 2 and refused.out == ""
    assert "audiences/welcome.yaml" in refused.err and "kundig plan" in refused.err and "kundig apply" in refused.err
    before = library.open(copy).rows("SELECT count(*) FROM audience_candidates WHERE audience = 'welcome'")[1]
    planned = kundig("plan", "-w", copy, "--as-of", END)
    assert planned.code == 0 and "audiences/welcome.yaml" in planned.out and "welcome" in planned.out
    assert library.open(copy).rows("SELECT count(*) FROM audience_candidates WHERE audience = 'welcome'")[1] == before, "a plan changes nothing"
    assert kundig("run", "-w", copy, "--as-of", END).code == 2, "and accepts nothing"
    assert kundig("apply", "-w", copy).out.split() == ["changed", "audiences/welcome.yaml"]
    assert json.loads(kundig("apply", "-w", copy, "--json").out) == []
    done = kundig("run", "-w", copy, "--as-of", END, "--json")
    causes = {step["table"]: step["cause"] for step in json.loads(done.out)["steps"]}
    assert done.code == 0 and causes["audience_candidates"] in ("redefined", "full") and causes["sessions"] == "unchanged"
    assert library.open(copy).rows("SELECT count(*) FROM audience_candidates WHERE audience = 'welcome'")[1][0][0] > before[0][0]
    again = kundig("run", "-w", copy, "--as-of", END)
    assert again.code == 0 and "nothing to do" in again.out


def test_quarantine_is_listed_mended_and_replayed(kundig: Kundig, copy: Path) -> None:
    (copy / "sources" / "desk.yaml").write_text(DESK, encoding="utf-8")
    (copy / "exports" / "desk").mkdir()
    lines = [case(number, f"2026-10-{number:02}T10:00:00Z") for number in range(1, 30)] + [case(30, "31st of October")]
    (copy / "exports" / "desk" / "one.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert kundig("apply", "-w", copy).code == 0
    landed = kundig("import", "desk", "-w", copy)
    assert landed.code == 0 and "1 held in quarantine" in landed.out
    [group] = json.loads(kundig("quarantine", "list", "-w", copy, "--json").out)
    assert (group["source"], group["records"]) == ("desk", 1) and "31st" not in group["reason"] and group["mend"]
    held = json.loads(kundig("quarantine", "list", "desk", "--records", "-w", copy, "--json").out)
    assert len(held) == 1 and held[0]["source"] == "desk" and "31st of October" in held[0]["what"] and held[0]["mend"]
    name = held[0]["record_id"]
    assert "31st of October" in json.loads(kundig("quarantine", "show", name, "-w", copy, "--json").out)["body"]
    told = kundig("quarantine", "show", name, "-w", copy).out
    assert "one.ndjson, row 30" in told and "31st of October" in told and "fix" in told
    assert kundig("quarantine", "replay", "-w", copy).out.startswith("0 records brought in (0 rows landed), 1 still held\n"), "nothing was mended yet"
    wrong = kundig("quarantine", "fix", name, "{no json", "-w", copy)
    assert wrong.code == 1 and "no JSON" in wrong.err and "kundig quarantine show" in wrong.err
    assert kundig("quarantine", "fix", name, "-w", copy).code == 2, "nothing was said to change"
    assert kundig("quarantine", "fix", name, case(30, "2026-10-30T10:00:00Z"), "-w", copy).code == 0
    many = kundig("quarantine", "fix", "--reason", "no moment", "created_at=2026-10-30T11:00:00Z", "-w", copy, "--json")
    assert json.loads(json.loads(many.out)[0]["original"])["created_at"] == "31st of October", "the record stays as it came"
    replayed = kundig("quarantine", "replay", "desk", "-w", copy)
    assert replayed.code == 0 and replayed.out.startswith("1 record brought in (") and ", 0 still held" in replayed.out
    assert json.loads(kundig("quarantine", "list", "-w", copy, "--json").out) == []
    assert library.open(copy).rows_now("SELECT count(*), count(DISTINCT ticket_id) FROM tickets WHERE source = 'desk'")[1] == [(30, 30)]
    audited = "SELECT action FROM audit_log WHERE object_kind = 'quarantined_record' ORDER BY seq"
    assert [row[0] for row in library.open(copy).rows_now(audited)[1]] == ["fix", "fix"]
    twice = kundig("quarantine", "fix", name, "{}", "-w", copy)
    assert twice.code == 1 and "replayed, not held" in twice.err
    assert json.loads(kundig("import", "desk", "-w", copy, "--json").out)[0]["rows"] == {}, "a file is taken once"


def test_a_plan_is_drafted_written_and_held_against_what_is_sent(kundig: Kundig, copy: Path) -> None:
    told = json.loads(kundig("trackingplan", "draft", "-w", copy, "--json").out)
    assert told["events"] and told["file"] is None and all(f"  {name}:" in told["text"] for name in told["events"])
    assert kundig("trackingplan", "draft", "-w", copy, "--output", "seen").out.startswith("tracking_plan/seen.yaml; fill in")
    assert (copy / "tracking_plan" / "seen.yaml").read_text(encoding="utf-8") == told["text"]
    assert kundig("trackingplan", "draft", "-w", copy).out == "every event that came is in the plan\n"
    (copy / "tracking_plan" / "seen.yaml").write_text(told["text"] + "  never_sent: {owner: nobody}\n", encoding="utf-8")
    drift = json.loads(kundig("trackingplan", "drift", "-w", copy, "--json").out)
    assert [one["event"] for one in drift["drift"] if one["kind"] == "never_seen"] == ["never_sent"]
    assert "'never_sent' is planned, and has not come" in kundig("trackingplan", "drift", "-w", copy).out
    (copy / "tracking_plan" / "seen.yaml").write_text("events: {never_sent: {}}\n", encoding="utf-8")
    again = kundig("trackingplan", "draft", "-w", copy, "--output", "seen")
    assert again.code == 2 and "is there already" in again.err


def test_a_ready_mapping_is_listed_and_put_into_the_workspace(kundig: Kundig, copy: Path) -> None:
    listed = json.loads(kundig("source", "list", "--json").out)
    ready = next(one["mapping"] for one in listed if one["files"] != "interface")
    added = kundig("source", "add", ready, "-w", copy, "--as", "ready_made")
    assert added.code == 0 and "ready_made.yaml" in added.out
    assert (copy / "sources" / "ready_made.yaml").is_file()
    assert kundig("doctor", "-w", copy).out.count("all valid") == 1, "what was added is a valid file"
    wrong = kundig("source", "add", ready + "x", "-w", copy)
    assert wrong.code != 0 and ready in wrong.err


def test_what_is_of_no_use_is_dropped_with_a_word_why(kundig: Kundig, copy: Path) -> None:
    (copy / "sources" / "desk.yaml").write_text(DESK, encoding="utf-8")
    (copy / "exports" / "desk").mkdir()
    lines = [case(number, f"2026-10-{number:02}T10:00:00Z") for number in range(1, 29)] + [case(29, "29th"), case(30, "30th")]
    (copy / "exports" / "desk" / "one.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert kundig("apply", "-w", copy).code == 0 and kundig("import", "desk", "-w", copy).code == 0
    [group] = json.loads(kundig("quarantine", "list", "-w", copy, "--json").out)
    assert group["records"] == 2
    assert kundig("quarantine", "drop", group["example"], "-w", copy).code == 2, "no word why"
    assert kundig("quarantine", "drop", "--because", "a test", "-w", copy).code == 2, "neither ids nor a reason"
    wrong = kundig("quarantine", "drop", group["example"], "--because", "asked by person1@example.org", "-w", copy)
    assert wrong.code == 1 and "looks like an e-mail address" in wrong.err
    assert kundig("quarantine", "drop", group["example"], "--because", "sent by a test", "-w", copy).out == "1 record dropped\n"
    assert json.loads(kundig("quarantine", "drop", "--reason", group["reason"], "--because", "a test too", "-w", copy, "--json").out) == {"dropped": 1}
    assert json.loads(kundig("quarantine", "list", "-w", copy, "--json").out) == []
    assert "dropped because  sent by a test" in kundig("quarantine", "show", group["example"], "-w", copy).out
    assert {one["note"] for one in json.loads(kundig("quarantine", "list", "--status", "dropped", "--records", "-w", copy, "--json").out)} == {"sent by a test", "a test too"}


def test_delivering_twice_sends_nothing_twice(kundig: Kundig, copy: Path) -> None:
    def sent() -> list[str]:
        return sorted(path.read_text(encoding="utf-8") for path in (copy / "out" / "messages").rglob("*") if path.is_file())

    before = sent()
    again = kundig("deliver", "-w", copy, "--as-of", END)
    assert again.code == 0 and "queued 0 new" in again.out and "handed over 0" in again.out
    assert before and sent() == before
    assert json.loads(kundig("deliver", "-w", copy, "--as-of", END, "--json").out)


def test_verify_and_doctor_find_a_damaged_file(kundig: Kundig, copy: Path, root: Path) -> None:
    assert kundig("verify", "-w", copy).code == 0
    files = sorted((copy / "data" / "lake").rglob("profiles/**/*.parquet"))
    damaged = files[-1]
    damaged.write_bytes(damaged.read_bytes()[:-40])
    found = kundig("verify", "-w", copy)
    assert found.code == 1 and damaged.name in found.out and "Traceback" not in found.err
    told = kundig("doctor", "-w", copy)
    assert told.code == 1 and "✗" in told.out and damaged.name in told.out.replace("\n", "")
    damaged.unlink()
    assert kundig("verify", "-w", copy).code == 1
    assert kundig("verify", "-w", root).code == 0, "the shop beside it is well"


def test_verify_finds_a_changed_audit_log(kundig: Kundig, copy: Path) -> None:
    with sqlite3.connect(copy / "data" / "state.sqlite") as connection:
        assert connection.execute("UPDATE audit_log SET actor = 'somebody else' WHERE seq = (SELECT min(seq) FROM audit_log)").rowcount == 1
    found = kundig("verify", "-w", copy)
    assert found.code == 1 and "audit_log row" in found.out and "changed after it was written" in found.out


def test_init_makes_an_empty_workspace_and_one_from_exports(kundig: Kundig, tmp_path: Path) -> None:
    empty = kundig("init", "-w", tmp_path / "empty")
    assert empty.code == 0 and (tmp_path / "empty" / "kundig.toml").is_file() and "kundig import" in empty.out
    exports = tmp_path / "exports"
    exports.mkdir()
    rows = [f"{number};k{number % 7}@example.org;{1 + number % 28:02}.10.2025;{10 + number},50" for number in range(60)]
    (exports / "bestellungen.csv").write_text("Bestellnummer;E-Mail;Bestelldatum;Betrag\n" + "\n".join(rows) + "\n", encoding="utf-8")
    made = kundig("init", exports, "-w", tmp_path / "made", "--no-input")
    assert made.code == 0 and "bestellungen.csv" in made.out and "next: kundig serve" in made.out
    assert library.open(tmp_path / "made").rows("SELECT count(*) FROM orders")[1] == [(60,)]


def test_serve_says_that_its_port_is_taken(kundig: Kundig, copy: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (copy / "kundig.toml").open("a", encoding="utf-8") as file:
            file.write(f"\n[serve]\nport = {port}\nintake_port = 0\n")
        done = kundig("serve", "-w", copy)
    assert done.code == 1 and done.out == ""
    assert f"port {port} of 127.0.0.1 cannot be used" in done.err and "[serve]" in done.err and "mend:" in done.err


def test_serve_answers_until_stopped(copy: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (copy / "kundig.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n[serve]\nport = {port}\nintake_port = 0\n")
    process = subprocess.Popen([sys.executable, "-m", "kundig", "serve", "-w", str(copy)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        while said and not said.startswith("pages on"):
            said = process.stdout.readline()  # intake and worker are children of their own
        assert f"http://127.0.0.1:{port}" in said
        deadline = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
                    assert answer.read() == b"ok\n"
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
        assert "Traceback" not in error
    finally:
        process.kill()


def test_as_a_program_in_a_pipe(root: Path) -> None:
    """Exit codes as a shell sees them, and a reader that goes away early."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "kundig", *words], capture_output=True, text=True, env=environment(), timeout=60, check=False)

    assert run("sql", "SELECT 1 AS one", "-w", str(root), "--json").stdout.split() == ["[", "{", '"one":', "1", "}", "]"]
    assert run("person", "nobody", "-w", str(root)).returncode == 1
    assert run("run", "-w", str(root / "nowhere")).returncode == 2
    command = f"{sys.executable} -m kundig show measure_days -w {root} --format csv --limit 0 | head -1"
    cut = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment(), timeout=60, check=False)
    assert cut.stdout.count("\n") == 1 and "Traceback" not in cut.stderr
