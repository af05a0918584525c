"""Copy: the texts of a creative in one language and form of address, and greetings that guess no gender."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from liquid import Environment

from kundig.config.create import CopyFile, Form, Voice
from kundig.create.formats import german
from kundig.create.templates import inline_markup, plain, render

EMAIL_TEXTS = ("subject", "preheader", "headline", "body", "cta")
PUSH_TEXTS = ("push_title", "push_text")

_GREETINGS: dict[tuple[str, Form], str] = {
    ("de", "du"): "Hallo{% if person.first_name != '' %} {{ person.first_name }}{% endif %},",
    ("de", "sie"): "Guten Tag{% if person.first_name != '' and person.last_name != '' %} {{ person.first_name }} {{ person.last_name }}{% endif %},",
    ("en", "neutral"): "Hello{% if person.first_name != '' %} {{ person.first_name }}{% endif %},",
}

_SMALL_PRINT: dict[tuple[str, Form], tuple[str, str]] = {
    ("de", "du"): ("Du möchtest keine solchen Nachrichten mehr?", "Hier abmelden"),
    ("de", "sie"): ("Sie möchten keine solchen Nachrichten mehr?", "Hier abmelden"),
    ("en", "neutral"): ("You would rather not get such messages?", "Unsubscribe here"),
}


def form_of(locale: str, address: str) -> Form:
    """The form of address of a language: German knows du and Sie, others one.

    Examples:
        >>> form_of("de", "sie"), form_of("en", "sie")
        ('sie', 'neutral')
    """
    return ("sie" if address == "sie" else "du") if german(locale) else "neutral"


def greeting(locale: str, form: Form, voice: Voice) -> str:
    """The greeting as Liquid over `person`: with the name where it is known, and never by a guessed gender.

    German with Sie takes first and last name together ("Guten Tag Kim Beispiel,"), since a last name alone would ask for
    Herr or Frau.

    Examples:
        >>> greeting("en", "neutral", Voice())
        "Hello{% if person.first_name != '' %} {{ person.first_name }}{% endif %},"
    """
    return _own(voice.greeting, locale, form) or _GREETINGS[("de", form) if german(locale) else ("en", "neutral")]


def small_print(locale: str, form: Form) -> tuple[str, str]:
    """The sentence before the unsubscribe link, and the link's words."""
    return _SMALL_PRINT[("de", form) if german(locale) else ("en", "neutral")]


def texts_of(copy: CopyFile, *, locale: str, form: Form, variant: str, voice: Voice) -> dict[str, str]:
    """The sources of all texts of a message: the copy file's, the greeting and the unsubscribe line.

    Texts a file leaves out are empty, so templates may ask for any of the house's names; what must not be empty is the
    guardrails' business.
    """
    sentence, words = small_print(locale, form)
    house = dict.fromkeys((*EMAIL_TEXTS, *PUSH_TEXTS, "closing"), "")
    return house | {"greeting": greeting(locale, form, voice), "unsubscribe_sentence": sentence, "unsubscribe": words} | copy.texts(form, variant)


def rendered_texts(sources: Mapping[str, str], env: Environment, context: Mapping[str, Any], *, at: str) -> tuple[dict[str, str], dict[str, str]]:
    """The texts of the first stage twice: as inline HTML (data escaped, markup cleaned), and as plain text.

    `env` must escape: the plain form is read back from the HTML, so a sign in a matrix cell cannot become markup on the way.
    """
    html = {name: _paragraphs(inline_markup(render(env, source, context, at=f"{at}, text '{name}'"))) for name, source in sources.items()}
    return html, {name: plain(text) for name, text in html.items()}


def _paragraphs(html: str) -> str:
    return "<br><br>".join(line.strip() for line in html.splitlines() if line.strip())


def _own(greetings: Mapping[str, Mapping[Form, str]], locale: str, form: Form) -> str | None:
    language = locale.lower().replace("_", "-").split("-")[0]
    given = greetings.get(locale) or greetings.get(language) or {}
    return given.get(form) or given.get("neutral")
