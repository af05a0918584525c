"""leads.yaml: which personas leads are held against, what counts as engagement, and what sales promise."""

from __future__ import annotations

from pydantic import Field, field_validator

from kundig.config.base import FileKind, Record

POINTS = {
    "page_viewed": 1.0, "screen_viewed": 1.0, "product_viewed": 2.0, "product_list_viewed": 1.0, "product_added": 5.0, "checkout_started": 8.0, "email_opened": 1.0, "email_clicked": 3.0,
    "form_submitted": 8.0, "video_watched": 2.0, "document_downloaded": 5.0,
}  # fmt: skip
"""Points of an event, where leads.yaml says nothing else."""


class LeadScoring(Record):
    """leads.yaml: fit to a persona × engagement, corrected by what sales say came of it."""

    personas: tuple[str, ...] = Field(default=(), description="Personas (personas/answers/<name>.yaml) that leads are held against; none: all whose population is leads.")
    points: dict[str, float] = Field(default_factory=lambda: dict(POINTS), description="Points of each event, by its name; what is not named counts nothing.")
    window_days: int = Field(default=30, ge=1, le=365, description="Days in which events count.")
    half: float = Field(default=10.0, gt=0, description="Points at which engagement is about one half: (1 + points) / (1 + points + half).")
    pooling: float = Field(default=20.0, gt=0, description="How many feedbacks weigh as much as what was believed without them.")
    respond_within_hours: int = Field(default=24, ge=1, description="Hours from hand-over to first contact that sales promise.")
    owners: tuple[str, ...] = Field(default=(), description="Who may be given leads; none: anybody.")

    @field_validator("points")
    @classmethod
    def _not_negative(cls, value: dict[str, float]) -> dict[str, float]:
        for name, points in value.items():
            if not 0 <= points < 1_000:
                raise ValueError(f"the points of '{name}' are {points:g}; give 0 to 999")
        return value


FILES = (FileKind(name="lead_scoring", pattern="leads.yaml", model=LeadScoring, meaning="How leads are scored, and what sales promise."),)
