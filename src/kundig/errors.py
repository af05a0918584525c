"""One tree of errors; each says what is wrong, where, and how to mend it.

    KundigError
    ├── ConfigError        a file of the workspace is not as its schema says
    ├── ContractError      a table is not as declared, or a step breaks its declaration
    ├── RuleError          a rule cannot be parsed, or has open parameters
    ├── SourceError        a source's file, column, date or number cannot be read
    ├── IdentityError      an identifier or the identity configuration cannot be used
    ├── EstimateError      an estimator was given what it cannot judge
    ├── TemplateError      a creative's template cannot be rendered
    ├── PolicyError        a targeting scenario, audience or approval is missing or refused
    ├── PrivacyError       a request of a person cannot be made or done so
    ├── AccessDenied       this role may not do this
    ├── RunError           a run failed: names its stage and whether a re-run is safe
    ├── MissingExtra       an optional library is not installed: prints the install line
    └── StoreError
        ├── Conflict       a file this commit replaces was replaced by somebody else: compute again
        ├── AlreadyLanded  this batch id is in the catalogue: nothing to do
        ├── Busy           another process holds the writer's lease
        └── ForeignFormat  the catalogue holds something another writer made that is not supported
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One thing that is wrong: what (with the value given), where, and the mend."""

    what: str
    at: str = ""
    mend: str = ""

    def __str__(self) -> str:
        lines = [self.what]
        if self.at:
            lines.append(f"  at:   {self.at}")
        if self.mend:
            lines.append(f"  mend: {self.mend}")
        return "\n".join(lines)


class KundigError(Exception):
    """Base of all errors: carries every fault found, not the first alone.

    Examples:
        >>> raise ContractError("column 'revenue' is missing", at="orders", mend=nearest("revenue", ["revenu", "total"]))
        Traceback (most recent call last):
        ...
        kundig.errors.ContractError: column 'revenue' is missing
          at:   orders
          mend: did you mean 'revenu'? known: revenu, total
    """

    def __init__(self, what: str = "", *, at: str = "", mend: str = "", faults: Iterable[Fault] = ()) -> None:
        given = tuple(faults)
        self.faults: tuple[Fault, ...] = given or (Fault(what=what, at=at, mend=mend),)
        super().__init__("\n".join(str(fault) for fault in self.faults))

    @property
    def what(self) -> str:
        """What is wrong, of the first fault."""
        return self.faults[0].what

    @property
    def mend(self) -> str:
        """How to mend it, of the first fault."""
        return self.faults[0].mend


class ConfigError(KundigError):
    """A file of the workspace is not as its schema says."""


class ContractError(KundigError):
    """A table is not as declared, or a step breaks its declaration."""


class RuleError(KundigError):
    """A rule cannot be parsed; carries every fault with its path."""


class SourceError(KundigError):
    """A source's file, column, date or number cannot be read."""


class IdentityError(KundigError):
    """An identifier or the identity configuration cannot be used."""


class EstimateError(KundigError):
    """An estimator was given what it cannot judge."""


class TemplateError(KundigError):
    """A creative's template cannot be rendered."""


class PolicyError(KundigError):
    """A targeting scenario, audience or approval is missing or refused."""


class PrivacyError(KundigError):
    """A request of a person cannot be made or done so."""


class AccessDenied(KundigError):
    """This role may not do this."""


class RunError(KundigError):
    """A run failed: names its stage and whether a re-run is safe."""


class MissingExtra(KundigError):
    """An optional library is not installed."""

    def __init__(self, extra: str, *, purpose: str) -> None:
        super().__init__(f"{purpose} needs an optional library", mend=f"pip install 'kundig[{extra}]'")


class StoreError(KundigError):
    """The lake, the state, the inbox or the files cannot do what was asked."""


class Conflict(StoreError):
    """A file this commit replaces was replaced by somebody else: compute again."""


class AlreadyLanded(StoreError):
    """This batch id is in the catalogue: nothing to do."""


class Busy(StoreError):
    """Another process holds the writer's lease."""


class ForeignFormat(StoreError):
    """The catalogue holds something another writer made that is not supported."""


def nearest(given: str, known: Iterable[str], *, most: int = 20) -> str:
    """The mend for an unknown name: the nearest known one, then all known ones sorted.

    Examples:
        >>> nearest("oder", ["order", "login"])
        "did you mean 'order'? known: login, order"
        >>> nearest("x", [])
        'nothing is known here yet'
    """
    names = sorted(set(known))
    if not names:
        return "nothing is known here yet"
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    listed = ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")
    return (f"did you mean '{close[0]}'? " if close else "") + f"known: {listed}"
