"""How far the slots of followed databases lag: what has not landed, and what the server keeps for us on its disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kundig.collect.cdc.server import engine_of, first_line
from kundig.errors import KundigError

if TYPE_CHECKING:
    from kundig.config.collect import Input
    from kundig.config.load import Config

PATIENCE = 3
"""Seconds that a server has for an answer: whoever looks at the sources does not wait for one that is gone."""

_LAG = """
SELECT pg_wal_lsn_diff(here, confirmed_flush_lsn)::bigint, pg_wal_lsn_diff(here, restart_lsn)::bigint, wal_status, active
FROM pg_replication_slots, (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS here) n WHERE slot_name = :slot"""


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotLag:
    """One slot: bytes of the server's log behind which it stands, bytes that the server keeps for it, its status there; or why it could not be asked."""

    source: str
    slot: str
    behind: int | None = None
    """From what is known to have landed (confirmed_flush_lsn) to the end of the log."""
    kept: int | None = None
    """From what the server must still be able to read (restart_lsn) to the end of the log: it fills the server's disk."""
    status: str = ""
    """reserved, extended, unreserved or lost, as the server says; missing where there is no such slot yet."""
    fault: str = ""


def slot_lags(config: Config) -> tuple[SlotLag, ...]:
    """The lag of every slot that the workspace's sources follow, asked of their servers now; one that does not answer says so."""
    from kundig.collect.cdc.following import followed_inputs

    return tuple(_lag(config, name, number) for name, number in followed_inputs(config))


def _lag(config: Config, name: str, number: int) -> SlotLag:
    import sqlalchemy as sa

    given: Input = config.sources[name].inputs[number]
    try:
        engine = engine_of(config.secret(given.url), at=f"sources/{name}.yaml, inputs[{number}].url", seconds=PATIENCE)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"SET statement_timeout = {PATIENCE * 1_000}")
            found = connection.execute(sa.text(_LAG), {"slot": given.slot}).fetchone()
    except sa.exc.DBAPIError as error:
        return SlotLag(source=name, slot=given.slot, fault=first_line(error))
    except KundigError as error:
        return SlotLag(source=name, slot=given.slot, fault=error.what)
    if found is None:
        return SlotLag(source=name, slot=given.slot, status="missing")
    return SlotLag(source=name, slot=given.slot, behind=None if found[0] is None else int(found[0]), kept=None if found[1] is None else int(found[1]), status=str(found[2] or ""))
