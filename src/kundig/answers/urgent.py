"""Whom to turn to first: the table `urgency` in the order of its ranks, with the reason in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kundig import reasons
from kundig.answers.asking import rows

if TYPE_CHECKING:
    from kundig.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Urgent:
    """A person of the list; amounts in the workspace's currency."""

    rank: int
    person_id: str
    state: str
    """Where the person stands in the lifecycle."""
    value_at_stake: float
    loss_rise: float
    """By how much the probability of loss rises within the decision window, 0 to 1."""
    urgency: float
    """Value at stake × rise of the loss: what waiting for the window costs."""
    reason: str
    sentence: str
    """The reason in words."""


def urgent(workspace: Workspace, *, limit: int = 20, locale: str | None = None) -> tuple[Urgent, ...]:
    """The first `limit` persons, the most urgent first; reasons in a language (the workspace's by default).

    Raises:
        ContractError: There are no sentences in the language.
    """
    language = locale or workspace.config.settings.workspace.locale
    sql = f"""
        SELECT u.rank, p.person_id, coalesce(l.state, '') AS state, u.value_at_stake::DOUBLE AS value_at_stake, u.loss_rise, u.urgency, u.reason
        FROM urgency u JOIN profiles p USING (person_key) LEFT JOIN lifecycle_states l USING (person_key) ORDER BY u.rank LIMIT {int(limit)}"""
    return tuple(Urgent(**row, sentence=reasons.sentence(row["reason"], language)) for row in rows(workspace, sql))


__all__ = ["Urgent", "urgent"]
