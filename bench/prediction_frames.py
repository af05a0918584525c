"""Frames of real people to predict from: a bank's calls, coupons of a grocer, the next quarter of a shop. Each with when its columns are known.

    python -m bench.prediction_frames FOLDER      cuts for tests/data from FOLDER/bank_marketing and FOLDER/completejourney
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "data"
RETAIL = ROOT / "examples" / "online_retail" / "exports" / "online_retail_II.parquet"
QUARTER = 91


def bank(path: Path = DATA / "bank_marketing" / "bank.parquet") -> pa.Table:
    """Calls of a bank's campaign, in the order they were made: `y` is whether the term deposit was sold."""
    if path.suffix == ".csv":
        return pyarrow.csv.read_csv(path, parse_options=pyarrow.csv.ParseOptions(delimiter=";"))
    return pq.read_table(path)


def mapping(name: str) -> dict[str, Any]:
    """What the mapping beside a frame says: `known_at` by column, and the order of its moments."""
    told: dict[str, Any] = YAML(typ="safe").load((DATA / name / "mapping.yaml").read_text(encoding="utf-8"))
    return told


def coupons(path: Path = DATA / "complete_journey" / "coupons.parquet") -> pa.Table:
    """Households × campaigns sent to them: `redeemed` is whether a coupon of it came back; everything else is known when it starts."""
    return pq.read_table(path)


def made_of_journey(folder: Path) -> pa.Table:
    """The frame of `coupons`, from the tables of The Complete Journey."""
    tables = {name: pq.read_table(folder / f"{name}.parquet").to_pandas() for name in ("campaigns", "campaign_descriptions", "coupon_redemptions", "coupons", "demographics", "transactions_sample")}
    sent = tables["campaigns"].merge(tables["campaign_descriptions"], on="campaign_id")
    back = tables["coupon_redemptions"]
    back["redemption_date"], sent["start_date"], sent["end_date"] = (pd.to_datetime(column) for column in (back.redemption_date, sent.start_date, sent.end_date))
    sent["coupons"] = sent.campaign_id.map(tables["coupons"].groupby("campaign_id").coupon_upc.nunique())
    pairs = set(zip(back.campaign_id, back.household_id, strict=True))
    sent["redeemed"] = [pair in pairs for pair in zip(sent.campaign_id, sent.household_id, strict=True)]
    bought = tables["transactions_sample"]
    parts = []
    for start, rows in sent.groupby("start_date"):
        past = bought[bought.transaction_timestamp < start]
        by = past.groupby("household_id")
        facts = pd.DataFrame({"spend": by.sales_value.sum(), "baskets": by.basket_id.nunique(), "products": by.product_id.nunique(), "discount": by.retail_disc.sum(), "coupon_discount": by.coupon_disc.sum(), "days_since": (start - by.transaction_timestamp.max()).dt.days})
        facts["earlier_campaigns"] = sent[sent.start_date < start].groupby("household_id").campaign_id.nunique()
        before = back[back.redemption_date < start].groupby("household_id")
        facts = facts.join(pd.DataFrame({"earlier_redemptions": before.coupon_upc.count(), "campaigns_redeemed": before.campaign_id.nunique(), "days_since_redemption": (start - before.redemption_date.max()).dt.days}), how="outer")
        parts.append(rows.merge(facts, left_on="household_id", right_index=True, how="left"))
    whole = pd.concat(parts).fillna({"earlier_campaigns": 0, "earlier_redemptions": 0, "campaigns_redeemed": 0})
    whole = whole.merge(tables["demographics"].drop(columns=["household_comp"]), on="household_id", how="left").sort_values(["start_date", "campaign_id", "household_id"])
    for column in ("age", "income", "home_ownership", "marital_status", "household_size", "kids_count", "campaign_type"):
        whole[column] = whole[column].astype(object).where(whole[column].notna(), None).map(lambda value: None if value is None else str(value))
    return pa.Table.from_pandas(whole, preserve_index=False)


def next_quarter(cut_offs: tuple[str, ...] = ("2010-06-09", "2010-09-09", "2010-12-09", "2011-03-09", "2011-06-09", "2011-09-09")) -> pa.Table:
    """Customers of the shop at each cut-off: `buys` is whether they buy within the next 91 days; the other columns tell of the time before."""
    lines = pq.read_table(RETAIL, columns=["customer_id", "stock_code", "invoice", "invoice_date", "quantity", "price"]).to_pandas()
    lines = lines[lines.customer_id.notna() & lines.stock_code.str.match(r"^\d{5}") & ~lines.invoice.astype(str).str.startswith("C") & (lines.quantity > 0) & (lines.price > 0)]
    lines["day"] = lines.invoice_date.dt.normalize()
    lines["value"] = lines.quantity * lines.price
    days = lines.groupby(["customer_id", "day"]).agg(value=("value", "sum"), articles=("stock_code", "nunique")).reset_index()
    parts = []
    for cut in map(pd.Timestamp, cut_offs):
        past, future = days[days.day < cut], days[(days.day >= cut) & (days.day < cut + pd.Timedelta(days=QUARTER))]
        by = past.groupby("customer_id")
        frame = pd.DataFrame({"purchase_days": by.day.count(), "spend": by.value.sum(), "value": by.value.mean(), "articles": by.articles.mean(), "age": (cut - by.day.min()).dt.days, "recency": (cut - by.day.max()).dt.days})
        for window in (30, 91, 182, 365):
            inside = past[past.day >= cut - pd.Timedelta(days=window)]
            frame[f"days_{window}"] = inside.groupby("customer_id").day.count()
        frame = frame.fillna(0)
        frame["gap"] = (frame.age - frame.recency) / (frame.purchase_days - 1).where(frame.purchase_days > 1)
        frame["overdue"] = frame.recency / frame.gap
        frame["month"] = cut.month
        frame["cut_off"], frame["buys"] = cut, frame.index.isin(future.customer_id)
        parts.append(frame.reset_index())
    return pa.Table.from_pandas(pd.concat(parts), preserve_index=False).replace_schema_metadata(None)


def main() -> None:
    """Write the cuts that are committed under tests/data."""
    folder = Path(sys.argv[1])
    calls = bank(folder / "bank_marketing" / "bank-additional-full.csv")
    rows = np.sort(np.random.default_rng(1).choice(calls.num_rows, 8_000, replace=False))
    pq.write_table(calls.take(pa.array(rows)), DATA / "bank_marketing" / "bank.parquet", compression="zstd")
    frame = made_of_journey(folder / "completejourney").replace_schema_metadata(None)
    pq.write_table(frame, DATA / "complete_journey" / "coupons.parquet", compression="zstd")


if __name__ == "__main__":
    main()
