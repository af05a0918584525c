"""Shop and till: purchases become orders with positions, cancellations, returns, vouchers, currencies and receipts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from kundig.simulate.people import PERSONAS, People
from kundig.simulate.purchases import Purchases, daytime
from kundig.simulate.text import DAY, SECOND, Bools, Floats, Ints, cents, decimal, digits, join, local, pick, pool, rows, texts, where
from kundig.simulate.world import Span, stream
from kundig.simulate.writers import Bundle, moment

PRODUCTS = 300
CATEGORIES = ("Schuhe", "Fahrräder", "Taschen", "Jacken", "Zelte", "Rucksäcke", "Helme", "Bücher", "Lampen", "Zubehör")
BOOKS = CATEGORIES.index("Bücher")
BRANDS = pool(["Nordhang", "Kompass", "Uferlicht", "Radwerk", "Waldweg"])
LINES = ("Alltag", "Tour", "Klassik", "Leicht", "Stadt", "Gipfel")
FRANCS_PER_EURO = 0.94
CANCELLED = 0.012
LOYAL = 0.6
"""Share of positions from the person's favourite category."""
CARD_SHARE = 0.45
"""Share of the purchases of card holders that they make at a till."""
ORDER_NUMBERS = 1_000_000
"""Order numbers of a block begin at the block's number times this."""
CAUSES = ("", "paid_search", "paid_social", "display", "affiliate", "email")
"""What made an order happen that would not have happened without it; '': nothing did."""
CAUSED = {"paid_search": 0.06, "paid_social": 0.03, "display": 0.015, "affiliate": 0.01, "email": 0.6}
"""Share of online orders caused by a channel; by e-mail: of those within three days after a message was opened."""


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Articles: number, category, price and cost; the cost of a fifth of them is not known."""

    number: pa.Array
    name: pa.Array
    category: Ints
    price: Ints
    """Cents, tax included."""
    share: Floats
    """Cost as a share of the price without tax."""
    known_cost: Bools
    tax: Ints
    """Percent."""

    def cost(self, product: Ints, price: Ints) -> Ints:
        """Cost of pieces sold at these prices, in cents."""
        return np.round(price / (1 + self.tax[product] / 100) * self.share[product]).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Orders:
    """Orders of one block, as other files need them."""

    person: Ints
    at: Ints
    number: pa.Array
    value: Floats
    till: Bools
    app: Bools
    total: Ints
    """Cents paid for goods, in the order's currency."""
    cancelled: Bools
    returned: Bools
    second: Bools
    """Ordered with the person's second account, or as a guest with the second address."""
    back_after: Ints
    """Microseconds after which a returned order's first position came back."""
    swiss: Bools
    first: Bools
    product: Ints
    """Article of the first position."""
    cause: Ints
    """Index of `CAUSES`."""
    clock_change: Bools

    def __len__(self) -> int:
        return len(self.person)


def catalogue(seed: int) -> Catalogue:
    """The articles of a world."""
    rng = stream(seed, 0, "catalogue")
    number = np.arange(PRODUCTS)
    category = number % len(CATEGORIES)
    lines = [f"{LINES[(n // len(CATEGORIES)) % len(LINES)]} {n // len(CATEGORIES) + 1}" for n in range(PRODUCTS)]
    return Catalogue(
        number=rows(b"A", digits(number, 5), count=PRODUCTS), name=pool(f"{CATEGORIES[c]} {line}" for c, line in zip(category, lines, strict=True)), category=category,
        price=(np.round(rng.lognormal(3.9, 0.6, PRODUCTS)) * 100 - 5).astype(np.int64), share=rng.uniform(0.35, 0.6, PRODUCTS), known_cost=rng.random(PRODUCTS) < 0.8,
        tax=np.where(category == BOOKS, 7, 19),
    )  # fmt: skip


def write_catalogue(bundle: Bundle, items: Catalogue, span: Span, seed: int) -> None:
    """The files of articles and stock."""
    rng = stream(seed, 0, "stock")
    number = np.arange(PRODUCTS)
    columns = {
        "Artikelnummer": items.number, "Bezeichnung": items.name, "Kategorie": pick(pool(CATEGORIES), items.category), "Marke": pick(BRANDS, rng.integers(0, len(BRANDS), PRODUCTS)),
        "Preis": decimal(items.price), "Einkaufspreis": where(items.known_cost, decimal(items.cost(number, items.price))), "Aktiv": where(rng.random(PRODUCTS) < 0.95, "ja", "nein"),
    }  # fmt: skip
    bundle.table("shop/artikel.csv", columns)
    stock = rng.poisson(25, PRODUCTS) * (rng.random(PRODUCTS) < 0.93)
    bundle.table("shop/bestand.csv", {"Artikelnummer": items.number, "Lager": texts(["Zentrallager"] * PRODUCTS), "Menge": stock, "Stand": local(np.full(PRODUCTS, span.end - DAY // 2))})


def kept_share(people: People) -> Floats:
    """Expected share of an order's net value that is left after cancellations and returns."""
    till = np.where(people.card, CARD_SHARE, 0.0)
    returns = np.array([one.returns for one in PERSONAS])[people.persona]
    kept: Floats = till + (1 - till) * (1 - CANCELLED) * (1 - returns * _FIRST_LINE)
    return kept


def cost_share(people: People, items: Catalogue) -> Floats:
    """Expected cost of goods as a share of net value: of the categories a person buys from, and before vouchers, which lower the price alone."""
    by_category = np.array([items.share[items.category == category].mean() for category in range(len(CATEGORIES))])
    voucher = np.array([one.voucher for one in PERSONAS])[people.persona] * np.where(people.card, 1 - CARD_SHARE, 1.0)
    goods = LOYAL * by_category[people.favourite] + (1 - LOYAL) * items.share.mean()
    share: Floats = goods * (1 + voucher * (1 / 0.9 - 1))
    return share


def draw_orders(people: People, made: Purchases, items: Catalogue, mailed: tuple[Ints, Ints], span: Span, seed: int, block: int) -> Orders:
    """Purchases as orders: where, under which account, and what caused them; `mailed` are person and moment of opened messages, ordered."""
    rng = stream(seed, block, "orders")
    count, person, at = len(made), made.person, made.at
    till = people.card[person] & (rng.random(count) < CARD_SHARE) & ~made.clock_change
    app = ~till & people.app[person] & (rng.random(count) < 0.5)
    returns = np.array([one.returns for one in PERSONAS])[people.persona[person]]
    cancelled = ~till & (rng.random(count) < CANCELLED)
    back_after = rng.integers(4, 20, count) * DAY
    returned = ~till & ~cancelled & (rng.random(count) < returns) & (at + back_after <= span.end)
    first = np.ones(count, dtype=np.bool_)
    first[1:] = person[1:] != person[:-1]
    other = people.second_account[person] | (people.guest & people.writes_twice)[person]
    loyal = rng.random(count) < LOYAL
    chance = rng.random(count)
    bounds = np.cumsum([CAUSED[name] for name in CAUSES[1:5]])
    cause = np.where(till, 0, np.where(chance < bounds[-1], np.searchsorted(bounds, chance, side="right") + 1, 0))
    after = _days_since(person, at, *mailed)
    cause = np.where(~till & (cause == 0) & (after < 3 * DAY) & (rng.random(count) < CAUSED["email"]), 5, cause)
    return Orders(
        person=person, at=at, number=join(where(till, "B", "S"), rows(digits(block * ORDER_NUMBERS + np.arange(count), 11), count=count)), value=made.value, till=till, app=app,
        total=np.zeros(count, dtype=np.int64), cancelled=cancelled, returned=returned, back_after=back_after, second=other & ~till & ~first & (rng.random(count) < 0.4),
        swiss=people.swiss[person] & ~till, first=first, cause=cause, clock_change=made.clock_change,
        product=np.where(loyal, people.favourite[person] + len(CATEGORIES) * rng.integers(0, PRODUCTS // len(CATEGORIES), count), rng.integers(0, PRODUCTS, count)),
    )  # fmt: skip


def priced(orders: Orders, total: Ints) -> Orders:
    """The orders with what was paid for goods."""
    return replace(orders, total=total)


def write_orders(bundle: Bundle, people: People, orders: Orders, items: Catalogue, channel: pa.Array, span: Span, seed: int, block: int) -> Ints:
    """The files of orders, positions and receipts; gives what was paid for goods. `channel` is what the shop names for each order."""
    rng = stream(seed, block, "positions")
    count, person = len(orders), orders.person
    lines = _lines(rng, count)
    order = np.repeat(np.arange(count), lines)
    position = np.arange(len(order)) - np.repeat(np.cumsum(lines) - lines, lines) + 1
    home = rng.random(len(order)) < LOYAL
    product = np.where(home, people.favourite[person][order] + len(CATEGORIES) * rng.integers(0, PRODUCTS // len(CATEGORIES), len(order)), rng.integers(0, PRODUCTS, len(order)))
    product[position == 1] = orders.product
    weight = rng.gamma(3.0, 1.0, len(order))
    net = np.maximum(cents(orders.value[order] * weight / np.bincount(order, weights=weight, minlength=count)[order]), 1)
    voucher = ~orders.till & (rng.random(count) < np.array([one.voucher for one in PERSONAS])[people.persona[person]])
    rate = np.where(orders.swiss, FRANCS_PER_EURO, 1.0)[order]
    paid = np.round(net * (1 + items.tax[product] / 100) * rate).astype(np.int64)
    listed = np.where(voucher[order], np.round(paid / 0.9), paid).astype(np.int64)
    pieces = np.minimum(1 + rng.geometric(0.82, len(order)) - 1, 3)
    pieces = np.where(listed % pieces == 0, pieces, 1)
    book = _Book(order=order, position=position, product=product, pieces=pieces, price=listed // pieces, paid=paid, listed=listed)
    total = np.bincount(order, weights=paid, minlength=count).astype(np.int64)
    shipping = np.where(orders.till | (total > 10_000), 0, 495)
    shop = np.flatnonzero(~orders.till)
    number = people.customer_numbers(person, orders.second)
    as_guest = orders.second & ~people.second_account[person]
    mail = where(orders.second, people.second_email.take(pa.array(person)), where(people.guest[person] | (rng.random(count) < 0.97), people.email.take(pa.array(person))))
    number = where(~as_guest, number)
    columns = {
        "Bestellnummer": orders.number, "Bestelldatum": local(orders.at), "Kundennummer": number, "E-Mail": mail,
        "Status": where(orders.cancelled, "storniert", where(orders.returned, "retourniert", "bezahlt")), "Währung": where(orders.swiss, "CHF", "EUR"),
        "Summe": decimal(total + shipping, grouped=True), "Versand": decimal(shipping), "Rabatt": decimal(np.bincount(order, weights=listed - paid, minlength=count).astype(np.int64)),
        "Gutschein": where(voucher, "DANKE10"), "Zahlart": pick(pool(["Rechnung", "Lastschrift", "Kreditkarte", "Sofort"]), rng.integers(0, 4, count)), "Kanal": where(orders.app, "App", "Shop"),
        "Herkunft": channel,
    }  # fmt: skip
    bundle.table("shop/bestellungen.csv", {name: column.take(pa.array(shop)) for name, column in columns.items()})
    back = orders.returned[order] & (position == 1)
    _positions(bundle, orders, items, book, np.flatnonzero(~orders.till[order]), number, mail, back=False)
    _positions(bundle, orders, items, book, np.flatnonzero(back), number, mail, back=True)
    _receipts(bundle, people, orders, items, book, total)
    walk_ins = _anonymous_receipts(bundle, items, span, len(people) // 25, rng, block)
    bundle.count(
        orders=len(shop), orders_cancelled=orders.cancelled.sum(), orders_returned=orders.returned.sum(), orders_clock_change=orders.clock_change.sum(),
        orders_francs=orders.swiss.sum(), orders_of_guests=((people.guest[person] | as_guest) & ~orders.till).sum(), orders_second_identity=orders.second.sum(), orders_with_voucher=voucher.sum(),
        receipts=orders.till.sum() + walk_ins, receipts_anonymous=walk_ins,
    )  # fmt: skip
    for number_, cause in enumerate(CAUSES):
        mine = (orders.cause == number_) & ~orders.till
        bundle.count(**{f"online_orders_by_{cause or 'nothing'}": mine.sum(), f"online_cents_by_{cause or 'nothing'}": cents(orders.value[mine]).sum()})
    bundle.keep(
        "orders",
        {
            "order": orders.number, "person": people.number[person], "ordered_at": moment(orders.at), "net_value": orders.value, "cause": pick(pool(CAUSES), orders.cause), "till": orders.till,
            "cancelled": orders.cancelled, "returned": orders.returned, "clock_change": orders.clock_change,
        },
    )  # fmt: skip
    return total


@dataclass(frozen=True, kw_only=True)
class _Book:
    """Positions of a block's orders; prices in cents."""

    order: Ints
    position: Ints
    product: Ints
    pieces: Ints
    price: Ints
    paid: Ints
    listed: Ints


def _positions(bundle: Bundle, orders: Orders, items: Catalogue, book: _Book, which: Ints, number: pa.Array, mail: pa.Array, *, back: bool) -> None:
    """Positions bought, or those taken back."""
    order, product = book.order[which], book.product[which]
    at = orders.at[order] + (orders.back_after[order] if back else 0)
    where_from = pa.array(order)
    columns = {
        "Bestellnummer": orders.number.take(where_from), "Position": book.position[which] + (50 if back else 0), "Datum": local(at), "Kundennummer": number.take(where_from),
        "E-Mail": mail.take(where_from), "Währung": where(orders.swiss[order], "CHF", "EUR"), "Artikelnummer": pick(items.number, product), "Bezeichnung": pick(items.name, product),
        "Menge": book.pieces[which] * (-1 if back else 1), "Einzelpreis": decimal(book.price[which]), "Rabatt": decimal((book.listed - book.paid)[which]), "Steuersatz": items.tax[product],
        "Einkaufspreis": where(items.known_cost[product], decimal(items.cost(product, book.price[which]))),
    }  # fmt: skip
    bundle.table("shop/bestellpositionen.csv", columns)


def _receipts(bundle: Bundle, people: People, orders: Orders, items: Catalogue, book: _Book, total: Ints) -> None:
    till = np.flatnonzero(orders.till)
    card = join("K-", people.customer_numbers(orders.person))
    branch = pick(pool(["Berlin", "Hamburg", "München"]), people.number[orders.person] % 3)
    columns = {"Bonnummer": orders.number, "Zeitpunkt": local(orders.at), "Filiale": branch, "Kundenkarte": card, "Summe": decimal(total, grouped=True)}
    bundle.table("till/kassenbons.csv", {name: column.take(pa.array(till)) for name, column in columns.items()})
    which = np.flatnonzero(orders.till[book.order])
    order, product = book.order[which], book.product[which]
    lines = {
        "Bonnummer": orders.number.take(pa.array(order)), "Position": book.position[which], "Zeitpunkt": local(orders.at[order]), "Kundenkarte": card.take(pa.array(order)),
        "Artikelnummer": pick(items.number, product), "Menge": book.pieces[which], "Einzelpreis": decimal(book.price[which]), "Steuersatz": items.tax[product],
    }  # fmt: skip
    bundle.table("till/bonpositionen.csv", lines)


def _anonymous_receipts(bundle: Bundle, items: Catalogue, span: Span, count: int, rng: np.random.Generator, block: int) -> int:
    """Receipts without a card."""
    at = np.sort(daytime(span.start + (rng.random(count) * (span.end - span.start - DAY)).astype(np.int64), rng, 15.0))
    product = rng.integers(0, PRODUCTS, count)
    number = rows(b"L", digits(block * ORDER_NUMBERS + np.arange(count), 11), count=count)
    nobody, price = texts([""] * count), decimal(items.price[product])
    bundle.table("till/kassenbons.csv", {"Bonnummer": number, "Zeitpunkt": local(at), "Filiale": texts(["Berlin"] * count), "Kundenkarte": nobody, "Summe": price})
    columns = {
        "Bonnummer": number, "Position": np.ones(count, dtype=np.int64), "Zeitpunkt": local(at), "Kundenkarte": nobody, "Artikelnummer": pick(items.number, product),
        "Menge": np.ones(count, dtype=np.int64), "Einzelpreis": price, "Steuersatz": items.tax[product],
    }  # fmt: skip
    bundle.table("till/bonpositionen.csv", columns)
    return count


def _lines(rng: np.random.Generator, count: int) -> Ints:
    return np.minimum(1 + rng.poisson(_MORE_LINES, count), 4)


def _days_since(person: Ints, at: Ints, sent_to: Ints, sent_at: Ints) -> Ints:
    """Microseconds since the person's last message before each moment; very many where there was none."""
    far = 10_000 * DAY
    if len(sent_to) == 0:
        return np.full(len(person), far)
    start = min(int(sent_at.min()), int(at.min()) if len(at) else 0)
    width = 4_000 * DAY // SECOND
    keys = sent_to * width + (sent_at - start) // SECOND
    place = np.searchsorted(keys, person * width + (at - start) // SECOND) - 1
    known = (place >= 0) & (sent_to[np.maximum(place, 0)] == person)
    return np.where(known, at - sent_at[np.maximum(place, 0)], far)


_MORE_LINES = 0.6
_POISSON = np.exp(-_MORE_LINES) * np.array([1.0, _MORE_LINES, _MORE_LINES**2 / 2])
_FIRST_LINE = float(_POISSON[0] + _POISSON[1] / 2 + _POISSON[2] / 3 + (1 - _POISSON.sum()) / 4)
"""Expected share of an order's first position: positions are alike, so one over their number."""
