"""Files of `create`: briefs, copy, templates, and the brand's voice, tokens and variables."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from kundig.config.base import FileKind, Record
from kundig.config.law import Role

Form = Literal["du", "sie", "neutral"]
Texts = dict[str, str]


class AutoApproval(Record):
    """A standing approval: what this role has agreed to let through when no check blocks it."""

    role: Role = Field(description="Role that answers for it (decision_rights.yaml).")
    reason: str = Field(min_length=1, description="Why no person looks at each one.")


class Brief(Record):
    """creatives/<name>/brief.yaml: what a creative shall do, for whom, where and in which languages."""

    goal: str = Field(min_length=1, description="What it shall bring about.")
    channels: tuple[Literal["email", "push"], ...] = Field(default=("email", "push"), min_length=1, description="Channels it is made for.")
    locales: tuple[str, ...] = Field(default=(), description="Languages; empty: those of kundig.toml.")
    segments: tuple[str, ...] = Field(default=(), description="Segments it is made for; empty: every row of the matrix.")
    variants: tuple[str, ...] = Field(default=("a",), min_length=1, description="Variants; each may override texts in the copy files.")
    link: str = Field(default="/", description="Target of the e-mail's call to action: a path of the website, or a whole https address.")
    app_route: str = Field(default="", description="Target of the push message (app_routes.yaml).")
    address: Literal["du", "sie"] | None = Field(default=None, description="German form of address; empty: the brand's.")
    auto_approve: AutoApproval | None = Field(default=None, description="A standing approval; empty: each creative needs a person's.")
    owner: str = Field(default="", description="Who answers for it.")

    @model_validator(mode="after")
    def _https(self) -> Brief:
        if not self.link.startswith(("/", "https://")):
            raise ValueError(f"link '{self.link}' is neither a path nor an https address; write /sale or https://…")
        return self


class CopyFile(Record):
    """creatives/<name>/copy.<locale>.yaml: the texts, by form of address, and what variants say differently."""

    du: Texts = Field(default_factory=dict, description="German copy with du.")
    sie: Texts = Field(default_factory=dict, description="German copy with Sie.")
    neutral: Texts = Field(default_factory=dict, description="Copy of languages that know one form of address.")
    words: Texts = Field(default_factory=dict, description="What texts of persona_matrix.csv are in this language, before brand/words.yaml.")
    variants: dict[str, dict[Form, Texts]] = Field(default_factory=dict, description="Per variant: the texts that differ.")

    @model_validator(mode="after")
    def _something(self) -> CopyFile:
        if not (self.du or self.sie or self.neutral):
            raise ValueError("no texts; give them under du, sie or neutral")
        return self

    def texts(self, form: Form, variant: str) -> Texts:
        """The texts of a form of address and a variant; a form that is missing falls back on neutral."""
        own = {"du": self.du, "sie": self.sie, "neutral": self.neutral}[form] or self.neutral
        changed = self.variants.get(variant, {})
        return own | (changed.get(form) or changed.get("neutral") or {})


class TemplateFile(Record):
    """creatives/<name>/email.mjml or push.liquid: Liquid, rendered once per segment, then once per person."""

    text: str = Field(default="", description="The template.")


class PushLimits(Record):
    """How long a push text may be, in characters after the personal fields are filled."""

    soft: int = Field(default=13, ge=1, description="Wished length in the main language.")
    hard: dict[str, int] = Field(default={"de": 60, "en": 60}, description="Per locale: longer is refused.")
    title: int = Field(default=40, ge=1, description="Longest title.")


class Tone(Record):
    """One tone of voice, with examples for people and generators."""

    meaning: str = Field(default="", description="When it is used.")
    examples: tuple[str, ...] = Field(default=(), description="Sentences that show it.")


class Voice(Record):
    """brand/voice.yaml: how the brand speaks, and what it never says."""

    tone: Literal["formal", "neutral", "playful"] = Field(default="neutral", description="Tone where a segment names none.")
    tones: dict[Literal["formal", "neutral", "playful"], Tone] = Field(default_factory=dict, description="The tones, with examples.")
    segments: dict[str, Literal["formal", "neutral", "playful"]] = Field(default_factory=dict, description="Tone per segment.")
    forbidden: dict[str, tuple[str, ...]] = Field(default_factory=dict, description="Per locale: words and phrases never used, whatever their case.")
    greeting: dict[str, dict[Form, str]] = Field(default_factory=dict, description="Per locale and form: the greeting, as Liquid over person.*; empty: ours.")
    push: PushLimits = Field(default=PushLimits(), description="Lengths of push messages.")
    sentence_words: int = Field(default=25, ge=5, description="Longest sentence of an e-mail, in words; longer warns.")


class BrandTokens(Record):
    """brand/tokens.json: colours, type and weights that templates read as `brand.*`."""

    colour_text: str = Field(default="#1f2933", description="Text.")
    colour_muted: str = Field(default="#52606d", description="Small print.")
    colour_accent: str = Field(default="#0b5cad", description="Call to action.")
    colour_on_accent: str = Field(default="#ffffff", description="Text on the call to action.")
    colour_ground: str = Field(default="#f5f7fa", description="Ground of the page.")
    colour_surface: str = Field(default="#ffffff", description="Ground of the message.")
    font: str = Field(default="Arial, Helvetica, sans-serif", description="Font stack.")
    font_size: int = Field(default=16, ge=12, description="Pixels.")
    logo: str = Field(default="", description="Address of the logo; the brand's name stands as text where empty.")
    logo_width: int = Field(default=160, ge=16, description="Pixels.")
    email_bytes: int = Field(default=100_000, ge=1_000, description="Heaviest e-mail in bytes; mailbox providers cut longer ones.")
    push_bytes: int = Field(default=4_096, ge=256, description="Heaviest push payload in bytes.")
    image_bytes: int = Field(default=150_000, ge=1_000, description="Heaviest picture in bytes.")


class Words(Record):
    """brand/words.yaml: what texts of persona_matrix.csv are in other languages, and with Sie."""

    locales: dict[str, Texts] = Field(default_factory=dict, description="Per language: the matrix's text and its translation.")
    sie: Texts = Field(default_factory=dict, description="The matrix's text as it reads with Sie.")

    def of(self, locale: str, form: Form) -> Texts:
        """The translations for a language, or for Sie."""
        return self.locales.get(locale, {}) | (self.sie if form == "sie" else {})


class CreativeVariable(Record):
    """One column of persona_matrix.csv that a creative is made with."""

    axis: Literal["value", "behaviour", "state"] = Field(description="Axis of the matrix it follows.")
    meaning: str = Field(default="", description="What it changes in the message.")
    values: tuple[str, ...] = Field(default=(), description="Allowed values; empty: any text.")


def _built_in() -> dict[str, CreativeVariable]:
    return {
        "benefit_offer": CreativeVariable(axis="value", meaning="Benefit that the message leads with."),
        "cta_intensity": CreativeVariable(axis="value", meaning="How hard the call to action pushes.", values=("soft", "medium", "strong")),
        "onboarding_story": CreativeVariable(axis="behaviour", meaning="Story for people at their beginning."),
        "feature_focus": CreativeVariable(axis="behaviour", meaning="Product world or feature shown."),
        "reactivation_text": CreativeVariable(axis="state", meaning="Line that calls a silent person back."),
        "trust_signals": CreativeVariable(axis="state", meaning="What builds trust: returns, reviews, service."),
    }


class CreativeVariables(Record):
    """brand/variables.yaml: the creative variables that persona_matrix.csv may have as columns, besides the built-in six."""

    variables: dict[str, CreativeVariable] = Field(default_factory=dict, description="Further variables, by column name.")

    def known(self) -> dict[str, CreativeVariable]:
        """The built-in variables and the workspace's own; the workspace's win."""
        return _built_in() | self.variables


FILES = (
    FileKind(name="briefs", pattern="creatives/*/brief.yaml", model=Brief, meaning="What each creative shall do.", many=True),
    FileKind(name="copies", pattern="creatives/*/copy.*.yaml", model=CopyFile, meaning="Texts of a creative in one language.", many=True),
    FileKind(name="email_templates", pattern="creatives/*/*.mjml", model=TemplateFile, meaning="E-mail templates.", many=True, format="text"),
    FileKind(name="liquid_templates", pattern="creatives/*/*.liquid", model=TemplateFile, meaning="Push and text templates.", many=True, format="text"),
    FileKind(name="brand_voice", pattern="brand/voice.yaml", model=Voice, meaning="How the brand speaks."),
    FileKind(name="brand_words", pattern="brand/words.yaml", model=Words, meaning="Texts of the matrix in other languages, and with Sie."),
    FileKind(name="brand_tokens", pattern="brand/tokens.json", model=BrandTokens, meaning="Colours, type, weights.", format="json"),
    FileKind(name="brand_variables", pattern="brand/variables.yaml", model=CreativeVariables, meaning="Creative variables of the matrix."),
)
