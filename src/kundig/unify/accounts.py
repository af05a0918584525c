"""Accounts: companies and households, and who belongs to them."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from kundig.schema import step
from kundig.tables.unify import ACCOUNTS, PROFILES

LEGAL_FORMS = (
    "gmbh & co kg", "gmbh und co kg", "ggmbh", "gmbh", "mbh", "ag & co kg", "ag", "kg", "ohg", "gbr", "ug", "haftungsbeschraenkt", "haftungsbeschränkt", "ev",
    "eg", "se", "inc", "ltd", "llc", "plc", "corp", "co", "company", "limited", "bv", "nv", "sa", "sarl", "sas", "srl", "spa", "oy", "ab", "as", "aps",
)  # fmt: skip
"""Words that say how a company is founded, not which it is."""


@step(reads=(PROFILES,), writes=ACCOUNTS, by="person_key")
def accounts(profiles: ir.Table) -> ir.Table:
    """Each person's company (by name, without legal form) and household (last name, street and number, postcode).

    An account's id is made from what its members share, so each person's rows depend on that person alone; a household of one is one.
    """
    return _companies(profiles).union(_households(profiles), distinct=False)


def company_name(text: ir.StringColumn) -> ir.StringColumn:
    """A company's name as it is compared: folded, without signs and legal forms."""
    words = folded(text).replace(".", "").re_replace(r"[^0-9a-zäöü]+", " ").strip()
    short = (ibis.literal(" ") + words + ibis.literal(" ")).re_replace(r" (?:und|and|the|die|der|das) ", " ")
    forms = "|".join(sorted({form for phrase in LEGAL_FORMS for form in phrase.replace("&", " ").split()} - {"und"}, key=lambda f: (-len(f), f)))
    for _ in range(4):  # a form at the end may stand before another one
        short = short.re_replace(f" (?:{forms}) +$", " ")
    bare = short.strip()
    return ibis.ifelse(bare == "", words, bare)


def folded(text: ir.StringColumn) -> ir.StringColumn:
    """Text without case, blanks around it, and the spellings of ß and Straße."""
    return text.replace("İ", "i").lower().replace("ß", "ss").re_replace(r"\s+", " ").strip()


def _companies(profiles: ir.Table) -> ir.Table:
    working = profiles.filter(profiles.company.notnull()).mutate(folded_name=company_name(profiles.company))
    named = working.filter(working.folded_name != "")
    return named.select(
        account_id=ibis.literal("company:") + named.folded_name.hexdigest("md5"), kind=ibis.literal("company"), person_key=named.person_key,
        name=named.company.strip(), role=ibis.coalesce(named.job_title, named.decision_power, ibis.literal("contact")),
    )  # fmt: skip


def _households(profiles: ir.Table) -> ir.Table:
    living = profiles.filter(profiles.last_name.notnull() & profiles.street.notnull() & profiles.postcode.notnull())
    street = folded(living.street).re_replace(r"strasse\b", "str").re_replace(r"[^0-9a-zäöü]+", "")
    number = folded(living.house_number.fill_null("")).re_replace(r"[^0-9a-z]+", "")
    last = folded(living.last_name).re_replace(r"[^a-zäöü]+", "")
    place = folded(living.postcode).re_replace(r"[^0-9a-z]+", "")
    said = living.mutate(folded_last=last, address=last + ibis.literal("|") + street + number + ibis.literal("|") + place, place=place, road=street)
    whole = said.filter((said.folded_last != "") & (said.place != "") & (said.road != ""))
    return whole.select(
        account_id=ibis.literal("household:") + whole.address.hexdigest("md5"), kind=ibis.literal("household"), person_key=whole.person_key,
        name=whole.last_name.strip(), role=ibis.literal("member"),
    )  # fmt: skip
