"""Parameters: `$trigger.order_id` in a condition, filled in by the campaign that asks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from kundig.errors import Fault, RuleError, nearest
from kundig.rules.clauses import Clause, Parameter, Test
from kundig.rules.parse_values import fitting
from kundig.rules.reading import text_of
from kundig.rules.values import parameters_in


def open_parameters(clause: Clause) -> tuple[str, ...]:
    """The names of all parameters in a clause, sorted."""
    found: set[str] = set()

    def note(test: Test) -> Test:
        found.update(parameters_in(test))
        return test

    with_tests(clause, note)
    return tuple(sorted(found))


def with_tests(node: Any, change: Callable[[Test], Test]) -> Any:
    """The same records with every test of a value changed."""
    if isinstance(node, Test):
        return change(node)
    if isinstance(node, tuple):
        return tuple(with_tests(item, change) for item in node)
    if not dataclasses.is_dataclass(node) or isinstance(node, type):
        return node
    fields = {field.name: getattr(node, field.name) for field in dataclasses.fields(node)}
    changed = {name: with_tests(value, change) for name, value in fields.items()}
    return node if all(changed[name] is value for name, value in fields.items()) else dataclasses.replace(node, **changed)


def bound(clause: Clause, values: Mapping[str, Any]) -> Clause:
    """The clause with its parameters filled in.

    Raises:
        RuleError: See `Rule.bind`.
    """
    given, wanted, faults = flat(values), open_parameters(clause), []
    faults += [Fault(what=f"the parameter '${name}' has no value", at="$", mend=nearest(name, given)) for name in wanted if name not in given]
    faults += [
        Fault(what=f"there is no parameter '${name}'", at="$", mend=nearest(name, wanted))
        for name in given
        if name not in wanted and not _surplus(name, wanted)
    ]

    def fill(test: Test) -> Test:
        if not any(True for _ in parameters_in(test)):
            return test
        items = test.value if isinstance(test.value, tuple) else (test.value,)
        filled = tuple(_filled(item, test, given, faults) for item in items)
        return dataclasses.replace(test, value=filled if isinstance(test.value, tuple) else filled[0])

    result: Clause = with_tests(clause, fill)
    if faults:
        raise RuleError(faults=faults)
    return result


def _surplus(name: str, wanted: tuple[str, ...]) -> bool:
    """Whether a value stands beside one that is wanted, as a trigger's other properties do."""
    head = name.rpartition(".")[0]
    return head != "" and any(other.startswith(f"{head}.") for other in wanted)


def _filled(item: Any, test: Test, given: Mapping[str, Any], faults: list[Fault]) -> Any:
    if not isinstance(item, Parameter) or item.name not in given:
        return item
    value = fitting(text_of(given[item.name]), test.type)
    if value is None:
        faults.append(
            Fault(what=f"{given[item.name]!r} is no {test.type}", at=f"${item.name}", mend=f"the property it is compared with is declared as {test.type}")
        )
    return value


def flat(values: Mapping[str, Any], head: str = "") -> dict[str, Any]:
    """Nested mappings as one, names joined by dots; a leading $ is left out.

    Examples:
        >>> flat({"trigger": {"order_id": "7"}, "$limit": 3})
        {'trigger.order_id': '7', 'limit': 3}
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{head}{name.removeprefix('$')}"
        found |= flat(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return found
