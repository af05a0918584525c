"""From files to a proposal: sources with their mappings, settings, and the questions that only people can answer."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kundig.errors import Fault, KundigError
from kundig.onboarding.look import files, look
from kundig.onboarding.roles import Question, Reading, doubts, read
from kundig.onboarding.vocabulary import STATUSES, TICKET_STATUSES, folded

_PLAIN = frozenset({"salutation", "title", "first_name", "last_name", "email", "phone", "street", "house_number", "postcode", "city", "country", "birth_date", "language", "company", "job_title", "company_size", "industry", "family_status", "motivation", "age", "lead_source", "acquisition_channel", "decision_power"})
_GERMAN = {"DE": "EUR", "AT": "EUR", "CH": "CHF", "GB": "GBP"}


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What `init` would write, what it asks, and what it leaves alone."""

    sources: dict[str, dict[str, Any]]
    settings: dict[str, str]
    readings: tuple[Reading, ...]
    questions: tuple[Question, ...]
    unread: tuple[tuple[str, str], ...]
    """File and why it is not used."""
    faults: tuple[Fault, ...] = field(default=())


def propose(folder: Path, *, below: str = "exports") -> Proposal:
    """What the files of a folder are, as a proposal; `below` is where they will lie in the workspace."""
    readings: list[Reading] = []
    unread: list[tuple[str, str]] = []
    questions: list[Question] = []
    faults: list[Fault] = []
    for path in files(folder):
        name = path.relative_to(folder).as_posix()
        try:
            seen = look(path)
            reading = read(seen)
        except KundigError as error:
            faults += error.faults
            unread.append((name, error.what))
            continue
        if reading is None:
            asked = doubts(seen)
            told = "; ".join(f"{one.column}: {one.asks}" for one in asked[:3])
            unread.append((name, told or "no table that is known here has such columns: name it in sources/*.yaml, or leave it"))
            questions += asked
        else:
            readings.append(reading)
    settings = _settings(readings)
    sources = {name: _source(group, folder, below) for name, group in _grouped(readings).items()}
    questions += [question for reading in readings for question in reading.questions]
    return Proposal(sources=sources, settings=settings, readings=tuple(readings), questions=tuple(questions), unread=tuple(unread), faults=tuple(faults))


def yaml_text(source: dict[str, Any]) -> str:
    """A source as the YAML that goes into sources/<name>.yaml."""
    from ruamel.yaml import YAML

    writer = YAML()
    writer.width = 160
    writer.indent(mapping=2, sequence=4, offset=2)
    buffer = io.StringIO()
    writer.dump(source, buffer)
    return buffer.getvalue()


def _grouped(readings: Sequence[Reading]) -> dict[str, list[Reading]]:
    """Readings by the source they belong to: order files together with the lines that name their orders."""
    groups: dict[str, list[Reading]] = {}
    orders = [reading for reading in readings if reading.table == "orders"]
    owner: dict[int, str] = {}
    for reading in readings:
        mine = reading
        if reading.table == "order_lines":
            known = {id(order): len(_cells(order, "order_id") & _cells(reading, "order_id")) for order in orders}
            best = max(orders, key=lambda order: known[id(order)], default=None)
            if best is not None and known[id(best)]:
                mine = best
        owner[id(reading)] = _name(mine.seen.path)
    for reading in readings:
        groups.setdefault(owner[id(reading)], []).append(reading)
    return groups


def _cells(reading: Reading, role: str) -> set[str]:
    return set(reading.seen.column(reading.columns[role]).cells)


def _name(path: Path) -> str:
    return folded(path.stem).replace(" ", "_") or "source"


def _settings(readings: Iterable[Reading]) -> dict[str, str]:
    """Currency, country, zone and locale, as most files speak."""
    currencies: Counter[str] = Counter()
    countries: Counter[str] = Counter()
    german = english = 0
    for reading in readings:
        for role, column in reading.columns.items():
            cells = reading.seen.column(column).cells if reading.seen.columns else ()
            if role == "_currency":
                currencies.update(cell.upper() for cell in cells)
            elif role in ("gross", "unit_price", "amount"):
                currencies.update(reading.seen.column(column).currencies)
            elif role in ("country", "_country"):
                countries.update(_country(cell) for cell in cells if _country(cell))
        names = " ".join(folded(column.name) for column in reading.seen.columns)
        german += sum(word in names for word in ("nummer", "datum", "menge", "preis", "vorname", "kunde"))
        english += sum(word in names for word in ("number", "date", "quantity", "price", "first", "customer"))
    country = countries.most_common(1)[0][0] if countries else ("DE" if german >= english else "GB")
    currency = currencies.most_common(1)[0][0] if currencies else _GERMAN.get(country, "EUR")
    zones = {"DE": "Europe/Berlin", "AT": "Europe/Vienna", "CH": "Europe/Zurich", "GB": "Europe/London", "US": "America/New_York"}
    return {"currency": currency, "country": country, "zone": zones.get(country, "Europe/Berlin"), "locale": "de" if german >= english else "en"}


def _country(cell: str) -> str:
    named = {"deutschland": "DE", "germany": "DE", "oesterreich": "AT", "austria": "AT", "schweiz": "CH", "switzerland": "CH", "united kingdom": "GB", "uk": "GB", "france": "FR", "frankreich": "FR"}
    return cell.upper() if len(cell) == 2 and cell.isalpha() else named.get(folded(cell), "")


def _source(group: Sequence[Reading], folder: Path, below: str) -> dict[str, Any]:
    with_lines = {reading.table for reading in group} >= {"orders", "order_lines"}
    return {
        "meaning": f"Exports {', '.join(reading.seen.path.name for reading in group)}, as proposed by kundig init", "owner": "", "received_at": "as_occurred",
        "inputs": [_input(reading, folder, below, with_lines=with_lines) for reading in sorted(group, key=lambda reading: reading.table == "order_lines")],
    }  # fmt: skip


def _input(reading: Reading, folder: Path, below: str, *, with_lines: bool) -> dict[str, Any]:
    seen = reading.seen
    found: dict[str, Any] = {"files": f"{below}/{seen.path.relative_to(folder).as_posix()}", "format": seen.format}
    if seen.format == "segment_ndjson":
        return found | {"segment": {"rename": {"Order Completed": "checkout_confirmed"}}}
    if seen.format == "csv":
        found |= {"encoding": seen.encoding, "delimiter": seen.delimiter}
    if mark := _decimal(reading):
        found["decimal"] = mark
    if dates := _dates(reading):
        found["dates"] = dates
    if "_currency" in reading.columns:
        found["currency_column"] = reading.columns["_currency"]
    return found | {"lands": _landings(reading, with_lines=with_lines)}


def _decimal(reading: Reading) -> str:
    marks: Counter[str] = Counter()
    for column in reading.columns.values():
        one = reading.seen.column(column)
        if len(one.marks) == 1:
            marks[one.marks[0]] += 1
    return marks.most_common(1)[0][0] if marks and reading.seen.format == "csv" else ""


def _dates(reading: Reading) -> list[str]:
    used = [reading.seen.column(column) for role, column in reading.columns.items() if role.endswith("_at") or role in ("birth_date", "local_day")]
    return list(dict.fromkeys(form for column in used for form in column.dates if len(column.dates) == 1))


def _landings(reading: Reading, *, with_lines: bool) -> list[dict[str, Any]]:
    makers = {"orders": _orders, "order_lines": _lines, "contacts": _contacts, "products": _plain, "tickets": _tickets, "campaign_messages": _messages, "ad_spend": _spend}
    landing = makers[reading.table](reading) if reading.table not in ("orders", "order_lines") else makers[reading.table](reading, with_lines)  # type: ignore[operator]  # the two makers of orders take a second argument
    identifiers = _identifiers(reading)
    if identifiers and reading.table not in ("products", "ad_spend"):
        landing["identifiers"] = identifiers
    return [landing]


def _identifiers(reading: Reading) -> list[dict[str, str]]:
    roles = [("customer_id", "_customer"), ("loyalty_id", "_card"), ("email", "email"), ("email", "_email"), ("phone", "phone"), ("phone", "_phone")]
    return [{"namespace": namespace, "column": reading.columns[role]} for namespace, role in roles if role in reading.columns]


def _orders(reading: Reading, with_lines: bool) -> dict[str, Any]:
    columns: dict[str, Any] = {name: column for name, column in reading.columns.items() if not name.startswith("_")}
    if "_status" in reading.columns:
        columns["status"] = _mapped(reading, "_status", STATUSES)
    landing: dict[str, Any] = {"table": "orders", "columns": columns, "emits": "order_completed"}
    return landing | ({"counted": True} if with_lines else {})


def _lines(reading: Reading, with_lines: bool) -> dict[str, Any]:
    given = reading.columns
    columns: dict[str, Any] = {name: column for name, column in given.items() if not name.startswith("_") and name != "product_cost"}
    columns.setdefault("product_id", given.get("_name", ""))
    columns["line_id"] = {"concat": [given["order_id"], given["_line"]], "with": "-"} if "_line" in given else {"number_within": given["order_id"]}
    if "_tax" in given:
        columns["tax_rate"] = given["_tax"]
    if "product_cost" in given:
        columns["unit_cost"] = given["product_cost"]
    landing: dict[str, Any] = {"table": "order_lines", "columns": columns}
    if with_lines:
        return landing | {"counted": True} | ({} if "occurred_at" in given else {"from_order": True})
    cancelled = [cell for cell in _cells(reading, "order_id") if cell.upper().startswith("C") and not cell.isalpha()]
    if cancelled and len(cancelled) < 0.3 * len(_cells(reading, "order_id")):
        landing |= {"cancellation": {"column": given["order_id"], "matches": "[Cc].*"}, "takes_back": "latest"}
    return landing | {"orders": {}, "emits": {"completed": "order_completed", "cancelled": "order_cancelled"} if cancelled else "order_completed"}


def _contacts(reading: Reading) -> dict[str, Any]:
    columns: dict[str, Any] = {name: column for name, column in reading.columns.items() if name in _PLAIN or name == "occurred_at"}
    columns["contact_id"] = reading.columns["_key"]
    lead = "lead" in folded(reading.seen.path.stem) or "messe" in folded(reading.seen.path.stem)
    columns["kind"] = {"value": "lead" if lead else "customer"}
    if "_hobbies" in reading.columns:
        columns["hobbies"] = {"column": reading.columns["_hobbies"], "split": ","}
    return {"table": "contacts", "columns": columns, "attributes": ["*"]}


def _plain(reading: Reading) -> dict[str, Any]:
    return {"table": reading.table, "columns": {name: column for name, column in reading.columns.items() if not name.startswith("_")}}


def _tickets(reading: Reading) -> dict[str, Any]:
    landing = _plain(reading)
    landing["columns"]["status"] = _mapped(reading, "_status", TICKET_STATUSES) if "_status" in reading.columns else {"value": "open"}
    return landing


def _messages(reading: Reading) -> dict[str, Any]:
    landing = _plain(reading)
    landing["columns"].setdefault("channel", {"value": "email"})
    if "message_id" not in landing["columns"]:
        person = reading.columns.get("_customer") or reading.columns["_email"]
        landing["columns"]["message_id"] = {"concat": [reading.columns["campaign"], person], "with": "-"}
    outcomes = {"open": "opened", "click": "clicked", "bounce": "bounced", "unsub": "unsubscribed", "send": "sent", "sent": "sent", "spam": "complained", "abuse": "complained"}
    landing["columns"]["outcome"] = {"column": reading.columns["outcome"], "lower": True, "map": outcomes}
    return landing


def _spend(reading: Reading) -> dict[str, Any]:
    landing = _plain(reading)
    platform = next((name for name in ("google", "meta", "facebook", "linkedin", "tiktok", "microsoft") if name in folded(reading.seen.path.stem)), "ads")
    landing["columns"] |= {"platform": {"value": f"{platform}_ads" if platform != "ads" else "ads"}, "channel": {"value": "paid_social" if platform in ("meta", "facebook", "linkedin", "tiktok") else "paid_search"}}
    return landing | {"received_at": reading.columns["local_day"]}


def _mapped(reading: Reading, role: str, meanings: Any) -> dict[str, Any]:
    column = reading.columns[role]
    return {"column": column, "map": {cell: meanings[folded(cell)] for cell in sorted(set(reading.seen.column(column).cells))}, "otherwise": "keep"}
