"""Shop and till: purchases become orders with positions, cancellations, returns, vouchers, currencies and receipts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kundig.simulate.people import DAY, Bools, Ints, People, Texts
from kundig.simulate.purchases import Purchases
from kundig.simulate.world import Span, stream
from kundig.simulate.writers import Files, cents, decimal, join, local

PRODUCTS = 300
CATEGORIES = np.array(["Schuhe", "Fahrräder", "Taschen", "Jacken", "Zelte", "Rucksäcke", "Helme", "Bücher", "Lampen", "Zubehör"])
BRANDS = np.array(["Nordhang", "Kompass", "Uferlicht", "Radwerk", "Waldweg"])
FRANCS_PER_EURO = 0.94
_CLOCK_CHANGES = ("2024-03-31", "2024-10-27", "2025-03-30", "2025-10-26", "2026-03-29", "2026-10-25")


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Articles: number, category, price and cost; the cost of a fifth of them is not known."""

    number: Texts
    category: Ints
    price: Ints
    cost: Ints
    known_cost: Bools
    tax: Ints
    """Percent."""


@dataclass(frozen=True, kw_only=True)
class Orders:
    """Orders of one block, as other files need them: index of the person, moment, number, till or not."""

    person: Ints
    at: Ints
    number: Texts
    till: Bools
    app: Bools
    total: Ints
    cancelled: Bools
    product: Ints


def catalogue(seed: int) -> Catalogue:
    """The articles of a world."""
    rng = stream(seed, 0, "catalogue")
    category = np.arange(PRODUCTS) % len(CATEGORIES)
    price = (np.round(rng.lognormal(3.9, 0.6, PRODUCTS)) * 100 - 5).astype(np.int64)
    return Catalogue(
        number=np.array([f"A{number:05d}" for number in range(PRODUCTS)], dtype=object), category=category, price=price, cost=(price * rng.uniform(0.3, 0.5, PRODUCTS)).astype(np.int64),
        known_cost=rng.random(PRODUCTS) < 0.8, tax=np.where(CATEGORIES[category] == "Bücher", 7, 19),
    )  # fmt: skip


def write_catalogue(files: Files, items: Catalogue, span: Span, seed: int) -> None:
    """The files of articles and stock."""
    rng = stream(seed, 0, "stock")
    names = np.array([f"{CATEGORIES[c]} Modell {n}" for n, c in enumerate(items.category)], dtype=object)
    columns = {
        "Artikelnummer": items.number, "Bezeichnung": names, "Kategorie": CATEGORIES[items.category].astype(object), "Marke": rng.choice(BRANDS, PRODUCTS).astype(object),
        "Preis": decimal(items.price), "Einkaufspreis": np.where(items.known_cost, np.array(decimal(items.cost).to_pylist(), dtype=object), ""),
        "Aktiv": np.where(rng.random(PRODUCTS) < 0.95, "ja", "nein").astype(object),
    }  # fmt: skip
    files.table("shop/artikel.csv", columns)
    counted = np.full(PRODUCTS, span.end - DAY // 2)
    files.table("shop/bestand.csv", {"Artikelnummer": items.number, "Lager": np.full(PRODUCTS, "Zentrallager", dtype=object), "Menge": rng.poisson(25, PRODUCTS) * (rng.random(PRODUCTS) < 0.93), "Stand": local(counted)})


def write_orders(files: Files, people: People, made: Purchases, items: Catalogue, span: Span, seed: int, block: int) -> tuple[Orders, dict[str, int]]:
    """The files of orders, positions and receipts; gives the orders and counts of what was planted."""
    rng = stream(seed, block, "orders")
    count = len(made.person)
    at = _daytime(made.at, rng)
    planted = _plant_clock_changes(at, span, block)
    till = people.card[made.person] & (rng.random(count) < 0.45)
    app = ~till & people.app[made.person] & (rng.random(count) < 0.5)
    number = np.array([f"{'B' if t else 'S'}{block:04d}{n:07d}" for n, t in enumerate(till)], dtype=object)
    lines = np.minimum(1 + rng.poisson(0.6, count), 4)
    order = np.repeat(np.arange(count), lines)
    position = np.arange(len(order)) - np.repeat(np.cumsum(lines) - lines, lines) + 1
    favourite = rng.integers(0, len(CATEGORIES), len(people))[made.person]
    home = rng.random(len(order)) < 0.6
    product = np.where(home, favourite[order] + len(CATEGORIES) * rng.integers(0, PRODUCTS // len(CATEGORIES), len(order)), rng.integers(0, PRODUCTS, len(order)))
    weight = rng.gamma(3.0, 1.0, len(order))
    share = weight / np.bincount(order, weights=weight, minlength=count)[order]
    net = np.maximum(cents(made.value[order] * share), 1)
    voucher = rng.random(count) < 0.15
    swiss = people.swiss[made.person] & ~till
    rate = np.where(swiss, FRANCS_PER_EURO, 1.0)[order]
    gross = np.round(net * (1 + items.tax[product] / 100) * rate).astype(np.int64)
    before = np.where(voucher[order], np.round(gross / 0.9), gross).astype(np.int64)
    cancelled = ~till & (rng.random(count) < 0.012)
    returned = ~till & ~cancelled & (rng.random(count) < 0.06)
    total = np.bincount(order, weights=gross, minlength=count).astype(np.int64)
    shipping = np.where(till | (total > 10_000), 0, 495)
    person = made.person
    guest = people.guest[person]
    mails = np.where(guest | (rng.random(count) < 0.97), people.email[person], "")
    numbers = people.customer_number[person]
    shop = ~till
    columns = {
        "Bestellnummer": number[shop], "Bestelldatum": local(at[shop]), "Kundennummer": numbers[shop].astype(object), "E-Mail": mails[shop].astype(object),
        "Status": np.where(cancelled, "storniert", np.where(returned, "retourniert", "bezahlt"))[shop].astype(object), "Währung": np.where(swiss, "CHF", "EUR")[shop].astype(object),
        "Summe": decimal((total + shipping)[shop], grouped=True), "Versand": decimal(shipping[shop]), "Rabatt": decimal(np.bincount(order, weights=before - gross, minlength=count).astype(np.int64)[shop]),
        "Gutschein": np.where(voucher, "DANKE10", "")[shop].astype(object), "Zahlart": rng.choice(np.array(["Rechnung", "Lastschrift", "Kreditkarte", "Sofort"]), count)[shop].astype(object),
        "Kanal": np.where(app, "App", "Shop")[shop].astype(object), "Herkunft": people.origin[person][shop],
    }  # fmt: skip
    files.table("shop/bestellungen.csv", columns)
    _positions(files, Orders(person=person, at=at, number=number, till=till, app=app, total=total, cancelled=cancelled, product=product), order, position, product, before, before - gross, items, numbers, mails, swiss, returned, rng)
    _receipts(files, people, person, at, number, till, order, position, product, gross, total, items)
    walk_ins = _anonymous_receipts(files, items, span, len(people), rng, block)
    first = product[np.cumsum(lines) - lines] if count else product
    orders = Orders(person=person, at=at, number=number, till=till, app=app, total=total, cancelled=cancelled, product=first)
    return orders, {"orders_cancelled": int(cancelled.sum()), "orders_returned": int(returned.sum()), "orders_clock_change": planted, "orders_francs": int(swiss.sum()), "receipts_anonymous": walk_ins, "orders": int(shop.sum()), "receipts": int(till.sum()) + walk_ins}


def _daytime(at: Ints, rng: np.random.Generator) -> Ints:
    """Moments moved to hours at which people buy, on the same Berlin day (kept off midnight, where the day would depend on the offset)."""
    day = (at + 3_600_000_000) // DAY
    hour = np.clip(rng.normal(16.5, 3.5, len(at)), 4.2, 21.9)
    return day * DAY + (hour * 3_600_000_000).astype(np.int64) - 3_600_000_000


def _plant_clock_changes(at: Ints, span: Span, block: int) -> int:
    """Move a purchase to 23:30 in Berlin on each day of clock change in the span; gives how many."""
    planted = 0
    for text in _CLOCK_CHANGES:
        day = np.datetime64(text).astype("datetime64[D]").astype(np.int64)
        start = day * DAY
        if not span.start <= start <= span.end - DAY:
            continue
        near = np.flatnonzero((at >= start) & (at < start + DAY - 5 * 3_600_000_000))
        if len(near):
            summer = text[5:7] == "03"
            at[near[0]] = start + 23 * 3_600_000_000 + 1_800_000_000 - (7_200_000_000 if summer else 3_600_000_000)
            planted += 1
    return planted


def _positions(
    files: Files, orders: Orders, order: Ints, position: Ints, product: Ints, before: Ints, discount: Ints, items: Catalogue, numbers: Texts, mails: Texts, swiss: Bools, returned: Bools,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    shop = ~orders.till[order]
    back = returned[order] & (position == 1)
    days = rng.integers(4, 20, len(order)) * DAY
    for mask, sign in ((shop, 1), (shop & back, -1)):
        which = order[mask]
        paid = np.round(before[mask] * (items.cost / items.price)[product[mask]]).astype(np.int64)
        cost = np.where(items.known_cost[product[mask]], np.array(decimal(paid).to_pylist(), dtype=object), "")
        columns = {
            "Bestellnummer": orders.number[which], "Position": position[mask] + (0 if sign == 1 else 50), "Datum": local(orders.at[which] + (0 if sign == 1 else 1) * days[mask]),
            "Kundennummer": numbers[which].astype(object), "E-Mail": mails[which].astype(object), "Währung": np.where(swiss[which], "CHF", "EUR").astype(object),
            "Artikelnummer": items.number[product[mask]], "Bezeichnung": CATEGORIES[items.category[product[mask]]].astype(object), "Menge": np.full(mask.sum(), sign),
            "Einzelpreis": decimal(before[mask]), "Rabatt": decimal(discount[mask]), "Steuersatz": items.tax[product[mask]], "Einkaufspreis": cost,
        }  # fmt: skip
        files.table("shop/bestellpositionen.csv", columns)


def _receipts(
    files: Files, people: People, person: Ints, at: Ints, number: Texts, till: Bools, order: Ints, position: Ints, product: Ints, gross: Ints, total: Ints, items: Catalogue,
) -> None:  # fmt: skip
    cards = join("K-", people.customer_number[person].astype(object))
    card = np.array(cards.to_pylist(), dtype=object)
    shop = np.array(["Berlin", "Hamburg", "München"])[person % 3]
    files.table("till/kassenbons.csv", {"Bonnummer": number[till], "Zeitpunkt": local(at[till]), "Filiale": shop[till].astype(object), "Kundenkarte": card[till], "Summe": decimal(total[till], grouped=True)})
    mine = till[order]
    which = order[mine]
    columns = {
        "Bonnummer": number[which], "Position": position[mine], "Zeitpunkt": local(at[which]), "Kundenkarte": card[which], "Artikelnummer": items.number[product[mine]],
        "Menge": np.ones(len(which), dtype=np.int64), "Einzelpreis": decimal(gross[mine]), "Steuersatz": items.tax[product[mine]],
    }  # fmt: skip
    files.table("till/bonpositionen.csv", columns)


def _anonymous_receipts(files: Files, items: Catalogue, span: Span, people: int, rng: np.random.Generator, block: int) -> int:
    count = people // 25
    at = _daytime(span.start + (rng.random(count) * (span.end - span.start - DAY)).astype(np.int64), rng)
    product = rng.integers(0, PRODUCTS, count)
    number = np.array([f"L{block:04d}{n:07d}" for n in range(count)], dtype=object)
    nobody = np.full(count, "", dtype=object)
    gross = np.round(items.price[product] * 1.0).astype(np.int64)
    files.table("till/kassenbons.csv", {"Bonnummer": number, "Zeitpunkt": local(at), "Filiale": np.full(count, "Berlin", dtype=object), "Kundenkarte": nobody, "Summe": decimal(gross, grouped=True)})
    columns = {
        "Bonnummer": number, "Position": np.ones(count, dtype=np.int64), "Zeitpunkt": local(at), "Kundenkarte": nobody, "Artikelnummer": items.number[product],
        "Menge": np.ones(count, dtype=np.int64), "Einzelpreis": decimal(gross), "Steuersatz": items.tax[product],
    }  # fmt: skip
    files.table("till/bonpositionen.csv", columns)
    return count
