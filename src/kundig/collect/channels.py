"""Which channel brought a visit: click ids first, then campaign parameters, then the referrer; the same rules in SQL and in Python."""

from __future__ import annotations

from collections.abc import Sequence

from kundig.collect.identifiers import literal

CLICK_IDS: dict[str, str] = {
    "gclid": "paid_search", "gbraid": "paid_search", "wbraid": "paid_search", "msclkid": "paid_search", "dclid": "display", "ttclid": "paid_social",
    "li_fat_id": "paid_social", "twclid": "paid_social", "epik": "paid_social", "irclickid": "affiliate", "awc": "affiliate",
}  # fmt: skip
"""Parameters that ad platforms put on their links. `fbclid` is not among them: it stands on unpaid links too."""

MEDIA: dict[str, str] = {
    "cpc": "paid_search", "ppc": "paid_search", "sem": "paid_search", "paidsearch": "paid_search", "paid_search": "paid_search", "paid-search": "paid_search",
    "paid_social": "paid_social", "paidsocial": "paid_social", "paid-social": "paid_social", "cpm": "display", "display": "display", "banner": "display",
    "retargeting": "display", "video": "display", "email": "email", "e-mail": "email", "newsletter": "email", "mail": "email", "push": "push", "web_push": "push",
    "in_app": "in_app", "sms": "sms", "affiliate": "affiliate", "affiliates": "affiliate", "partner": "affiliate", "social": "organic_social",
    "organic_social": "organic_social", "referral": "referral", "organic": "organic_search", "qr": "offline", "print": "offline", "letter": "offline",
}  # fmt: skip
"""utm_medium to channel; `cpc` of a social network is paid social."""

MEDIUM: dict[str, str] = {
    "paid_search": "paid", "paid_social": "paid", "display": "paid", "affiliate": "paid", "direct": "owned", "email": "owned", "push": "owned", "in_app": "owned",
    "sms": "owned", "offline": "owned", "organic_search": "earned", "organic_social": "earned", "referral": "earned",
}  # fmt: skip
"""Channel to what it is to the company. A campaign of unknown medium is none of them."""

SEARCH = ("google", "bing", "duckduckgo", "ecosia", "yahoo", "startpage", "qwant", "yandex", "baidu", "brave")
SOCIAL = ("facebook", "instagram", "linkedin", "pinterest", "tiktok", "twitter", "youtube", "reddit", "xing", "snapchat", "threads", "lnkd", "fb", "meta")
SHORT = ("t.co", "x.com", "youtu.be", "lnkd.in", "fb.me", "wa.me")
MAIL_HOSTS = ("mail.google.com", "outlook.live.com", "outlook.office.com", "mail.yahoo.com", "deref-gmx.net", "deref-web.de")


def channel(*, click: str | None, source: str | None, medium: str | None, host: str | None, seen: bool, own: Sequence[str] = ()) -> str | None:
    """The channel of a visit's event, or None where it begins no visit (it came from an own page, or no page is known).

    Args:
        click: Name of an ad platform's parameter on the link.
        source: utm_source.
        medium: utm_medium.
        host: Host of the referrer, None where there is none.
        seen: Whether a page is known at all (a server's event has none).
        own: Own hosts.

    Examples:
        >>> channel(click="gclid", source=None, medium=None, host="www.google.com", seen=True)
        'paid_search'
        >>> channel(click=None, source="facebook", medium="cpc", host=None, seen=True), channel(click=None, source=None, medium=None, host=None, seen=True)
        ('paid_social', 'direct')
        >>> channel(click=None, source=None, medium=None, host="shop.example", seen=True, own=["shop.example"]) is None
        True
    """
    word = (medium or "").lower()
    if click in CLICK_IDS:
        return CLICK_IDS[click]
    if word in MEDIA:
        known = MEDIA[word]
        return "paid_social" if known == "paid_search" and _is_social((source or "").lower()) else known
    if source:
        name = source.lower()
        if _is_social(name):
            return "organic_social"
        return "email" if name in ("newsletter", "email") else "other_campaign"
    if host:
        name = host.lower()
        if any(name == mine.lower() or name.endswith("." + mine.lower()) for mine in own):
            return None
        if name in MAIL_HOSTS:
            return "email"
        if any(label in SEARCH for label in name.split(".")):
            return "organic_search"
        if name in SHORT or any(label in SOCIAL for label in name.split(".")):
            return "organic_social"
        return "referral"
    return "direct" if seen else None


def _is_social(name: str) -> bool:
    return any(name.split(".")[0] == word or name == word for word in SOCIAL)


def channel_sql(*, click: str, source: str, medium: str, host: str, seen: str, own: Sequence[str] = ()) -> str:
    """DuckDB's form of `channel`: the arguments are expressions, NULL for what is not known."""
    word, name, from_host = f"lower({medium})", f"lower({source})", f"lower({host})"
    social = _listed(SOCIAL)
    is_social = f"split_part({name}, '.', 1) IN {social}"
    media = " ".join(f"WHEN {literal(key)} THEN {_paid(is_social, made)}" for key, made in MEDIA.items())
    clicks = " ".join(f"WHEN {literal(key)} THEN {literal(made)}" for key, made in CLICK_IDS.items())
    mine = " OR ".join(f"{from_host} = {literal(h.lower())} OR ends_with({from_host}, {literal('.' + h.lower())})" for h in own) or "false"
    labels = f"string_split({from_host}, '.')"
    by_host = (
        f"CASE WHEN {mine} THEN NULL WHEN {from_host} IN {_listed(MAIL_HOSTS)} THEN 'email' WHEN list_has_any({labels}, {_array(SEARCH)}) THEN 'organic_search' "
        f"WHEN {from_host} IN {_listed(SHORT)} OR list_has_any({labels}, {_array(SOCIAL)}) THEN 'organic_social' ELSE 'referral' END"
    )
    by_source = f"CASE WHEN {is_social} THEN 'organic_social' WHEN {name} IN ('newsletter', 'email') THEN 'email' ELSE 'other_campaign' END"
    return (
        f"CASE WHEN {click} IN {_listed(CLICK_IDS)} THEN CASE {click} {clicks} END "
        f"WHEN {word} IN {_listed(MEDIA)} THEN CASE {word} {media} END "
        f"WHEN {source} IS NOT NULL THEN {by_source} WHEN {host} IS NOT NULL THEN {by_host} WHEN {seen} THEN 'direct' END"
    )


def medium_sql(channel: str) -> str:
    """Expression of what a channel is to the company: paid, owned or earned; NULL where it does not tell."""
    return f"CASE {channel} {' '.join(f'WHEN {literal(key)} THEN {literal(made)}' for key, made in MEDIUM.items())} END"


def _paid(is_social: str, made: str) -> str:
    return f"CASE WHEN {is_social} THEN 'paid_social' ELSE 'paid_search' END" if made == "paid_search" else literal(made)


def _listed(words: Sequence[str] | dict[str, str]) -> str:
    return "(" + ", ".join(literal(word) for word in words) + ")"


def _array(words: Sequence[str]) -> str:
    return "[" + ", ".join(literal(word) for word in words) + "]"
