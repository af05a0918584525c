"""What personas may look at: one row a person, a column an attribute, from profiles, features, traits and the days people were there."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kundig.config.personas import ATTRIBUTES, DATA, Finding, Population
from kundig.store.engines.portable import local_time
from kundig.understand.features import visited

APP = ("screen_viewed", "application_opened", "application_installed")
"""Events that happen in an app."""
LISTS = ("hobbies",)
"""Attributes of several values; each common value becomes a column of yes and no, called `hobbies: reading`."""
MOST_OF_LIST = 8
PROTECTED = ("gender", "family_status", "nationality", "religion")
"""What may not set people apart by default: only named one by one in `attributes` does it."""


def wanted(finding: Finding, declared: dict[str, str]) -> list[str]:
    """The attributes that a file of personas looks at; `declared`: further attributes of the workspace, with their category."""
    names = [name for group in finding.data for name in DATA[group]]
    if "attitudes" in finding.data:
        names += [name for name, category in declared.items() if category == "psychographic"]
    if "traits" in finding.data:
        names += [name for name, category in declared.items() if category == "behavioural"]
    names = [name for name in dict.fromkeys([*names, *finding.attributes]) if name not in finding.leave_out]
    return [name for name in names if name in finding.attributes or name not in PROTECTED]


def known(profiles: ir.Table, features: ir.Table, traits: ir.Table, person_days: ir.Table, *, zone: str, declared: Collection[str]) -> ir.Table:
    """Each person's attributes, and whom they belong to: `customer` (a purchase) and `lead` (also one who bought since, by what the lead told of a job).

    Nothing here changes by time alone but the windows of `features`: age is the year of birth.
    """
    people = profiles.select(
        "person_key", "kind", "country", "language", "acquisition_channel", "motivation", "hobbies", "company_size", "job_title", "industry", "decision_power", "gender", "family_status",
        birth_year=profiles.birth_date.year().cast("int64"),
    )  # fmt: skip
    did = features.select(
        "person_key", "purchase_days", "top_category", "categories_seen", "discount_share", "returned_share", "orders", "gap_days", "regularity", "order_value_spread",
        "visits_365", "login_frequency", "tickets", "satisfaction", "nps", order_value=features.order_value.cast("float64"), net_revenue=features.net_revenue.cast("float64"),
        open_rate=_share(features.opens_90, features.messages_90), click_rate=_share(features.clicks_90, features.messages_90),
    )  # fmt: skip
    wide = people.left_join(did, "person_key").drop("person_key_right")
    wide = wide.left_join(_habits(person_days, zone), "person_key").drop("person_key_right")
    names = sorted(set(declared) - set(ATTRIBUTES))
    if names:
        said = traits.filter(traits.trait.isin(names))
        told = said.group_by("person_key").aggregate(**{name: said.value.max(where=said.trait == name) for name in names})
        wide = wide.left_join(told, "person_key").drop("person_key_right")
    business = wide.job_title.notnull() | wide.company_size.notnull() | wide.decision_power.notnull()
    return wide.mutate(customer=wide.purchase_days.fill_null(0) > 0, lead=wide.kind.isin(("lead", "company_contact")).fill_null(False) | business)


def among(people: ir.Table, population: Population) -> ir.Table:
    """The persons of a population; visitors of whom no name is known are in none."""
    if population == "customers":
        return people.filter(people.customer)
    if population == "leads":
        return people.filter(people.lead)
    return people.filter(people.kind.fill_null("") != "visitor")


def _share(part: ir.Value, whole: ir.Value) -> ir.Value:
    return ibis.ifelse(whole >= 3, (part.cast("float64") / whole.cast("float64").nullif(0.0)).round(9), ibis.null("float64"))


def came(person_days: ir.Table) -> ir.BooleanValue:
    """Whether a row of `person_days` says that the person was there; a purchase does."""
    return visited(person_days) | (person_days.event == "order_completed")


def tells_time(clock: ir.TimestampValue) -> ir.BooleanValue:
    """Whether a local moment is more than a day: of records that tell a day alone it is midnight."""
    return (clock.hour() > 0) | (clock.minute() > 0) | (clock.second() > 0)


def _habits(person_days: ir.Table, zone: str) -> ir.Table:
    """The mean hour at which a person begins a day's visit, and the channel that brings most of them."""
    days = person_days.filter(came(person_days))
    channel = ibis.ifelse(days.event.isin(APP), "app", days.channel)
    days = days.mutate(hour=local_time(days.first_at, zone).hour().cast("float64"), way=channel)
    clock = local_time(days.first_at, zone)
    exact = days.filter(tells_time(clock))
    hours = exact.group_by("person_key").aggregate(hour=exact.hour.mean().round(6))
    ways = days.filter(days.way != "").group_by("person_key", "way").aggregate(times=lambda t: t["count"].sum().cast("int64"))
    ranked = ways.mutate(place=ibis.row_number().over(ibis.window(group_by="person_key", order_by=[ibis.desc("times"), "way"])))
    first = ranked.filter(ranked.place == 0).select("person_key", channel="way")
    everyone = days.select("person_key").distinct().left_join(hours, "person_key").drop("person_key_right")
    return everyone.left_join(first, "person_key").drop("person_key_right")


def flat(people: pa.Table, names: Sequence[str], listed: Sequence[str] | None = None) -> pa.Table:
    """The columns of these attributes, lists as columns of yes and no: of the most common values, or of those in `listed`."""
    columns: dict[str, pa.ChunkedArray | pa.Array] = {"person_key": people["person_key"]}
    for name in names:
        if name not in people.column_names:
            continue
        if name not in LISTS:
            columns[name] = people[name]
            continue
        values = people[name].combine_chunks()
        chosen = [one.removeprefix(f"{name}: ") for one in listed if one.startswith(f"{name}: ")] if listed is not None else _common(values)
        parents, flat_values = pc.list_parent_indices(values), pc.list_flatten(values)
        for value in chosen:
            has = np.zeros(len(values), dtype=bool)
            has[parents.filter(pc.fill_null(pc.equal(flat_values, value), False)).to_numpy(zero_copy_only=False)] = True
            known_ = values.is_valid().to_numpy(zero_copy_only=False) & (pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False) > 0)
            columns[f"{name}: {value}"] = pa.array(np.where(has, "yes", "no"), mask=~known_)
    return pa.table(columns)


def _common(values: pa.Array) -> list[str]:
    counted = pc.list_flatten(values).value_counts().to_pylist()
    return [str(one["values"]) for one in sorted(counted, key=lambda one: (-int(one["counts"]), str(one["values"])))[:MOST_OF_LIST] if one["values"] is not None]


def typed(table: pa.Table, declared: Collection[str]) -> pa.Table:
    """The same with free attributes that are numbers throughout as numbers."""
    for name in sorted(set(declared) & set(table.column_names)):
        column = table[name]
        if pa.types.is_string(column.type) and pc.all(pc.match_substring_regex(column, r"^-?\d+(\.\d+)?$")).as_py():
            table = table.set_column(table.column_names.index(name), name, column.cast(pa.float64()))
    return table
