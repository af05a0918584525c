"""The closed list of refusals: the code, the status, what is wrong and how to mend it; what could succeed later is never 4xx, 429 excepted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why a request was not taken."""

    code: str
    status: int
    what: str
    mend: str


class Refused(Exception):
    """A request is not taken; nothing of it was stored.

    Args:
        code: A code of `REFUSALS`.
        detail: What exactly, behind the sentence of the code.
        retry_after: Seconds after which it may be sent again.
    """

    def __init__(self, code: str, detail: str = "", *, retry_after: int | None = None) -> None:
        self.refusal = REFUSALS[code]
        self.detail = detail
        self.retry_after = retry_after if retry_after is not None else (RETRY.get(code))
        super().__init__(f"{self.refusal.what}{': ' + detail if detail else ''}")


def _listed(*rows: tuple[str, int, str, str]) -> dict[str, Refusal]:
    return {code: Refusal(code=code, status=status, what=what, mend=mend) for code, status, what, mend in rows}


REFUSALS = _listed(
    ("no_key", 401, "the request carries no write key", "send it as user of HTTP Basic, as X-Write-Key, as writeKey in the body or in the query"),
    ("unknown_key", 401, "nobody was given this write key", "kundig key create SOURCE gives one"),
    ("revoked_key", 401, "this write key was revoked", "kundig key create SOURCE gives a new one"),
    ("key_of_other_source", 403, "this write key writes to another source", "use a key of the source that the address names"),
    ("unsigned", 401, "the request is not signed as the vendor's webhooks are", "check the signing secret on both sides"),
    ("no_such_path", 404, "nothing is taken in at this address", "the guide on the intake lists the addresses"),
    ("no_such_webhook", 404, "no webhook has this name", "name it as its file in webhooks/ is called"),
    ("no_such_method", 405, "this address takes no such method", "send events with POST"),
    ("body_too_large", 413, "the body is larger than the limit", "send fewer events at once"),
    ("bomb", 413, "the body is larger than the limit once it is decompressed", "send fewer events at once"),
    ("encoding", 415, "the body has an encoding that is not read", "send it plain or as gzip"),
    ("gzip", 400, "the body says it is gzip, and cannot be decompressed", "send it whole"),
    ("json", 400, "the body is no JSON", "send one JSON object"),
    ("json_nan", 400, "the body holds NaN or Infinity, which JSON does not know", "send null, or leave the property out"),
    ("json_utf8", 400, "the body is no UTF-8", "encode it as UTF-8"),
    ("json_depth", 400, "the body is nested too deep", "send flat properties"),
    ("json_integer", 400, "an integer has more than 64 bits", "send identifiers as text"),
    ("no_event", 400, "the body holds no event", "send one call, or a batch with at least one"),
    ("no_form", 400, "the form has no field that was filled in", "send at least one field besides the key"),
    ("form", 400, "the form cannot be read", "send application/x-www-form-urlencoded or multipart/form-data"),
    ("file_kind", 400, "the file is no delivery of this source", "name it as sources/<source>.yaml lists its files"),
    ("rate", 429, "the source sends more events than it may", "send again after Retry-After seconds"),
    ("slow", 503, "the body did not arrive in time", "send it again"),
    ("busy", 503, "too many requests wait for the disk", "send it again after Retry-After seconds"),
    ("disk_full", 503, "the disk is full", "make room on the disk; the request was not taken, send it again"),
    ("consent_log", 503, "the consent log cannot be written", "send it again after Retry-After seconds"),
    ("stopping", 503, "the intake is being stopped", "send it again after Retry-After seconds"),
)  # fmt: skip
"""Every refusal by its code."""

RETRY = {"busy": 1, "slow": 1, "disk_full": 30, "consent_log": 2, "stopping": 2, "rate": 1}
"""Seconds of Retry-After where the request itself gives none."""
