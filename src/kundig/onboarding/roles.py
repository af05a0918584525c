"""Which table a file is, and which column means what: only where name and cells agree; everything else is asked, never guessed."""

from __future__ import annotations

from dataclasses import dataclass

from kundig.onboarding.look import Column, Seen
from kundig.onboarding.vocabulary import FILE_WORDS, NEEDS, OTHER_WORDS, STATUSES, TABLES, TICKET_STATUSES, folded, rank

_OWN_KEY = {"orders": "order_id", "contacts": "_key", "products": "product_id", "tickets": "ticket_id"}
"""The column that a table's bare `id` is."""
_MOMENTS = {"occurred_at", "solved_at", "local_day", "birth_date"}
_AMOUNTS = {"gross", "net", "tax", "shipping", "discount", "unit_price", "product_cost", "price", "cost", "amount", "quantity"}
_WHOLE = {"impressions", "clicks", "company_size", "age", "satisfaction"}
_MINOR_UNITS = {"gross", "net", "amount", "unit_price", "price", "tax", "discount", "product_cost", "shipping"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What cannot be known from the file: the column, what it may be, and why it is asked."""

    file: str
    column: str
    asks: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How a file is read: its table, the columns that are sure, and what is asked."""

    seen: Seen
    table: str
    columns: dict[str, str]
    """Canonical column (or role with a leading underscore) → the file's column."""
    questions: tuple[Question, ...] = ()


def read(seen: Seen) -> Reading | None:
    """The surest reading of a file; None where it is no table that is known."""
    if seen.format == "segment_ndjson":
        return Reading(seen=seen, table="events", columns={})
    best: tuple[float, Reading] | None = None
    for table in TABLES:
        columns, questions = _columns(seen, table)
        if not all(any(name in columns for name in group) for group in NEEDS[table]) or not _plausible(seen, table, columns):
            continue
        score = _score(seen, table, columns)
        if best is None or score > best[0]:
            best = (score, Reading(seen=seen, table=table, columns=columns, questions=tuple(questions)))
    return None if best is None else best[1]


def doubts(seen: Seen) -> tuple[Question, ...]:
    """What stands between a file and its surest table: the columns that must be asked about."""
    best: tuple[int, tuple[Question, ...]] = (0, ())
    for table in TABLES:
        columns, questions = _columns(seen, table)
        own = tuple(question for question in questions if not question.options)
        if own and len(columns) + len(own) + _named(seen, table) > best[0]:
            best = (len(columns) + len(own) + _named(seen, table), own)
    return best[1]


def _named(seen: Seen, table: str) -> int:
    """Length of the longest word of the file's name that speaks for a table."""
    name = f" {folded(seen.path.stem)} "
    return max((len(word) for word in FILE_WORDS[table].split("|") if word in name), default=0)


def _plausible(seen: Seen, table: str, columns: dict[str, str]) -> bool:
    """The file is of that table, and not of something that merely has the same columns."""
    words = set(folded(seen.path.stem).split())
    if words & set(OTHER_WORDS) and _named(seen, table) < 12:
        return False
    if table == "contacts":
        personal = {"first_name", "last_name", "phone", "street", "city", "postcode", "birth_date", "company"} & set(columns)
        return len(personal) >= 2 or (_named(seen, table) > 0 and bool(personal or "email" in columns))
    if table == "products":
        sold = TABLES["order_lines"]
        return not any(rank(column.name, sold[role]) is not None for column in seen.columns for role in ("order_id", "quantity", "_customer"))
    return True


def _score(seen: Seen, table: str, columns: dict[str, str]) -> float:
    return len(columns) + 0.6 * _named(seen, table)


def _columns(seen: Seen, table: str) -> tuple[dict[str, str], list[Question]]:
    found: dict[str, str] = {}
    asked: list[Question] = []
    taken: set[str] = set()
    candidates = []
    generic = _named(seen, table) > 0
    for order, (role, names) in enumerate(TABLES[table].items()):
        for column in seen.columns:
            place = rank(column.name, names)
            if folded(column.name) == "id":
                place = 99 if role == _OWN_KEY.get(table) and generic else None
            if place is not None:
                candidates.append((place, order, role, column))
    for _, _, role, column in sorted(candidates, key=lambda item: (item[0], item[1])):
        if role in found or column.name in taken:
            continue
        verdict = _fits(role, column, table)
        if verdict == "yes":
            found[role] = column.name
            taken.add(column.name)
        elif verdict != "no":
            asked.append(Question(file=seen.path.name, column=column.name, asks=verdict))
            taken.add(column.name)
    if table == "contacts" and "_customer" not in found and "_key" in found and rank(found["_key"], TABLES["contacts"]["_customer"]) is not None:
        found["_customer"] = found["_key"]
    if table == "contacts" and "_key" not in found and "_customer" in found:
        found["_key"] = found["_customer"]
    asked += [_tie(seen, role, column) for role, column in _ties(seen, table, found)]
    return found, asked


def _ties(seen: Seen, table: str, found: dict[str, str]) -> list[tuple[str, str]]:
    """Other columns that could mean the moment as well: told, so that the choice can be changed."""
    chosen = found.get("occurred_at")
    if chosen is None:
        return []
    names = TABLES[table]["occurred_at"]
    return [("occurred_at", column.name) for column in seen.columns if column.name != chosen and rank(column.name, names) is not None and column.dates and column.filled > 0.5]


def _tie(seen: Seen, role: str, column: str) -> Question:
    return Question(file=seen.path.name, column=column, asks=f"is this the moment that counts ({role})? another column was taken", options=("no", "yes"))


def _fits(role: str, column: Column, table: str = "orders") -> str:
    """`yes`, `no`, or what must be asked."""
    if not column.cells:
        return "no"
    if role in _MOMENTS:
        return _moment(column)
    if role in _AMOUNTS:
        return _amount(role, column)
    if role in _WHOLE:
        return "yes" if column.numbers else "no"
    if role in ("email", "_email"):
        if column.emails:
            return "yes"
        return "it is called an e-mail address, and its cells are none (hashed?)" if column.filled > 0.2 else "no"
    if role in ("phone", "_phone"):
        return "yes" if column.phones else "no"
    if role == "_status":
        words = TICKET_STATUSES if table == "tickets" else STATUSES
        strange = sorted({cell for cell in column.cells if folded(cell) not in words})
        return "yes" if not strange else f"what do these statuses mean: {', '.join(strange[:8])}"
    if role in ("order_id", "ticket_id", "product_id", "_key", "message_id", "_customer", "_card"):
        written = set(column.dates) - {"excel", "unix", "unix_ms"}
        if written or column.emails:
            return "no"
        return "yes"
    if role == "_currency":
        return "yes" if all(len(cell) == 3 and cell.isalpha() for cell in column.cells) else "no"
    if role in ("first_name", "last_name", "city", "street"):
        if column.numbers or column.emails:
            return "no"
        hashed = all(len(cell) in (32, 40, 64) and all(letter in "0123456789abcdef" for letter in cell) for cell in column.cells)
        return "its cells look hashed: is it still of use?" if hashed else "yes"
    if role == "name" and column.numbers:
        return "no"
    return "yes"


def _moment(column: Column) -> str:
    if not column.dates:
        return "no"
    if len(column.dates) > 1:
        return f"day and month cannot be told apart ({' or '.join(column.dates)}): which comes first?"
    return "yes"


def _amount(role: str, column: Column) -> str:
    if not column.numbers:
        return "no"
    whole = all(cell.lstrip("-").isdigit() for cell in column.cells)
    large = sum(len(cell.lstrip("-")) >= 3 for cell in column.cells) >= 0.6 * len(column.cells)
    if role in _MINOR_UNITS and whole and large and len(set(column.cells)) > 1:
        return "all amounts are whole numbers: are they cents?"
    if len(column.marks) > 1 and not whole:
        return "1.234 may be a thousand or one and a bit: which mark is the decimal one?"
    return "yes"
