"""The identity graph in figures: integer edges through the guards, text in Parquet to persons in Parquet, beside a yardstick.

    python -m bench.identity [--small] [--edges N] [--persons N] [--accuracy]

First accuracy: over-merging on planted shared devices and mistyped addresses beside an oracle, persons of the simulated shop against
its truth with matching on, published data sets. Then speed.
Each row is measured in a process of its own: seconds of wall clock and of processor, rate, and peak memory. The yardstick (Polars
categoricals and the same union-find) runs where Polars is installed; the budget is 10 million edges in 5 s and 3 GiB.
Matching of records by what they say has figures of its own: `python -m bench.matching`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tests.unify.planted import agreement, hub_limited, plain
from tests.unify.planted import guarded as by_guards
from tests.unify.planted import population as planted

from bench import matching
from bench.shop_people import judged, shop, told
from kundig.config.unify import Identity
from kundig.unify.guards import USED, Edges, Nodes, judge
from kundig.unify.identity_graph import person_keys
from kundig.unify.pair_check import attributes
from kundig.unify.resolving import resolve_parquet
from kundig.unify.union_find import components, intern, positions

Ints = npt.NDArray[np.int64]
SPACES = ("customer_id", "email", "device_id", "anonymous_id")


def population(edges: int, seed: int = 1) -> tuple[Ints, Ints]:
    """Pairs of identifiers as (person × 16 + slot): stars around a login or an e-mail, some joined by mistyped addresses and shared devices."""
    random = np.random.default_rng(seed)
    people = max(2, edges // 4)
    who = random.integers(0, people, edges)
    slot = random.integers(1, 16, edges)
    left, right = who * 16, who * 16 + slot
    bad = random.random(edges) < 0.002
    right[bad] = random.integers(0, people, int(bad.sum())) * 16 + 2
    kiosk = random.random(edges) < 0.001
    right[kiosk] = random.integers(0, max(1, people // 5_000), int(kiosk.sum())) * 16 + 9
    return left, right


def namespace_of(slot: Ints) -> npt.NDArray[np.int32]:
    """Slot 0 is a login, 1 to 3 addresses, 4 to 7 devices, the others cookies."""
    return np.select([slot == 0, slot < 4, slot < 8], [0, 1, 2], 3).astype(np.int32)


def texts(ids: Ints) -> pa.Array:
    """Identifiers as text, about 30 letters each."""
    space = pa.array(np.array(["customer_id:shop-", "email:person.", "device_id:7f3a-", "anonymous_id:c0de-"])[namespace_of(ids % 16)])
    number = pa.array(ids).cast(pa.string())
    ends = pa.array(np.array(["", "@example.org", "-91bc", "-ab12-77"])[namespace_of(ids % 16)])
    return pc.binary_join_element_wise(space, number, ends, "")


def written(folder: Path, edges: int) -> None:
    """The pairs on disk, as integers and as text."""
    folder.mkdir()
    left, right = population(edges)
    np.save(folder / "left.npy", left)
    np.save(folder / "right.npy", right)
    with pq.ParquetWriter(folder / "pairs.parquet", pa.schema([("left", pa.string()), ("right", pa.string())]), compression="zstd") as writer:
        for start in range(0, edges, 1_000_000):
            part = slice(start, start + 1_000_000)
            writer.write_table(pa.table({"left": texts(left[part]), "right": texts(right[part])}))


def union_only(folder: Path) -> int:
    """Integer edges to persons, nothing guarded."""
    left, right = (np.load(folder / f"{side}.npy") for side in ("left", "right"))
    began = time.perf_counter()
    keys, a, b = intern(left, right)
    components(a, b, keys.size)
    print(json.dumps({"seconds": time.perf_counter() - began}))
    return left.size


def guarded(folder: Path) -> int:
    """Integer edges through all guards, with names of every fourth login, to persons."""
    left, right = (np.load(folder / f"{side}.npy") for side in ("left", "right"))
    keys = np.sort(intern(left, right)[0])
    logins = keys[keys % 64 == 0]
    names = pa.array([f"first{i % 997}" for i in range(997)])
    spelt = names.take(pa.array((logins // 16) % 997))
    began = time.perf_counter()
    a, b = positions(keys, left, right)
    nodes = Nodes(keys=keys, namespace=namespace_of(keys % 16), first_at=keys % 97, blocked=np.zeros(keys.size, np.bool_), names=SPACES, identity=Identity())
    edges = Edges(left=a, right=b, records=np.ones(a.size, np.int64), first_at=keys[a] % 97, last_at=keys[a] % 97)
    (place,) = positions(keys, logins)
    known = attributes(place, spelt, spelt, pa.nulls(logins.size, pa.date32()), keys.size)
    status = judge(nodes, edges, known)
    persons = int((person_keys(nodes, edges, status) == nodes.keys).sum())
    print(json.dumps({"seconds": time.perf_counter() - began, "note": f"{(status != USED).mean():.2%} of links refused, {persons:,} persons"}))
    return left.size


def text_to_persons(folder: Path) -> int:
    """Text in Parquet to (identifier, person) in Parquet."""
    began = time.perf_counter()
    found = resolve_parquet(folder / "pairs.parquet", folder / "persons.parquet")
    print(json.dumps({"seconds": time.perf_counter() - began, "note": f"{found:,} identifiers"}))
    return found


def yardstick(folder: Path) -> int:
    """The same by Polars categoricals and the same union-find."""
    import polars as pl

    began = time.perf_counter()
    pairs = pl.read_parquet(folder / "pairs.parquet").with_columns(pl.all().cast(pl.Categorical))
    left, right = (pairs[side].to_physical().to_numpy().astype(np.int32) for side in ("left", "right"))
    label = components(left, right, int(max(left.max(), right.max())) + 1)
    every = pl.concat([pairs["left"], pairs["right"]]).unique()
    person = label[every.to_physical().to_numpy()]
    pl.DataFrame({"identifier": every.cast(pl.String), "person": person}).write_parquet(folder / "yardstick.parquet", compression="zstd")
    print(json.dumps({"seconds": time.perf_counter() - began, "note": f"{every.len():,} identifiers"}))
    return every.len()


WORK: dict[str, Callable[[Path], int]] = {"union only": union_only, "guards": guarded, "text to persons": text_to_persons, "Polars yardstick": yardstick}


def measured(name: str, folder: Path) -> dict[str, float | str]:
    """One piece of work in its own process."""
    done = subprocess.run([sys.executable, "-m", "bench.identity", "--work", name, "--folder", str(folder)], capture_output=True, text=True, check=True)
    return {key: value for line in done.stdout.splitlines() for key, value in json.loads(line).items()}


def over_merging(people: int, seed: int = 11) -> None:
    """Mistyped addresses and shared devices planted among people: F1 of clusters beside an oracle that drops exactly these."""
    world = planted(people, seed)
    every = np.ones(world.record.size, np.bool_)
    print(f"over-merging: {world.records:,} records, {world.bad.sum():,} planted links of {world.record.size:,}; precision / recall / F1")
    for name, found in (("oracle", plain(world, ~world.bad)), ("guards", by_guards(world, Identity())), ("hub limit of 5 alone", hub_limited(world, 5)), ("no guard", plain(world, every))):
        print(f"  {name:22s} " + " / ".join(f"{one:.4f}" for one in agreement(found, world.truth)))


def accuracy(persons: int) -> None:
    """Print what is said of the right people: planted faults, the simulated shop without and with matching, published data."""
    over_merging(persons)
    for matched in (False, True):
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            workspace = shop(root, persons=persons, matching=matched)
            print(told(f"simulated shop, {persons:,} persons, matching {'on' if matched else 'off'}", judged(workspace, root / "truth")), flush=True)
    for name, known in matching.SETS.items():
        matching.accuracy(name, known())


def main() -> None:
    """Print the table, and the ratio to the yardstick."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--edges", type=int, default=10_000_000)
    parser.add_argument("--persons", type=int, default=6_000, help="of the simulated shop, and among whom faults are planted")
    parser.add_argument("--accuracy", action="store_true", help="accuracy alone, no speed")
    parser.add_argument("--work", choices=WORK)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.work:
        WORK[given.work](given.folder.parent / "warm")
        WORK[given.work](given.folder)
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "gib": used.ru_maxrss / 2**20}))
        return
    accuracy(600 if given.small else given.persons)
    if given.accuracy:
        return
    edges = 200_000 if given.small else given.edges
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "full"
        written(Path(name) / "warm", 1_000)
        written(folder, edges)
        print(f"{edges:,} edges; each in a process of its own, after a warm-up on 1,000\n{'work':18s} {'seconds':>8s} {'CPU s':>7s} {'edges/s':>11s} {'GiB':>6s}")
        results: dict[str, dict[str, float | str]] = {}
        for work in WORK:
            if work == "Polars yardstick" and importlib.util.find_spec("polars") is None:
                print(f"{work:18s} not run: pip install polars")
                continue
            results[work] = row = measured(work, folder)
            print(f"{work:18s} {row['seconds']:8.2f} {row['cpu']:7.1f} {edges / float(row['seconds']):11,.0f} {row['gib']:6.2f}  {row.get('note', '')}")
        if "Polars yardstick" in results:
            ours, theirs = float(results["text to persons"]["seconds"]), float(results["Polars yardstick"]["seconds"])
            print(f"text to persons takes {ours / theirs:.2f} of the yardstick's time; budget 5 s for 10 million edges: {ours * 1e7 / edges:.1f} s at this rate")


if __name__ == "__main__":
    main()
