"""`kundig sql` can only read the tables: no attempt reaches a file, a setting, another database or a second statement, and the attempts themselves are real."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import kundig as library
from kundig.errors import KundigError
from kundig.store import query
from kundig.workspace import Workspace
from tests.cli.conftest import Kundig

SECRET = "a-secret-that-no-table-holds"

READING_FILES = (
    "SELECT * FROM read_csv('{file}', header=false)", "SELECT * FROM read_text('{file}')", "SELECT * FROM read_blob('{file}')", "SELECT * FROM '{file}'", 'SELECT * FROM "{file}"',
    "SELECT * FROM glob('{folder}/*')", "FROM read_csv_auto('{file}', header=false)", "SELECT (SELECT content FROM read_text('{file}'))", "WITH x AS (SELECT * FROM read_text('{file}')) SELECT * FROM x",
    "SELECT * FROM profiles, read_text('{file}') LIMIT 1", "SELECT * FROM profiles WHERE EXISTS (SELECT 1 FROM read_text('{file}')) LIMIT 1", "SELECT 1 UNION ALL SELECT size FROM read_text('{file}')",
    "SELECT /* read */ * FROM /* the file */ read_text('{file}') -- quietly", "SELECT * FROM READ_TEXT('{file}')", "SELECT * FROM main.read_text('{file}')", "SELECT * FROM system.main.read_text('{file}')",
    "SELECT * FROM (VALUES (1)) v LEFT JOIN LATERAL (SELECT * FROM read_text('{file}')) t ON true", "SELECT x FROM (SELECT unnest([1]) x) ORDER BY (SELECT size FROM read_text('{file}'))",
    "SELECT * FROM query('SELECT * FROM read_text(''{file}'')')", "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM read_text(''{file}'')'))",
    'SELECT * FROM (WITH "{file}" AS (SELECT 1) SELECT 1) x, "{file}"',
)  # fmt: skip
LOOKING_ROUND = (
    "SELECT getenv('HOME')", "SELECT current_setting('temp_directory')", "SELECT * FROM duckdb_settings()", "SELECT * FROM duckdb_secrets()", "SELECT * FROM pragma_database_list", "SELECT * FROM duckdb_tables",
    "SELECT * FROM (WITH duckdb_tables AS (SELECT 1 AS a) SELECT 1 AS b) x, duckdb_tables", "SELECT * FROM (WITH pragma_database_list AS (SELECT 1 AS a) SELECT 1 AS b) x, pragma_database_list",
    "SELECT * FROM (WITH sqlite_master AS (SELECT 1 AS a) SELECT 1 AS b) x, sqlite_master", "SELECT * FROM information_schema.tables", "SELECT * FROM pg_catalog.pg_tables", "SELECT * FROM which_secret('x', 's3')",
    "SELECT * FROM system.main.duckdb_views", "SELECT * FROM (SHOW TABLES)", "SELECT * FROM (DESCRIBE profiles)", "SELECT getvariable('x')", "SELECT * FROM query_table('profiles')",
)  # fmt: skip
CHANGING = (
    "COPY profiles TO '{folder}/out.csv'", "COPY (SELECT 1) TO '{folder}/out.csv'", "COPY profiles FROM '{file}'", "EXPORT DATABASE '{folder}/out'", "ATTACH '{folder}/out.db' AS x", "DETACH memory",
    "INSTALL httpfs", "LOAD httpfs", "PRAGMA database_list", "SET threads = 1", "RESET threads", "SET VARIABLE x = 1", "CREATE TABLE x AS SELECT 1", "CREATE MACRO f(a) AS a", "CREATE VIEW x AS SELECT 1",
    "DROP TABLE profiles", "DELETE FROM profiles", "UPDATE profiles SET city = 'x'", "INSERT INTO profiles SELECT * FROM profiles", "TRUNCATE profiles", "ALTER TABLE profiles ADD COLUMN x INT", "CHECKPOINT",
    "VACUUM", "BEGIN", "CALL pragma_version()", "USE memory", "EXPLAIN ANALYZE SELECT 1", "SELECT 1; SELECT 2", "SELECT 1; COPY (SELECT 1) TO '{folder}/out.csv'", "SELECT 1 /* ; */ ; DROP TABLE profiles",
    "WITH x AS (DELETE FROM profiles RETURNING *) SELECT * FROM x", "WITH x AS (SELECT 1) INSERT INTO profiles SELECT * FROM x", "WITH x AS (SELECT 1) DELETE FROM profiles", "PREPARE p AS SELECT 1", "EXECUTE p", "", "-- nothing", ";",
    "SELECT nextval('s')", "SELECT * FROM nothing_of_that_name", "SELECT * FROM profiles p, other.profiles q", "rubbish",
)  # fmt: skip
ALLOWED = (
    "SELECT count(*) FROM profiles", "WITH x AS (SELECT person_key FROM profiles) SELECT count(*) FROM x", "FROM profiles SELECT count(*)", "SELECT * FROM range(3)", "SELECT count(*) FROM profiles -- ; DROP TABLE profiles",
    "SELECT 'COPY x TO y; ATTACH z'", "SELECT state, count(*) FROM lifecycle_states GROUP BY ALL ORDER BY 2", "SELECT count(*) FROM messages", "SELECT unnest([1, 2])", "VALUES (1)", "SELECT 1;",
    "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT max(i) FROM n",
)  # fmt: skip


@pytest.fixture(scope="module")
def workspace(root: Path) -> Workspace:
    return library.open(root)


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "secret.csv").write_text(f"{SECRET}\n", encoding="utf-8")
    return {"file": str(tmp_path / "secret.csv"), "folder": str(tmp_path)}


def through(workspace: Any, attempts: tuple[str, ...], places: dict[str, str]) -> dict[str, str]:
    """Attempts that were answered, with the answer."""
    found = {}
    for attempt in attempts:
        try:
            found[attempt] = str(workspace.rows(attempt.format(**places)))
        except KundigError as error:
            if not error.mend:
                found[attempt] = "refused without a mend"
    return found


@pytest.mark.parametrize("attempts", (READING_FILES, LOOKING_ROUND, CHANGING), ids=("files", "looking", "changing"))
def test_nothing_gets_through(workspace: Workspace, places: dict[str, str], attempts: tuple[str, ...]) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(places["folder"]).rglob("*")}
    assert through(workspace, attempts, places) == {}
    assert {path: path.stat().st_mtime_ns for path in Path(places["folder"]).rglob("*")} == before
    assert workspace.rows("SELECT count(*) > 0 FROM profiles")[1] == [(True,)], "and the tables are as they were"


def test_what_reads_tables_is_answered(workspace: Workspace, places: dict[str, str]) -> None:
    assert set(through(workspace, ALLOWED, places)) == set(ALLOWED)


def test_attempts_are_real_where_functions_are_not_judged(workspace: Workspace, places: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted weakness: function names are not looked at any more."""
    monkeypatch.setattr(query, "_judge_function", lambda *given: None)
    monkeypatch.setattr(query, "ROWS_FROM", query.ROWS_FROM | {"read_text", "read_csv", "read_csv_auto", "read_blob", "glob"})
    read = through(workspace, READING_FILES, places)
    assert sum(SECRET in answer for answer in read.values()) >= 4
    assert "SELECT current_setting('temp_directory')" in through(workspace, LOOKING_ROUND, places)


def test_attempts_are_real_where_the_text_is_judged(workspace: Workspace, places: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted weakness: a list of forbidden words in place of the parsed form."""

    def by_words(connection: Any, sql: str, tables: Any) -> list[str]:
        if re.match(r"\s*(copy|attach|install|pragma|insert|delete|drop)\b", sql):
            raise KundigError("forbidden", mend="read")
        return [name for name in tables if re.search(rf"\b{name}\b", sql)]

    monkeypatch.setattr(query, "_named", by_words)
    monkeypatch.setattr(query, "READERS", 0)
    assert any(SECRET in answer for answer in through(workspace, READING_FILES, places).values())
    assert through(workspace, LOOKING_ROUND, places)
    assert through(workspace, ("COPY (SELECT 1) TO '{folder}/out.csv'",), places) and (Path(places["folder"]) / "out.csv").is_file()


def test_a_subquery_named_like_a_table_of_the_engine_was_a_way_out(workspace: Workspace, places: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "_of_engine", lambda connection: set())
    assert any("duckdb_tables" in attempt for attempt in through(workspace, LOOKING_ROUND, places))


def spelt(name: str) -> str:
    """A name as a text of octal escapes."""
    return "E'" + "".join(f"\\{ord(sign):03o}" for sign in name) + "'"


def numbered(workspace: Workspace, file: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Ask for a file by a query that differs in numbers alone from one that was answered."""
    harmless = "a" * len(file)
    asked = f"WITH {harmless} AS (SELECT 1) SELECT * FROM {spelt(harmless)}"
    assert workspace.rows(asked)[1] == [(1,)]
    return workspace.rows(asked.replace(spelt(harmless), spelt(file)))


def test_numbers_that_spell_a_name_are_judged(workspace: Workspace, places: dict[str, str]) -> None:
    with pytest.raises(KundigError, match="there is no table"):
        numbered(workspace, places["file"])


def test_numbers_that_spell_a_name_were_a_way_out(workspace: Workspace, places: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted weakness: escapes are taken for numbers."""
    monkeypatch.setattr(query, "_SPELLS", re.compile("never^"))
    assert SECRET in str(numbered(workspace, places["file"]))


def test_refusal_on_the_command_line(kundig: Kundig, root: Path) -> None:
    done = kundig("sql", "SELECT * FROM read_csv('/etc/hostname')", "-w", root)
    assert done.code == 1 and done.out == "" and done.err.splitlines() == ["StoreError: 'read_csv' reaches outside the tables", "  mend: read the declared tables by their names"]
