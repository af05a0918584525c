"""Recognising: an erasure that left something keeps digests of its identifiers alone; who names them again, each of them, may have it done once more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from kundig.collect.identifiers import Rules, identifier_key, normalise
from kundig.consent import suppression
from kundig.errors import IdentityError, PrivacyError
from kundig.privacy.subjects import Subject, joined, subject_of_key
from kundig.privacy.suppressing import Named

if TYPE_CHECKING:
    from kundig.privacy.requests import Request
    from kundig.workspace import Workspace


def digests(workspace: Workspace, request: str, identifiers: Iterable[Named]) -> dict[str, list[str]]:
    """Digests of identifiers by their kind, under the key of the suppression list; those of two requests cannot be compared."""
    secret = suppression.key(workspace.config, in_use=bool(workspace.state.select("suppressions", most=1)))
    found: dict[str, list[str]] = {}
    for one in sorted(set(identifiers)):
        found.setdefault(one.namespace, []).append(_digest(request, one, secret))
    return found


def recognised(workspace: Workspace, one: Request, given: Sequence[str]) -> tuple[Named | None, ...]:
    """Each text as the identifier of a request that it spells, with its kind before a colon or without; None where it spells none.

    Raises:
        ConfigError: The secret key of the suppression list is not set.
    """
    kept: Mapping[str, Sequence[str]] = one.certificate.get("digests") or {}
    if not kept:
        return (None,) * len(given)
    secret = suppression.key(workspace.config, in_use=True)

    def spelt(text: str) -> Named | None:
        return next((form for namespace in kept for form in _forms(workspace, namespace, text.strip()) if _digest(one.request_id, form, secret) in kept[namespace]), None)

    return tuple(spelt(text) for text in given)


def again(workspace: Workspace, one: Request, given: Sequence[str]) -> Subject:
    """Whom an erasure was of that left something, from its identifiers named again.

    Raises:
        PrivacyError: Some are missing, or are not of this erasure; or somebody is known by one of them together with others.
        ConfigError: The secret key of the suppression list is not set.
    """
    kept: Mapping[str, Sequence[str]] = one.certificate.get("digests") or {}
    if not kept:
        raise PrivacyError("the erasure kept no digests of its identifiers: nobody can tell whom it was of", at=f"request {one.request_id}", mend="kundig privacy erase PERSON makes a new one")
    found = recognised(workspace, one, given)
    strange = [str(number) for number, each in enumerate(found, 1) if each is None]
    if strange:
        what = f"identifiers were named that this erasure did not have: number {', '.join(strange)} of {len(found)}"
        raise PrivacyError(what, at=f"request {one.request_id}", mend="name those that it had, and no other; kind:value says of what kind one is")
    named = tuple(sorted({each for each in found if each is not None}))
    missing = {namespace: len(every) - sum(each.namespace == namespace for each in named) for namespace, every in kept.items()}
    if any(missing.values()):
        what = f"the erasure had {sum(map(len, kept.values()))} identifiers, and {len(named)} of them were named; missing: {', '.join(f'{count} {namespace}' for namespace, count in missing.items() if count)}"
        raise PrivacyError(what, at=f"request {one.request_id}", mend=f"name every one of them: kundig privacy fulfil {one.request_id[:8]} --who kind:value --who kind:value …")
    parts = [Subject(identifiers=named)]
    for each in named:
        try:
            known = subject_of_key(workspace, identifier_key(each.namespace, each.value))
        except IdentityError:
            continue
        if set(known.identifiers) - set(named):
            what = "somebody is known by an identifier of this erasure, together with others that it did not have"
            raise PrivacyError(what, at=f"request {one.request_id}", mend="erase them first: kundig privacy erase PERSON")
        parts.append(known)
    return joined(parts)


def _digest(request: str, one: Named, secret: bytes) -> str:
    return suppression.digest(f"erasure {request}:{one.namespace}", one.value, secret=secret)


def _forms(workspace: Workspace, namespace: str, text: str) -> list[Named]:
    """What a text may mean as an identifier of a kind: as it is compared, and as it stands."""
    config = workspace.config
    rules, country = Rules(identity=config.identity), config.settings.workspace.country
    values = {form for plain in {text, text.removeprefix(f"{namespace}:")} for form in (normalise(namespace, plain, country=country, rules=rules), plain) if form}
    return [Named(namespace=namespace, value=value) for value in sorted(values)]
