"""Tables of `create`: texts and pictures made from segment variables, and what was found wrong with them."""

from __future__ import annotations

from kundig.tables._declare import col, table

BRIEFS = table(
    "create", "briefs", "What a creative shall do.", ("brief",), col("brief", "string", "Name."), col("goal", "string", "Goal."), col("segment_id", "string", "Segment."), col("channel", "string", "Channel."),
    col("status", "string", "Status."), col("owner", "string", "Owner."), col("due", "timestamp", "Due."), home="state",
)  # fmt: skip

CREATIVES = table(
    "create", "creatives", "A message for a segment, channel and locale, and what it was made from.", ("creative_id",),
    col("creative_id", "string", "Name, segment, channel, locale and hash."), col("creative", "string", "Folder below creatives/."), col("segment_id", "string", "Segment."), col("channel", "string", "Channel."),
    col("locale", "string", "Locale."), col("variant", "string", "Variant."), col("subject_line", "string", "Subject or title, as template."), col("body", "string", "Body, as template (personal fields still open)."),
    col("text_body", "string", "Plain text, as template."), col("link", "string", "Target."), col("matrix_hash", "string", "Hash of the matrix row."), col("template_hash", "string", "Hash of brief, template and copy."),
    col("voice_hash", "string", "Hash of voice and tokens."), col("offer_code", "string", "Offer."), col("made_from", "string", "Hash of all of these."), col("generator", "string", "template, or the generator's name and version."),
    col("status", "string", "draft, approved, rejected or stale."), col("made_at", "timestamp", "As-of moment."),
)  # fmt: skip

CREATIVE_VARIABLES = table(
    "create", "creative_variables", "Values of the creative variables a creative was made with; KPIs split by them.", ("creative_id", "variable"),
    col("creative_id", "string", "Creative."), col("variable", "string", "Variable."), col("value", "string", "Value."),
)  # fmt: skip

ASSETS = table(
    "create", "assets", "Files of creatives, by content.", ("asset_hash",), col("asset_hash", "string", "SHA-256."), col("creative_id", "string", "Creative."), col("kind", "string", "svg, webp, png, html."),
    col("bytes", "int64", "Size."), col("width", "int64", "Pixels."), col("height", "int64", "Pixels."), col("made_at", "timestamp", "When."),
)  # fmt: skip

QA_FINDINGS = table(
    "create", "qa_findings", "What checks found wrong with a creative.", ("creative_id", "check", "where"), col("creative_id", "string", "Creative."), col("check", "string", "Which check."), col("where", "string", "Where."),
    col("severity", "string", "blocks or warns."), col("what", "string", "What."), col("mend", "string", "How to mend it."),
)  # fmt: skip

APPROVALS = table(
    "create", "approvals", "Who approved or rejected what, and when.", ("approval_id",), col("approval_id", "string", "Id."), col("object_kind", "string", "creative, scenario, proposal."), col("object_id", "string", "Which."),
    col("version", "string", "Hash of what was approved."), col("verdict", "string", "approved or rejected."), col("reject_tag", "string", "Tag of a rejection."), col("reason", "string", "Why."), col("role", "string", "Role."), col("actor", "string", "Account."),
    col("decided_at", "timestamp", "When."), home="state",
)  # fmt: skip

CONTENT_ITEMS = table(
    "create", "content_items", "Pieces of content on their way.", ("item_id",), col("item_id", "string", "Id."), col("title", "string", "Title."), col("stage", "string", "Stage."), col("owner", "string", "Owner."), col("due", "timestamp", "Due."),
    col("revisions", "int64", "Revisions."), home="state",
)  # fmt: skip

CREATE = (BRIEFS, CREATIVES, CREATIVE_VARIABLES, ASSETS, QA_FINDINGS, APPROVALS, CONTENT_ITEMS)
