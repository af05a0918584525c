"""Offers: which may be made now, by their dates and by the stock of the article they are bound to."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from kundig.clock import midnight
from kundig.config.decide import Offers
from kundig.schema import step
from kundig.store.engines.session import arrow_schema
from kundig.tables.collect import STOCK_LEVELS
from kundig.tables.decide import OFFERS


@step(reads=(STOCK_LEVELS,), writes=OFFERS, kind="array", bound=64)
def offers(stock_levels: pa.Table, *, as_of: dt.datetime, offer_list: Offers, zone: str) -> pa.Table:
    """Each offer with its first and last instant, and whether it may be made at `as_of`.

    `valid_until` is the last instant of the last day. An offer bound to an article is usable while at least one piece is
    counted somewhere; an article nobody counts is not in stock.
    """
    stock = pieces(stock_levels)
    rows: list[dict[str, Any]] = []
    for code, offer in offer_list.offers.items():
        begins = midnight(offer.valid_from, zone) if offer.valid_from else None
        ends = midnight(offer.valid_until + dt.timedelta(days=1), zone) - dt.timedelta(microseconds=1) if offer.valid_until else None
        held = not offer.product_id or stock.get(offer.product_id, 0) > 0
        timely = (begins is None or begins <= as_of) and (ends is None or as_of <= ends)
        rows.append(
            {
                "offer_code": code, "meaning": offer.meaning, "product_id": offer.product_id or None, "valid_from": begins, "valid_until": ends,
                "cost": offer.cost.quantize(Decimal("0.0001")), "active": offer.active and held and timely,
            }
        )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=arrow_schema(OFFERS))


def pieces(stock_levels: pa.Table) -> dict[str, int]:
    """Pieces in stock by article, over all places."""
    if stock_levels.num_rows == 0:
        return {}
    held = stock_levels.group_by("product_id").aggregate([("quantity", "sum")])
    return {str(product): int(count or 0) for product, count in zip(held["product_id"].to_pylist(), pc.fill_null(held["quantity_sum"], 0).to_pylist(), strict=True)}
