"""What a source declares, from the command line: declared, held against what landed, mended."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Kundig


def test_a_declared_total_is_checked(kundig: Kundig, copy: Path) -> None:
    path = next(path for path in sorted((copy / "sources").glob("*.yaml")) if "table: orders" in path.read_text(encoding="utf-8"))
    path.write_text(path.read_text(encoding="utf-8") + "\nsla_hours: 0\ntotals: {orders: {table: orders, days: 20000}}\n" if "sla_hours" not in path.read_text(encoding="utf-8") else path.read_text(encoding="utf-8") + "\ntotals: {orders: {table: orders, days: 20000}}\n", encoding="utf-8")
    day, count = kundig("sql", f"SELECT local_day, count(*) AS n FROM orders WHERE source = '{path.stem}' GROUP BY 1 ORDER BY 1 LIMIT 1", "-w", copy).out.split()[-2:]
    assert kundig("source", "declare", path.stem, "orders", day, "--quantity", count, "-w", copy).code == 0
    assert "1 day of totals compared, 0 of them differ" in kundig("source", "check", path.stem, "-w", copy).out
    assert kundig("source", "declare", path.stem, "orders", day, "--quantity", str(int(count) + 1), "-w", copy).code == 0
    told = kundig("source", "check", path.stem, "-w", copy)
    assert told.code == 1 and "1 day of totals compared, 1 of them differ" in told.out and day in told.out
    assert kundig("source", "declare", path.stem, "orders", "yesterday", "--quantity", "1", "-w", copy).code == 2
