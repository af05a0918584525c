"""Persons of the simulated shop against its truth: import and run as a user does, with matching on, judged beside exact match."""

from __future__ import annotations

import datetime as dt
import random
import re
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.scoring import Score, exact_match, numbered, of_clusters
from kundig.cli.demo import examples
from kundig.clock import midnight
from kundig.config.defaults import write_defaults
from kundig.simulate import simulate
from kundig.workspace import Workspace

END = dt.date(2026, 10, 31)
JUDGED = ("customer_id", "crm_id", "lead_id", "email", "phone", "anonymous_id")
_FOUND = "SELECT i.namespace, i.value, d.person_key FROM identifiers i JOIN identities d USING (identifier_key) WHERE NOT d.shared AND d.valid_until IS NULL"
_TOLD = """SELECT i.namespace, i.value FROM identifiers i WHERE i.identifier_key IN (SELECT left_key FROM links UNION SELECT right_key FROM links
    UNION SELECT identifier_key FROM contacts WHERE last_name IS NOT NULL)"""
_RECORDS = "SELECT i.namespace, i.value, c.first_name, c.last_name, c.birth_date, c.email FROM contacts c JOIN identifiers i USING (identifier_key)"


@dataclass(frozen=True, kw_only=True)
class Persons:
    """How the persons of a shop fare against the truth."""

    persons: Score
    """Pairs of identifiers of one person: account and record numbers, addresses, phones and cookies that one person alone has."""
    every: Score
    """The same with those that nothing was ever told of: no record carries them with another identifier, nor with a name."""
    cubed: Score
    records: Score
    """Pairs of records of people (accounts and the CRM's contacts) by the person they were given."""
    exact: Score
    """The same records by plain equality of first name, last name and birth date."""
    address: Score
    """The same records by plain equality of the e-mail address."""
    glued: tuple[tuple[int, ...], ...]
    """Per person key with people of two or more households who used one device: the true persons in it."""
    mixed: int
    """Person keys that hold people of two or more households, whatever joined them."""
    devices: int
    """Devices used by people of two or more households: sold ones, and those planted."""
    identifiers: int


def shop(root: Path, *, persons: int, matching: bool = True, seed: int = 11, days: int = 365) -> Workspace:
    """A workspace of the example shop with made-up exports, its truth in `root/truth`, imported and run as far as identities."""
    shutil.copytree(examples() / "shop", root, dirs_exist_ok=True)
    write_defaults(root, name="shop")
    if matching:
        rules = root / "identity.yaml"
        rules.write_text(rules.read_text(encoding="utf-8").replace("matching: {enabled: false", "matching: {enabled: true"), encoding="utf-8")
    simulate(root / "exports", persons=persons, days=days, seed=seed, truth=root / "truth", end=END)
    plant(root / "exports", root / "truth", share=0.03, seed=seed)
    workspace = Workspace(root)
    workspace.import_()
    workspace.run(as_of=midnight(END + dt.timedelta(days=1), "Europe/Berlin") - dt.timedelta(microseconds=1), only=("identities", "merges"))
    return workspace


def plant(exports: Path, truth: Path, *, share: float, seed: int) -> int:
    """Let people of two households use one device, in so large a share of devices; returns how many. The simulator shares devices within a household only."""
    chance = random.Random(seed)
    household = {row["person"]: row["household"] for row in pq.read_table(truth / "people.parquet", columns=["person", "household"]).to_pylist()}
    known = pq.read_table(truth / "identifiers.parquet")
    rows = known.to_pylist()
    owners: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        if row["namespace"] == "anonymous_id":
            owners[row["value"]].add(row["person"])
    alone = sorted((device, next(iter(who))) for device, who in owners.items() if len(who) == 1)
    chance.shuffle(alone)
    wanted = alone[: 2 * max(5, round(len(alone) * share / 2))]
    now_is = {other[0]: one[0] for one, other in zip(wanted[::2], wanted[1::2], strict=True) if household[one[1]] != household[other[1]]}
    both = set(now_is) | set(now_is.values())
    for file in (*sorted((exports / "web").glob("*.jsonl")), *sorted((exports / "app").glob("*.jsonl"))):
        text = file.read_text(encoding="utf-8")
        file.write_text(re.sub(r'(?<="anonymousId":")[^"]+', lambda found: now_is.get(found[0], found[0]), text), encoding="utf-8")
    for row in rows:
        if row["value"] in both:
            row["value"], row["shared"] = now_is.get(row["value"], row["value"]), True
    pq.write_table(pa.Table.from_pylist(rows, schema=known.schema), truth / "identifiers.parquet")
    return len(now_is)


def judged(workspace: Workspace, truth: Path) -> Persons:
    """Scores of what a workspace says of its people, by the truth of the simulator."""
    people = pq.read_table(truth / "people.parquet", columns=["person", "household"]).to_pylist()
    household = {row["person"]: row["household"] for row in people}
    owners: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in pq.read_table(truth / "identifiers.parquet").to_pylist():
        owners[row["namespace"], _spelt(row["namespace"], row["value"])].add(row["person"])
    found = {(namespace, value): key for namespace, value, key in workspace.rows(_FOUND)[1]}
    known = [(who, found[name]) for name, who in owners.items() if name in found and name[0] in JUDGED and len(who) == 1]
    every, _ = _scores(known)
    told_of = {(namespace, value) for namespace, value in workspace.rows(_TOLD)[1]}
    pairs, cubed = _scores([(who, found[name]) for name, who in owners.items() if name in told_of and name in found and name[0] in JUDGED and len(who) == 1])

    inside: dict[int, set[int]] = defaultdict(set)
    for who, key in known:
        inside[key] |= who
    mixed = {key: who for key, who in inside.items() if len({household[one] for one in who}) > 1}
    sharers = [who for (namespace, _), who in owners.items() if namespace == "anonymous_id" and len({household[one] for one in who}) > 1]
    glued = tuple(tuple(sorted(who)) for who in mixed.values() if any(len({household[one] for one in who & some}) > 1 for some in sharers))

    rows = [row for row in workspace.rows(_RECORDS)[1] if len(owners.get((row[0], row[1]), ())) == 1]
    same = np.array([next(iter(owners[row[0], row[1]])) for row in rows], np.int64)
    records, _ = of_clusters(numbered([found.get((row[0], row[1]), f"alone {at}") for at, row in enumerate(rows)]), numbered(same))
    exact, _ = of_clusters(exact_match([[row[column] for row in rows] for column in (2, 3, 4)]), numbered(same))
    address, _ = of_clusters(exact_match([[row[5] for row in rows]]), numbered(same))
    return Persons(persons=pairs, every=every, cubed=cubed, records=records, exact=exact, address=address, glued=glued, mixed=len(mixed), devices=len(sharers), identifiers=len(known))


def _scores(known: list[tuple[set[int], int]]) -> tuple[Score, Score]:
    """Pairs and B-cubed of (true persons, person key)."""
    return of_clusters(numbered([key for _, key in known]), numbered([next(iter(who)) for who, _ in known]))


def _spelt(namespace: str, value: str) -> str:
    """A true identifier as the house keeps it: the truth lists phones without country."""
    return "+49" + value.replace(" ", "") if namespace == "phone" else value.lower() if namespace == "email" else value


def told(name: str, found: Persons) -> str:
    """The scores as text, one line a kind."""
    lines = [f"{name}: {found.identifiers:,} identifiers; precision / recall / F1"]
    lines += [f"  records by equal names   {found.exact}  (first name, last name and birth date)", f"  records by equal e-mail  {found.address}", f"  records by their person  {found.records}"]
    lines += [f"  persons, pairs           {found.persons}", f"  persons, B3              {found.cubed}"]
    lines += [f"  with silent identifiers  {found.every}"]
    lines += [f"  persons of two households: {found.mixed}, of these by one of the {found.devices} devices that two households used: {len(found.glued)}"]
    return "\n".join(lines)
