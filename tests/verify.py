"""What `make verify ISSUE=<name>` runs: the full counts that an issue names, ending in one table."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Check:
    """One row of the table: what is run, how often, and by which command."""

    name: str
    count: str
    command: tuple[str, ...]


def _pytest(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "pytest", "-q", "-rs", "-s", *words)


CHECKS: dict[str, tuple[Check, ...]] = {
    "house": (
        Check(name="lake: kills on SQLite and PostgreSQL", count="300 + 100", command=_pytest("tests/store", "-k", "crash or kill")),
        Check(name="lake: real ducklake extension as oracle", count="every snapshot", command=_pytest("tests/store", "-m", "needs_ducklake")),
        Check(name="run: kills spread over steps and commits", count="100", command=_pytest("tests/crash/test_run_kills.py")),
        Check(name="rules: laws of the language", count="full", command=_pytest("tests/rules", "-m", "not needs_java")),
        Check(name="parity: the same rows on DuckDB and Spark", count="every step", command=_pytest("tests/parity")),
        Check(name="incremental equals full", count="full", command=_pytest("tests/pipeline")),
        Check(name="truth: estimates against simulated worlds", count="full", command=_pytest("tests/understand", "tests/truth")),
        Check(name="laws of consent, gate and identity", count="full", command=_pytest("tests/ground", "tests/unify")),
        Check(name="init on folders of exports", count="all folders", command=_pytest("tests/onboarding")),
        Check(name="newcomers' mistakes", count="all", command=_pytest("tests/collect", "tests/mistakes")),
    ),
    "unify": (
        Check(name="identity: matching, answers, undo, order, cuts, bad input", count="200, 1,000,000", command=_pytest("tests/unify/test_decisions.py")),
        Check(name="identity: persons of the simulated shop against the truth, matching on", count="6,000 persons", command=_pytest("tests/unify/test_shop_people.py")),
        Check(name="legal: the folder's figures against the tables, answers for any moment", count="full", command=_pytest("tests/legal")),
        Check(name="consent over merges, splits and undo; the log's answer is the gate's; merge strategies against plain Python", count="1,000 to 4,000; 400 persons", command=_pytest("tests/ground/test_consent_over_time.py", "tests/ground/test_account.py", "tests/ground/test_consent.py", "tests/unify/test_merge_strategies.py")),
        Check(name="privacy: requests by command, page, OpenDSR and regulations; a person planted in every store, on PostgreSQL and NATS too; erasure cut off after every step, played after a restore; retention", count="every step, 6 stores", command=_pytest("tests/privacy")),
        Check(name="people: origins, timeline, search against a plain one, pages in a browser", count="full", command=_pytest("tests/answers", "tests/server")),
    ),
    "collect": (
        Check(name="intake: recorded and real SDKs, sent / arrived / sent again", count="9 SDKs", command=_pytest("tests/intake", "-k", "sdk")),
        Check(name="intake: statuses, consent, kills, full disk, fuzzing, OpenAPI", count="full", command=_pytest("tests/intake", "-k", "not sdk")),
        Check(name="intake and landing: kills under load, with clients sending", count="210", command=_pytest("tests/crash/test_inbox_kills.py")),
        Check(name="live equals batch: random worlds", count="12", command=_pytest("tests/live")),
        Check(name="landing: every call an event, a duplicate or held", count="full", command=_pytest("tests/collect")),
        Check(name="forwarding: kills, order per person; the broker's inbox", count="67 + 20", command=_pytest("tests/crash/test_forwarding.py", "tests/deliver/test_forward.py", "tests/live/test_forwarding.py", "tests/store/test_inbox.py")),
        Check(name="quarantine: kills of fix, drop and replay", count="every point", command=_pytest("tests/crash/test_quarantine_kills.py")),
        Check(name="processes: pages within 2 s, each restarted alone", count="all", command=_pytest("tests/server/test_serve.py", "tests/server/test_processes.py", "tests/server/test_live_pages.py")),
    ),
    "understand": (
        Check(name="lifetime value: published figures, laws, cases that break naive code", count="full", command=_pytest("tests/understand/test_lifetime_value.py", "tests/understand/test_purchase_models.py", "tests/understand/test_pareto_nbd.py", "tests/understand/test_contracts.py", "tests/understand/test_contract_steps.py", "tests/understand/test_groups_and_habits.py")),
        Check(name="lifetime value: truth, and the real shop's eleven back-tests", count="200 worlds, 11 pairs", command=_pytest("tests/understand/test_lifetime_worlds.py")),
        Check(name="lifetime value: the page's figures recounted, pictures against their tables", count="all, de and en", command=_pytest("tests/server/test_value_page.py")),
        Check(name="lifetime value: figures and seconds", count="1,000,000", command=(sys.executable, "-m", "bench.lifetime_value")),
        Check(name="predictions: nothing of after a cut-off, champions, scores", count="180 persons", command=_pytest("tests/understand/test_predictions.py")),
        Check(name="personas: known groups beside the oracle, none where there are none", count="72 worlds, 160 nones", command=_pytest("tests/understand/test_personas.py")),
        Check(name="personas: a million persons", count="1,000,000", command=(sys.executable, "-m", "bench.personas", "--none", "5")),
        Check(name="segments: the matrix suggested, compared and applied; its page in a browser", count="full", command=_pytest("tests/understand/test_matrix.py", "tests/cli/test_matrix.py", "tests/server/test_matrix_page.py")),
        Check(name="segments by rule: incremental equals full, on DuckDB and Spark", count="6 worlds", command=_pytest("tests/pipeline", "tests/parity", "tests/understand/test_rule_segments.py")),
        Check(name="use cases: goals judged by their KPIs", count="full", command=_pytest("tests/understand/test_usecases.py", "tests/cli/test_usecases.py")),
        Check(name="one rule: a million profiles, a hundred million events", count="1,000,000; 100,000,000", command=(sys.executable, "-m", "bench.rules", "--events", "100000000", "--runs", "3")),
        Check(name="prediction: leaks by timing, folds, calibration, card, drift", count="full", command=_pytest("tests/understand/test_propensity.py")),
        Check(name="prediction: real people beside the baselines; a million persons", count="3 sets, 1,000,000", command=(sys.executable, "-m", "bench.propensity")),
    ),
}


def main(arguments: list[str]) -> int:
    """Run the checks of one issue; returns 1 when any failed."""
    issue = arguments[0] if arguments else "house"
    if issue not in CHECKS:
        print(f"no checks are listed for '{issue}'; known: {', '.join(sorted(CHECKS))}")
        return 2
    os.chdir(ROOT)
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "KUNDIG_FULL": "1", "OMP_NUM_THREADS": "1"}
    rows = []
    for check in CHECKS[issue]:
        print(f"── {check.name}", flush=True)
        began = time.perf_counter()
        done = subprocess.run(check.command, env=environment, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print(done.stdout, flush=True)
        rows.append((check, done.returncode, time.perf_counter() - began, _told(done.stdout)))
    print(_table(rows))
    return 0 if all(code in (0, 5) for _, code, _, _ in rows) else 1


def _told(output: str) -> str:
    summary = re.findall(r"\d+ (?:passed|failed|skipped|error\w*|xfailed)", output)
    reasons = sorted(set(re.findall(r"^SKIPPED \[\d+\] \S+: (.*)$", output, flags=re.MULTILINE)))
    return ", ".join(summary[-4:]) + (f"; not run: {'; '.join(reasons)}" if reasons else "")


def _table(rows: list[tuple[Check, int, float, str]]) -> str:
    lines = ["", "| check | count | result | seconds | told |", "|---|---|---|---|---|"]
    for check, code, seconds, told in rows:
        result = "passed" if code == 0 else "nothing to run" if code == 5 else "FAILED"
        lines.append(f"| {check.name} | {check.count} | {result} | {seconds:.0f} | {told} |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
