"""The schema of rules as a workspace's files make it."""

from __future__ import annotations

from typing import Any

from kundig.rules.schema import RuleSchema
from kundig.rules.workspace_schema import schema_of as schema_from_parts

SCORES = {"lifetime_value": {"de": "Kundenwert", "en": "lifetime value"}, "urgency": {"de": "Dringlichkeit", "en": "urgency"}}


def schema_of(config: Any = None, **parts: Any) -> RuleSchema:
    """The schema of a workspace's rules: from its `Config`, or from the parts that `workspace_schema.schema_of` names.

    Raises:
        RuleError: An unknown zone or type; carries all faults.
    """
    if config is None:
        return schema_from_parts(**parts)
    workspace = config.settings.workspace
    return schema_from_parts(
        zone=workspace.zone,
        currency=workspace.currency,
        plans=config.tracking_plan,
        purposes=config.purposes,
        segments=[row["segment_id"] for row in config.matrix.rows],
        **parts,
    )
