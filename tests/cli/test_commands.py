"""Every command that `kundig --help` names runs on a finished shop, ends with 0, says what it should, and speaks JSON where it offers to."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer.main

import kundig as library
from kundig import reasons
from kundig.cli.app import app
from kundig.testing import default_workspace
from tests.cli.conftest import Kundig

END = "2026-10-31"
STRINGS = Path(__file__).resolve().parent.parent / "ground/consent_strings/strings.jsonl"

READS: dict[str, tuple[list[str], str]] = {
    "plan": (["--as-of", END], "nothing is changed by a plan"),
    "show": (["lifecycle_states", "--limit", "3"], "at_risk"),
    "sql": (["SELECT count(*) AS persons FROM profiles"], "persons"),
    "person": (["{member}"], "{member}"),
    "why": (["{member}"], "{member}"),
    "urgency": (["--limit", "3"], "waiting costs"),
    "doctor": ([], "all valid"),
    "verify": ([], "every file, count and hash is as it should be"),
    "catalogue": ([], "lifetime_values"),
    "quarantine list": ([], "reason"),
    "lead list": ([], "scores rest on"),
    "persona list": ([], "geschaeftsfuehrer_kmu"),
    "persona show": (["geschaeftsfuehrer_kmu"], "Geschäftsführer KMU"),
    "prediction list": ([], "Kauft in 60 Tagen"),
    "prediction show": (["buys_again", "--person", "{member}"], "first fit"),
    "prediction card": (["buys_again"], "Modellkarte"),
    "trackingplan draft": ([], "events:"),
    "trackingplan drift": ([], "it"),
    "consent show": (["{member}", "--as-of", END], "newsletter"),
    "identity explain": (["{member}", "{member}"], "one person"),
    "identity merges": ([], "split"),
    "identity review": ([], "no question waits"),
    "consent at": (["{member}", f"{END}T10:04", "--purpose", "newsletter"], "newsletter"),
}
"""Commands that change nothing: their words on the finished shop, and something they say."""
ELSEWHERE = {
    "demo", "init", "simulate", "persona find", "prediction new", "prediction fit", "import", "apply", "run", "deliver", "report", "serve", "tail", "export", "schema",
    "privacy suppress", "privacy unsuppress", "privacy erase", "privacy request", "privacy list", "privacy show", "privacy fulfil", "privacy certificate", "privacy lift", "privacy cancel", "privacy digests", "privacy replay", "privacy expire", "privacy grant", "privacy grants", "privacy revoke", "quarantine show", "quarantine fix", "quarantine replay", "quarantine drop",
    "source list", "source add", "source check", "source declare", "webhook list", "webhook add",
    "key create", "key list", "key revoke", "consent decode", "consent expiring", "consent export",
    "destination list", "destination add", "destination letters", "destination replay", "destination drop",
    "identity undo", "identity answer", "identity decide", "identity preview", "legal folder", "matrix suggest", "matrix diff", "matrix apply", "usecase new", "usecase list", "usecase show", "lead show", "lead assign", "lead status",
}  # fmt: skip
"""Commands that write: each has a test of its own, here or in a file beside."""


def commands() -> dict[str, Any]:
    """Every command by its words."""
    found: dict[str, Any] = {}
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]  # typer gives a group for an app with several commands
        inner = getattr(command, "commands", None)
        found |= {f"{name} {one}": leaf for one, leaf in inner.items()} if inner else {name: command}
    return found


def options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


def test_every_command_is_run_by_a_test() -> None:
    assert set(commands()) == set(READS) | ELSEWHERE
    texts = "".join(path.read_text(encoding="utf-8") for folder in ("cli", "privacy", "answers") for path in Path(__file__).parent.parent.joinpath(folder).glob("test_*.py"))
    run = {name for name in ELSEWHERE if any(called + ", ".join(f'"{word}"' for word in name.split()) in texts for called in ("kundig(", "capsys, ")) or f'"kundig", "{name}"' in texts}
    assert run | {"demo"} == ELSEWHERE, "the demo is run by the fixture"


def test_help_names_every_command_and_each_has_help_of_its_own(kundig: Kundig) -> None:
    told = kundig("--help")
    assert told.code == 0
    for name, command in commands().items():
        assert name.split()[0] in told.out
        own = kundig(*name.split(), "--help")
        assert own.code == 0 and own.out.strip() and command.help, name


@pytest.mark.parametrize("name", READS)
def test_reads(kundig: Kundig, root: Path, request: pytest.FixtureRequest, member: str, name: str) -> None:
    root = request.getfixturevalue("copy") if name == "plan" else root
    words, said = READS[name]
    words, said = [word.format(member=member) for word in words], said.format(member=member)
    where = ["-w", str(root)] if "--workspace" in options(commands()[name]) else []
    done = kundig(*name.split(), *words, *where)
    assert (done.code, done.err) == (0, "") and said in done.out
    if "--json" in options(commands()[name]):
        told = kundig(*name.split(), *words, *where, "--json")
        assert told.code == 0 and told.err == ""
        assert json.loads(told.out) is not None


def test_numbers_are_the_tables(kundig: Kundig, root: Path) -> None:
    workspace = library.open(root)
    persons = workspace.table("profiles").count().execute()
    assert json.loads(kundig("sql", "SELECT count(*) AS n FROM profiles", "-w", root, "--json").out) == [{"n": persons}]
    assert json.loads(kundig("show", "features", "-w", root, "--limit", "0", "--format", "json").out).__len__() == workspace.table("features").count().execute()


def test_urgency_is_the_table_by_rank_in_both_languages(kundig: Kundig, root: Path) -> None:
    sql = "SELECT u.rank, p.person_id, l.state, u.value_at_stake::DOUBLE, u.loss_rise, u.urgency, u.reason FROM urgency u JOIN profiles p USING (person_key) JOIN lifecycle_states l USING (person_key) ORDER BY u.rank"
    held = library.open(root).rows(sql)[1]
    assert len({row[-1] for row in held}) > 1 and [row[0] for row in held] == list(range(1, len(held) + 1))
    for locale in ("de", "en"):
        told = json.loads(kundig("urgency", "-w", root, "--limit", len(held) + 1, "--locale", locale, "--json").out)
        assert [tuple(one[name] for name in ("rank", "person_id", "state", "value_at_stake", "loss_rise", "urgency", "reason")) for one in told] == [tuple(row) for row in held]
        assert all(one["sentence"] == reasons.sentence(one["reason"], locale) for one in told)
    said = kundig("urgency", "-w", root, "--limit", 2, "--locale", "en").out
    assert held[1][1] in said and held[2][1] not in said and reasons.sentence(held[0][-1], "en") in said
    refused = kundig("urgency", "-w", root, "--locale", "fr")
    assert refused.code == 1 and "no sentences in 'fr'" in refused.err


def test_show_writes_every_format(kundig: Kundig, root: Path, tmp_path: Path) -> None:
    rows = list(csv.reader(io.StringIO(kundig("show", "segment_members", "-w", root, "--format", "csv", "--limit", "7").out)))
    assert len(rows) == 8 and "segment_id" in rows[0]
    written = kundig("show", "segment_members", "-w", root, "--format", "csv", "--limit", "0", "--output", tmp_path / "members.csv")
    with (tmp_path / "members.csv").open(encoding="utf-8", newline="") as file:
        assert written.code == 0 and sum(1 for _ in csv.reader(file)) == library.open(root).table("segment_members").count().execute() + 1
    parquet = kundig("show", "segment_members", "-w", root, "--format", "parquet", "--limit", "5", "--output", tmp_path / "members.parquet")
    assert parquet.code == 0 and pq.read_table(tmp_path / "members.parquet").num_rows == 5


@pytest.mark.parametrize("name", ("profiles", "messages", "decisions"))
def test_export_holds_the_whole_table(kundig: Kundig, root: Path, tmp_path: Path, name: str) -> None:
    done = kundig("export", name, tmp_path / "new" / "folder", "-w", root)
    rows = pq.read_table(tmp_path / "new" / "folder" / f"{name}.parquet").num_rows
    assert done.code == 0 and f"{rows:,} rows" in done.out
    assert rows == library.open(root).rows(f"SELECT count(*) FROM {name}")[1][0][0] > 0


def test_a_cell_is_no_formula(kundig: Kundig, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kundig.workspace.Workspace.rows", lambda self, sql: (["name"], [("=1+1",), ("@sum",), ("+49",), ("plain",)]))
    assert kundig("show", "profiles", "-w", root, "--format", "csv").out.split() == ["name", "'=1+1", "'@sum", "'+49", "plain"]


def test_a_person_is_told_in_english_on_the_command_line(kundig: Kundig, root: Path, member: str) -> None:
    for words in (("person", member), ("consent", "show", member)):
        said = kundig(*words, "-w", root).out
        assert "consented to" in said and "eingewilligt" not in said


def test_a_consent_string_is_told_or_refused(kundig: Kundig) -> None:
    told = kundig("consent", "decode", "DBABTA~1YYN")
    assert told.code == 0 and "opted out" in told.out
    string = next(line["text"] for line in map(json.loads, STRINGS.read_text(encoding="utf-8").splitlines()) if line["kind"] == "tcf" and line["created"] < 1_590_000_000_000)
    assert kundig("consent", "decode", string, "--vendor", "2").code == 0
    refused = kundig("consent", "decode", string[:-4])
    assert refused.code == 1 and "mend:" in refused.err


def test_consents_for_others_to_read(kundig: Kundig, root: Path, member: str, tmp_path: Path) -> None:
    whole = kundig("consent", "export", tmp_path / "all.jsonld", "-w", root)
    held = json.loads((tmp_path / "all.jsonld").read_text(encoding="utf-8"))["@graph"]
    assert whole.code == 0 and f"{len(held):,} consent records" in whole.out and len(held) > 3
    statements = {event["identifier"] for record in held for event in record["events"]}
    known = library.open(root).rows("SELECT count(DISTINCT record_id) FROM consent_records r JOIN identities d ON d.identifier_key = r.identifier_key AND d.valid_until IS NULL JOIN profiles USING (person_key)")[1][0][0]
    assert len(statements) == known
    kundig("consent", "export", tmp_path / "one.jsonld", "-w", root, "--person", member)
    one = json.loads((tmp_path / "one.jsonld").read_text(encoding="utf-8"))["@graph"]
    assert {record["dataSubject"] for record in one} == {member} and [record for record in held if record["dataSubject"] == member] == one


def test_consents_that_lapse_soon(kundig: Kundig, root: Path, tmp_path: Path) -> None:
    soon = json.loads(kundig("consent", "expiring", "-w", root, "--days", "400", "--json").out)
    later = json.loads(kundig("consent", "expiring", "-w", root, "--days", "1", "--json").out)
    assert len(soon) > len(later) and [row["until"] for row in soon] == sorted(row["until"] for row in soon)
    told = kundig("consent", "expiring", "-w", root, "--days", "400", "--csv", tmp_path / "soon.csv")
    assert told.code == 0 and sum(1 for _ in (tmp_path / "soon.csv").open(encoding="utf-8")) == len(soon) + 1


def test_why_answers_in_one_sentence_each(kundig: Kundig, root: Path, member: str) -> None:
    german, english = (kundig("why", member, "-w", root, "--locale", locale).out.splitlines() for locale in ("de", "en"))
    assert len(german) == len(english) == len(library.open(root).config.audiences)
    assert any(" hat " in line and " bekommen" in line for line in german) and any(" got " in line for line in english)
    assert [answer["audience"] for answer in json.loads(kundig("why", member, "-w", root, "--audience", "win_back", "--json").out)] == ["win_back"]
    assert "segment" in kundig("why", member, "-w", root, "--segment", "active", "--locale", "en").out


def test_an_order_stands_once_in_the_timeline(kundig: Kundig, root: Path) -> None:
    """An order lands as a row and as an event of the same id; what is told of a person has it once, with the order's net value."""
    workspace = library.open(root)
    assert workspace.rows("SELECT count(*) FROM events WHERE event_id IN (SELECT order_id FROM orders)")[1][0][0] > 100
    sql = """SELECT p.person_id, o.order_id, o.net FROM orders o JOIN identities d USING (identifier_key) JOIN profiles p ON p.person_key = d.person_key
        WHERE d.valid_until IS NULL AND o.net > 0 ORDER BY o.occurred_at DESC LIMIT 1"""
    person, order, net = workspace.rows(sql)[1][0]
    told = [entry for entry in json.loads(kundig("person", person, "-w", root, "--json").out)["timeline"] if entry["what"] == "order_completed" or entry["detail"] == order]
    assert [(entry["kind"], entry["detail"]) for entry in told if entry["detail"] == order] == [("order", order)]
    assert float(net) in [entry["value"] for entry in told] and all(entry["kind"] == "order" for entry in told)


def test_report_is_written_where_it_is_asked_for(kundig: Kundig, root: Path, tmp_path: Path) -> None:
    done = kundig("report", "-w", root, "--locale", "en", "--output", tmp_path / "r.html")
    assert done.code == 0 and done.out.strip() == str(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith('<!doctype html>\n<html lang="en">')


def test_schema_and_catalogue(kundig: Kundig, tmp_path: Path) -> None:
    done = kundig("schema", tmp_path / "schemas")
    assert done.code == 0 and len(done.out.split()) == len(list((tmp_path / "schemas").glob("*.schema.json"))) > 5
    assert all(json.loads(path.read_text(encoding="utf-8"))["type"] for path in (tmp_path / "schemas").iterdir())
    assert kundig("catalogue", "--markdown").out.count("lifetime_values") >= 1


def test_simulate_writes_files_and_the_truth_apart(kundig: Kundig, tmp_path: Path) -> None:
    words = ("--persons", "100", "--days", "60", "--seed", "3")
    done = kundig("simulate", tmp_path / "a", *words, "--truth", tmp_path / "truth")
    again = kundig("simulate", tmp_path / "b", *words)
    files = {path.relative_to(tmp_path / "a"): path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()}
    assert done.code == again.code == 0 and len(done.out.splitlines()) >= 10 and any((tmp_path / "truth").iterdir())
    assert files == {path.relative_to(tmp_path / "b"): path.read_bytes() for path in (tmp_path / "b").rglob("*") if path.is_file()}, "the same seed gives the same files"
    assert not any("truth" in str(path) for path in files)


def test_demo_told_counts_before_and_after_each_gate(root: Path) -> None:
    said = (root / "demo.txt").read_text(encoding="utf-8")
    workspace = library.open(root)
    _, found = workspace.rows("SELECT audience, count(DISTINCT person_key), count(DISTINCT person_key) FILTER (allow) FROM decisions GROUP BY 1")
    lines = [line.split() for line in said.splitlines()]
    for name, candidates, allowed in found:
        assert [name, f"{candidates:,}", f"{allowed:,}"] in [line[:3] for line in lines]
    total, low, high = workspace.rows("SELECT sum(expected_value), sum(expected_value_low), sum(expected_value_high) FROM lifetime_values")[1][0]
    assert f"{total:,.0f} EUR ({low:,.0f} to {high:,.0f})" in said and "Where to look:" in said
    assert all(Path(line.strip().replace("shop.making", "shop")).exists() for line in said.splitlines() if line.strip().endswith((".html", "messages/1")))


def test_tail_says_what_to_do_while_nothing_has_come_and_is_lines_for_machines(kundig: Kundig, root: Path) -> None:
    told = kundig("tail", "--no-follow", "-w", root)
    assert told.code == 0 and "kundig key create SOURCE" in told.out
    assert kundig("tail", "--no-follow", "--json", "-w", root).out == ""
    assert kundig("tail", "--no-follow", "--source", "wep", "-w", root).code == 2


def test_personas_of_a_file_are_found_without_a_workspace(kundig: Kundig, tmp_path: Path) -> None:
    """Two kinds of people in a CSV; who belongs to which is written, and JSON says the same."""
    people, members = tmp_path / "people.csv", tmp_path / "members.csv"
    kinds = {0: ("mail", "books", 30), 1: ("app", "tents", 60)}
    rows = [f"c{number},{number % 2 * 6 + number * 37 % 101 / 20:.2f},{number % 2 * -4 + number * 53 % 97 / 20:.2f},{kinds[number % 2][0]},{kinds[number % 2][1]},{kinds[number % 2][2] + number * 29 % 89 / 5:.1f}" for number in range(400)]
    people.write_text("person_id,spend,visits,channel,interest,age\n" + "\n".join(rows) + "\n", encoding="utf-8")
    done = kundig("persona", "find", str(people), "--output", str(members))
    assert done.code == 0 and "2 personas; usable" in done.out and "channel" in done.out
    written = list(csv.DictReader(io.StringIO(members.read_text(encoding="utf-8"))))
    assert len(written) == 400 and len({(row["persona_id"], int(row["person_id"][1:]) % 2) for row in written}) == 2
    told = json.loads(kundig("persona", "find", str(people), "--json").out)
    assert told["count"] == 2 and told["sizes"] == [200, 200]


def test_a_person_is_found_by_name_and_several_are_listed(kundig: Kundig, root: Path) -> None:
    first, last, who = library.open(root).rows("SELECT first_name, last_name, person_id FROM profiles WHERE length(first_name) > 4 AND length(last_name) > 5 ORDER BY person_id LIMIT 1")[1][0]
    listed = kundig("person", last, "-w", root)
    assert listed.code == 0 and last in listed.out
    assert who in kundig("person", f"{last} {first}", "-w", root).out
    assert kundig("person", "Xyzzyvarg", "-w", root).code != 0


def test_a_new_prediction_is_checked_as_a_whole_and_written(kundig: Kundig, tmp_path: Path) -> None:
    default_workspace(tmp_path)
    given = ["buys", "--meaning", "Buyers", "--owner", "crm@example.org", "-w", str(tmp_path)]
    wrong = kundig("prediction", "new", *given, "--target", "{event: order_complete}", "--horizon", "soon", "--gain", "3")
    assert wrong.code == 2 and "30 days" in wrong.err and "gain and cost" not in wrong.out and not (tmp_path / "predictions").exists()
    assert "did you mean 'order_completed'" in kundig("prediction", "new", *given, "--target", "{event: order_complete}").err
    done = kundig("prediction", "new", *given, "--target", "{event: order_completed}", "--population", "{trait: country, is: DE}", "--horizon", "6 weeks", "--gain", "18", "--cost", "1.5")
    assert done.code == 0 and "horizon: 6 weeks" in done.out
    assert library.open(tmp_path).config.predictions["buys"].days == 42
    assert kundig("prediction", "new", *given, "--target", "{event: order_completed}").code == 2, "what is there is not written over"


def test_a_prediction_is_tried_and_nothing_is_kept(kundig: Kundig, root: Path) -> None:
    before = library.open(root).lake.snapshot()
    told = json.loads(kundig("prediction", "fit", "buys_again", "-w", root, "--json").out)
    assert told["population"] > 100 and told["report"]["rows"] > 100 and library.open(root).lake.snapshot() == before
    assert kundig("prediction", "card", "buys", "-w", root).code == 2
