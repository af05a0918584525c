"""The same seed gives the same bytes, whoever works at it, and the first block is the same in a world of any size."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from kundig.errors import ContractError
from kundig.simulate import simulate, worlds
from tests.simulate.conftest import Made, make


def prints(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(root.rglob("*")) if path.is_file()}


def test_the_same_seed_gives_the_same_bytes_with_one_worker_or_three(made: Made, tmp_path: Path) -> None:
    again = make(tmp_path, workers=3)
    assert len(prints(made.files)) >= 40
    assert prints(made.files) == prints(again.files)
    assert prints(made.truth) == prints(again.truth)
    assert made.report.files == again.report.files


def test_another_seed_gives_other_people(tmp_path: Path) -> None:
    one, other = make(tmp_path / "one", persons=300, seed=1), make(tmp_path / "other", persons=300, seed=2)
    same = [name for name, print_ in prints(one.files).items() if prints(other.files).get(name) == print_]
    assert same == []


def test_the_first_ten_thousand_are_the_same_in_a_larger_world(made: Made, tmp_path: Path) -> None:
    smaller = make(tmp_path, persons=10_000)
    names = [name for name in prints(smaller.files) if not name.startswith("ads/spend")]
    assert len(names) > 35
    for name in names:
        small, large = (smaller.files / name).read_bytes(), (made.files / name).read_bytes()
        assert large[: len(small)] == small, name
    assert smaller.true("people").equals(made.true("people").slice(0, 10_000))


def test_parquet_holds_the_same_columns_and_values(made: Made, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    other = make(tmp_path, formats="parquet")
    for name, encoding in (("shop/bestellungen", "utf-8"), ("crm/kontakte", "cp1252"), ("consents/einwilligungen", "utf-8")):
        assert pq.read_table(other.files / f"{name}.parquet").to_pylist() == made.rows(f"{name}.csv", encoding=encoding), name
    bodies = [text for path in sorted(other.files.glob("web/*.parquet")) for text in pq.read_table(path)["body"].to_pylist()]
    lines = [line for path in sorted(made.files.glob("web/*.jsonl")) for line in path.read_text("utf-8").splitlines()]
    assert bodies == lines


def test_flat_events_tell_what_the_lines_tell(made: Made, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    other = make(tmp_path, formats={"events": "flat"})
    assert (other.files / "shop/kunden.csv").read_bytes() == (made.files / "shop/kunden.csv").read_bytes()
    for platform in ("web", "app"):
        flat = [row for path in sorted(other.files.glob(f"{platform}/*.parquet")) for row in pq.read_table(path).to_pylist()]
        lines = list(made.lines(f"{platform}/*.jsonl"))
        assert len(flat) == len(lines) > 1_000
        for row, line in zip(flat, lines, strict=True):
            context, told = line["context"], line.get("properties", {})
            seen = (line["type"], line.get("event", ""), line["messageId"], line["anonymousId"], line.get("userId"), context["userAgent"], context["locale"])
            assert seen == (row["type"], row["event"], row["message_id"], row["anonymous_id"], row["user_id"], row["user_agent"], row["locale"])
            assert (told.get("product_id"), told.get("order_id"), told.get("currency"), line.get("traits", {}).get("email")) == (row["product_id"], row["order_id"], row["currency"], row["email"])
            assert told.get("price", told.get("total")) == row["amount"]
            assert context.get("campaign", {}).get("name", "") == row["campaign"]
            for key, column in (("originalTimestamp", "original_timestamp"), ("receivedAt", "received_at"), ("sentAt", "sent_at")):
                assert line[key] == row[column].isoformat(timespec="milliseconds").replace("+00:00", "Z")
            if platform == "web":
                assert (context["page"]["path"], context["page"]["referrer"]) == (row["path"], row["referrer"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"world": "plane"}, "did you mean 'plain'?"), ({"persons": 0}, "at least 1 person"), ({"days": 5}, "60 days"), ({"formats": "csv"}, "there is no format 'csv'"),
        ({"formats": {"event": "text"}}, "did you mean 'events'?"), ({"workers": 0}, "1 worker"),
    ],
)  # fmt: skip
def test_what_makes_no_world_is_refused_before_anything_is_written(tmp_path: Path, settings: dict[str, object], said: str) -> None:
    with pytest.raises(ContractError, match=r"[\s\S]*".join(map(__import__("re").escape, [said]))):
        simulate(tmp_path / "files", **({"persons": 10} | settings))  # type: ignore[arg-type]
    assert not (tmp_path / "files").exists()


@pytest.mark.parametrize("world", sorted(worlds()))
def test_every_world_can_be_made_even_with_one_person(tmp_path: Path, world: str) -> None:
    one = make(tmp_path, persons=1, days=60, world=world)
    assert one.true("people").num_rows == 1
    assert one.report.files["shop/artikel.csv"] == 300
