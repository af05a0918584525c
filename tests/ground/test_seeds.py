"""Laws draw the same examples each time at small counts: a law that fails, fails again, and keeps nothing on disk."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FULL = os.environ.get("KUNDIG_FULL") == "1"


def _loose(items: list[pytest.Item]) -> list[str]:
    """Laws among the tests that draw anew each time."""
    laws = {item.nodeid: getattr(getattr(item, "obj", None), "_hypothesis_internal_use_settings", None) for item in items if hasattr(getattr(item, "obj", None), "hypothesis")}
    return [name for name, given_settings in laws.items() if not (given_settings or settings.default).derandomize]


def _drawn() -> list[int]:
    numbers: list[int] = []

    @settings(max_examples=20)
    @given(st.integers())
    def law(number: int) -> None:
        numbers.append(number)

    law()
    return numbers


@pytest.mark.skipif(FULL, reason="with full counts laws draw anew each time")
def test_every_law_has_a_fixed_seed(request: pytest.FixtureRequest) -> None:
    assert not _loose(request.session.items)
    assert _drawn() == _drawn() != []


def test_a_law_that_draws_anew_is_seen(request: pytest.FixtureRequest) -> None:
    @settings(derandomize=False)
    @given(st.integers())
    def law(number: int) -> None: ...

    assert _loose([pytest.Function.from_parent(request.node.parent, name="law", callobj=law)]) == [f"{request.node.parent.nodeid}::law"]
