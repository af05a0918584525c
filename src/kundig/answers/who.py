"""Who somebody is: the person an identifier belongs to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from kundig.answers.asking import one, text
from kundig.collect.identifiers import Rules, identifier_key, normalise
from kundig.consent import suppression
from kundig.errors import IdentityError

if TYPE_CHECKING:
    from kundig.workspace import Workspace


def resolve(workspace: Workspace, identifier: str) -> tuple[int, str]:
    """Key and public id of the person that an identifier belongs to now: a person id, an e-mail address, a number, any value.

    Raises:
        IdentityError: Nobody has it.
    """
    given = identifier.replace("\0", "").strip()
    if re.fullmatch(r"p[0-9a-f]{15}", given):
        found = one(workspace, f"SELECT person_key, person_id FROM profiles WHERE person_key = {int(given[1:], 16)} AND person_id = {text(given)}")
        if not found:
            moved = one(workspace, f"SELECT p.person_key, p.person_id FROM merges m JOIN profiles p USING (person_key) WHERE m.kind = 'merge' AND m.other_key = {int(given[1:], 16)}")
            found = moved
        if found:
            return int(found["person_key"]), str(found["person_id"])
        if _erased(workspace, given):
            raise IdentityError("this person was erased", mend="nothing of them is kept but the proof of it: kundig privacy list")
    known = _by_key(workspace, given)
    if known:
        return int(known["person_key"]), str(known["person_id"])
    forms = sorted({given, given.lower(), re.sub(r"[^\d+]", "", given) or given, _international(given, workspace.config.settings.workspace.country)})
    sql = f"""
        SELECT p.person_key, p.person_id FROM identifiers i JOIN identities d USING (identifier_key) JOIN profiles p ON p.person_key = d.person_key
        WHERE i.value IN ({", ".join(map(text, forms))}) AND d.valid_until IS NULL ORDER BY d.valid_from DESC, p.person_id LIMIT 1"""
    found = one(workspace, sql)
    if not found:
        raise IdentityError("nobody is known by this identifier", mend="try the e-mail address, a customer number as the source spells it, or a person id such as p0123456789abcde")
    return int(found["person_key"]), str(found["person_id"])


def _erased(workspace: Workspace, person_id: str) -> bool:
    """Whether a person id, one that was merged among them, belonged to somebody erased."""
    listed = workspace.state.sql("suppressions")
    if not workspace.state.select("suppressions", listed.c.reason == "erased"):
        return False
    digest = suppression.digest(suppression.PERSON, person_id, secret=suppression.key(workspace.config, in_use=True))
    return bool(workspace.state.select("suppressions", listed.c.digest == digest, listed.c.reason == "erased"))


def keys_of(workspace: Workspace, given: str) -> list[int]:
    """The keys that a value has under every namespace that is declared, as it is spelt and as it is normalised."""
    config = workspace.config
    namespaces = sorted({*config.identity.namespaces, *(one.segment.user_id for source in config.sources.values() for one in source.inputs if one.segment)})
    rules, country = Rules(identity=config.identity), config.settings.workspace.country
    return sorted({identifier_key(namespace, form) for namespace in namespaces for form in {given, normalise(namespace, given, country=country, rules=rules)} if form})


def _by_key(workspace: Workspace, given: str) -> dict[str, Any]:
    """The person of a value under any namespace that is declared: found by the identifier's key, without a look at all values."""
    keys = keys_of(workspace, given)
    if not keys:
        return {}
    sql = f"""
        SELECT p.person_key, p.person_id FROM identities d JOIN profiles p ON p.person_key = d.person_key
        WHERE d.identifier_key IN ({", ".join(map(str, keys))}) AND d.valid_until IS NULL ORDER BY d.valid_from DESC, p.person_id LIMIT 1"""
    return one(workspace, sql)


def _international(text: str, country: str) -> str:
    digits = re.sub(r"[^\d+]", "", text)
    codes = {"DE": "49", "AT": "43", "CH": "41"}
    if digits.startswith("00"):
        return f"+{digits[2:]}"
    return f"+{codes[country]}{digits[1:]}" if digits.startswith("0") and country in codes else digits or text
