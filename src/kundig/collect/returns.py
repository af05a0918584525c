"""Which purchase a cancellation takes back, where the document does not say: the newest earlier ones of the same article by the same customer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal


@dataclass(slots=True)
class Bought:
    """A purchase line with what is left of it."""

    moment: int
    line_id: str
    order_id: str
    price: Decimal
    left: Decimal


@dataclass(frozen=True, slots=True)
class TakenBack:
    """Pieces of one cancelled line, and the order they were bought with (None: no purchase of them is known)."""

    line_id: str
    part: int
    order_id: str | None
    quantity: Decimal


Purchase = tuple[int, str, int, str, str, Decimal, Decimal]
"""Customer, article, moment, line_id, order_id, price, pieces."""

Cancellation = tuple[int, str, int, str, Decimal, Decimal]
"""Customer, article, moment, line_id, price, pieces."""


def taken_back(purchases: Iterable[Purchase], cancellations: Iterable[Cancellation], before: Iterable[tuple[str, str, Decimal]] = ()) -> Iterator[TakenBack]:
    """Each cancelled line cut into the purchases it takes back.

    Cancellations are served in order of time; each takes the newest purchase not later than itself, those at the same price first,
    and never more pieces than are left of one.

    Args:
        purchases: Lines bought, with positive pieces.
        cancellations: Lines taken back, with positive pieces.
        before: (order_id, article, pieces) that earlier imports took back.

    Examples:
        >>> bought = [(1, "A", 10, "l1", "o1", Decimal(2), Decimal(5)), (1, "A", 20, "l2", "o2", Decimal(3), Decimal(5))]
        >>> [(t.order_id, int(t.quantity)) for t in taken_back(bought, [(1, "A", 30, "c1", Decimal(2), Decimal(7))])]
        [('o1', 5), ('o2', 2)]
        >>> [(t.order_id, int(t.quantity)) for t in taken_back(bought, [(1, "A", 15, "c1", Decimal(9), Decimal(7))])]
        [('o1', 5), (None, 2)]
    """
    gone: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for order_id, article, quantity in before:
        gone[order_id, article] += quantity
    shelves: dict[tuple[int, str], list[Bought]] = defaultdict(list)
    for customer, article, moment, line_id, order_id, price, quantity in sorted(purchases):
        already = min(quantity, gone[order_id, article])
        gone[order_id, article] -= already
        shelves[customer, article].append(Bought(moment, line_id, order_id, price, quantity - already))
    for shelf in shelves.values():
        shelf.sort(key=lambda bought: (bought.moment, bought.line_id), reverse=True)
    for customer, article, moment, line_id, price, quantity in sorted(cancellations, key=lambda c: (c[2], c[3])):
        open_pieces, part = quantity, 0
        earlier = [bought for bought in shelves.get((customer, article), ()) if bought.moment <= moment and bought.left > 0]
        for bought in sorted(earlier, key=lambda b: b.price != price):
            if open_pieces <= 0:
                break
            pieces = min(open_pieces, bought.left)
            bought.left -= pieces
            open_pieces -= pieces
            part += 1
            yield TakenBack(line_id, part, bought.order_id, pieces)
        if open_pieces > 0:
            yield TakenBack(line_id, part + 1, None, open_pieces)
