"""Short forms for declaring columns and tables; the long ones are in `kundig.schema`."""

from __future__ import annotations

from kundig.schema import Category, Column, Home, Party, Personal, Table


def col(name: str, type: str, meaning: str, personal: Personal = "none", category: Category = "technical", party: Party = "first") -> Column:
    """A column, by position."""
    return Column(name=name, type=type, meaning=meaning, personal=personal, category=category, party=party)


def trait(name: str, type: str, meaning: str, personal: Personal = "contact") -> Column:
    """A sociodemographic fact about a person."""
    return col(name, type, meaning, personal, "sociodemographic")


def fact(name: str, type: str, meaning: str, personal: Personal = "none") -> Column:
    """What a person did."""
    return col(name, type, meaning, personal, "behavioural")


def money(name: str, meaning: str) -> Column:
    """An amount in the workspace's currency, or in the row's own where the meaning says so."""
    return col(name, "decimal(18,4)", meaning, "none", "transactional")


def table(
    room: str,
    name: str,
    meaning: str,
    key: tuple[str, ...],
    *columns: Column,
    subject: str | None = None,
    home: Home = "lake",
    purpose: str = "operations",
    retention_days: int | None = None,
    open_columns: bool = False,
) -> Table:
    """A table, columns by position."""
    return Table(
        name=name, room=room, meaning=meaning, key=key, columns=columns, subject=subject, home=home,
        purpose=purpose, retention_days=retention_days, open_columns=open_columns,
    )  # fmt: skip


def person() -> Column:
    """The person a row is about: the stable int64 key that `profiles` maps to the public id."""
    return col("person_key", "int64", "The person, after unification.", "pseudonym")


def identifier() -> tuple[Column, Column]:
    """The identifiers a record carries: the strongest one, and the others."""
    return (
        col("identifier_key", "int64", "Strongest identifier the record carries (see `identifiers`).", "pseudonym"),
        col("other_keys", "list<int64>", "The record's other identifiers, sorted.", "pseudonym"),
    )


def clocks() -> tuple[Column, Column]:
    """The two clocks of a fact."""
    return (
        col("occurred_at", "timestamp", "When it happened."),
        col("received_at", "timestamp", "When we knew of it."),
    )


def changed() -> Column:
    """The run that last changed the row."""
    return col("changed_run", "int64", "Id of the run that last wrote this row; change travels down the chain by it.")
