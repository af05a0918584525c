"""The order of the steps, derived from what they read and write; never written down a second time."""

from __future__ import annotations

import graphlib
import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from functools import cache

from kundig.errors import ContractError, nearest
from kundig.schema import Step

ROOMS = ("collect", "unify", "understand", "decide", "create", "deliver", "measure", "govern")


@cache
def steps() -> tuple[Step, ...]:
    """Every step of every room, each after the steps whose tables it reads.

    Raises:
        ContractError: Two steps write one table (fits may share `models`), or steps read each other in a circle.
    """
    return ordered(_declared())


def ordered(declared: Iterable[Step]) -> tuple[Step, ...]:
    """The steps in an order in which each comes after those it reads from; ties by name, so the order never varies."""
    by_name = {step.name: step for step in declared}
    writers: dict[str, list[str]] = {}
    for name in sorted(by_name):
        writers.setdefault(by_name[name].writes.name, []).append(name)
    for table, names in writers.items():
        if len(names) > 1 and any(by_name[name].kind != "fit" for name in names):
            raise ContractError(f"{', '.join(names)} write the same table", at=f"table '{table}'", mend="one step a table; only fits share one")
    graph = {name: {writer for table in step.reads for writer in writers.get(table.name, [])} - {name} for name, step in by_name.items()}
    sorter = graphlib.TopologicalSorter({name: sorted(graph[name]) for name in sorted(graph)})
    try:
        return tuple(by_name[name] for name in sorter.static_order())
    except graphlib.CycleError as circle:
        raise ContractError(f"steps read each other in a circle: {' → '.join(circle.args[1])}", mend="let one of them read an earlier table") from circle


def upstream(chosen: Iterable[str], declared: Iterable[Step]) -> tuple[Step, ...]:
    """The steps that make the chosen tables, and all that those rest on.

    Raises:
        ContractError: No step makes a chosen table.
    """
    everything = tuple(declared)
    makers = {table: [step for step in everything if step.writes.name == table] for table in {step.writes.name for step in everything}}
    wanted: set[str] = set()
    open_tables = list(chosen)
    for table in open_tables:
        if table not in makers:
            raise ContractError(f"no step makes the table '{table}'", mend=nearest(table, makers, most=60))
    while open_tables:
        for step in makers.get(open_tables.pop(), ()):
            if step.name not in wanted:
                wanted.add(step.name)
                open_tables += [table.name for table in step.reads]
    return tuple(step for step in everything if step.name in wanted)


def _with_steps(places: Iterable[str], prefix: str) -> Iterator[str]:
    """Modules whose text holds a step. Loading all others, and the packages they lie in with the libraries these need, would cost each run half a second."""
    for info in pkgutil.iter_modules(list(places), prefix):
        spec = info.module_finder.find_spec(info.name, None)
        read = getattr(spec.loader, "get_source", None) if spec is not None else None
        text = read(info.name) if read is not None else None
        if text is None or "@step" in text:
            yield info.name
        if info.ispkg and spec is not None:
            yield from _with_steps(spec.submodule_search_locations or (), f"{info.name}.")


def _declared() -> tuple[Step, ...]:
    found: dict[str, Step] = {}
    for room in ROOMS:
        package = importlib.import_module(f"kundig.{room}")
        for name in _with_steps(package.__path__, f"kundig.{room}."):
            module = importlib.import_module(name)
            for value in vars(module).values():
                if isinstance(value, Step) and value.body.__module__ == name:
                    found[value.name] = value
    return tuple(found.values())
