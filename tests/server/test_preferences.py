"""The link in a message: what it shows, what it changes, and that the very next delivery holds to it."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import zipfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from kundig import consent
from kundig.collect.identifiers import identifier_key, normalise
from kundig.collect.intake.serving import make_intake
from kundig.deliver.handover import link_key
from kundig.deliver.rendering import Links
from kundig.server.preferences import STEM, Preferences
from kundig.workspace import Workspace
from tests.server.browser import judged
from tests.server.test_accessible import AXE, BROKEN

HOUR = dt.timedelta(hours=1)
BASE = "https://in.example.org"


@pytest.fixture
def shop(root: Path, tmp_path: Path) -> Workspace:
    """A copy of the finished workspace, what its people consented to in the log: what is said on the page stays in it."""
    shutil.copytree(root, tmp_path / "shop")
    shop = Workspace(tmp_path / "shop")
    names, rows = shop.rows("SELECT * FROM consent_records")
    kept = [name for name in names if name in {column.name for column in shop.state.sql("consent_log").columns} - {"seq"}]
    consent.append(shop.state, [{name: value for name, value in zip(names, row, strict=True) if name in kept} for row in rows])
    return shop


@pytest.fixture
def message(shop: Workspace) -> dict[str, Any]:
    """A message that was handed over by e-mail."""
    rows = shop.state.select("messages", shop.state.sql("messages").c.status == "sent", shop.state.sql("messages").c.channel == "email", order_by=shop.state.sql("messages").c.message_id)
    return rows[0]


@pytest.fixture
def link(shop: Workspace, message: dict[str, Any]) -> str:
    return Links(website=BASE, secret=link_key(shop.config)).unsubscribe(message["message_id"]).removeprefix(BASE)


@pytest.fixture
def browser(shop: Workspace, message: dict[str, Any]) -> Iterator[TestClient]:
    """The intake, as `kundig serve` opens it, just after the message came."""
    seconds = count()
    clock = lambda: message["sent_at"] + dt.timedelta(seconds=1 + next(seconds))  # noqa: E731
    with make_intake(shop, pages={STEM: Preferences(shop, clock=clock).answer}) as intake:
        yield TestClient(intake, base_url=BASE)


def said(shop: Workspace) -> list[tuple[str, str, str]]:
    log = shop.state.sql("consent_log")
    return [(row["purpose"], row["channel"], row["status"]) for row in shop.state.select("consent_log", log.c.source == "preferences", order_by=log.c.seq)]


def standing(shop: Workspace, message: dict[str, Any], purpose: str, channel: str) -> str:
    key = identifier_key("email", normalise("email", message["address"], country="DE"))
    return consent.status(shop.state, [key], purposes=shop.config.purposes, purpose=purpose, channel=channel, at=message["sent_at"] + 9 * HOUR).reason


def boxes(page: str) -> dict[str, bool]:
    return {value: "checked" in rest for value, rest in re.findall(r'name="allow" value="([^"]+)"([^>]*)>', page)}


def test_the_link_of_a_message_is_the_one_that_was_sent(shop: Workspace, message: dict[str, Any], link: str) -> None:
    mails = b"".join(path.read_bytes() for path in (shop.root / "out").rglob("*.eml"))
    for pack in (shop.root / "out").rglob("*.zip"):
        with zipfile.ZipFile(pack) as opened:
            mails += b"".join(opened.read(name) for name in opened.namelist() if name.endswith(".eml"))
    assert link.encode() in mails.replace(b"=\r\n", b"")


def test_a_look_changes_nothing_and_shows_what_stands(shop: Workspace, browser: TestClient, link: str, message: dict[str, Any]) -> None:
    for method in ("GET", "HEAD"):
        told = browser.request(method, link)
        assert told.status_code == 200 and told.headers["cache-control"] == "no-store" and "script" not in told.headers["content-security-policy"]
    page = browser.get(link).text
    assert boxes(page)["newsletter/email"] is True, "the message came since it was allowed"
    assert message["address"] not in page and "…@" in page, "the address is not shown whole"
    assert "What may we send?" in browser.get(f"{link}?lang=en").text and "Was dürfen wir schicken?" in browser.get(f"{link}?lang=de").text
    assert said(shop) == []


@pytest.mark.parametrize("form", [{"data": {"List-Unsubscribe": "One-Click"}}, {"files": {"List-Unsubscribe": (None, "One-Click")}}], ids=["plain", "parts"])
def test_one_click_withdraws_what_the_message_rests_on(shop: Workspace, browser: TestClient, link: str, message: dict[str, Any], form: dict[str, Any]) -> None:
    assert standing(shop, message, "newsletter", "email") != "consent_withdrawn"
    assert browser.post(link, **form).json() == {"unsubscribed": True}
    assert said(shop) == [(message["purpose"], "email", "withdrawn")]
    assert standing(shop, message, "newsletter", "email") == "consent_withdrawn"
    assert boxes(browser.get(link).text)["newsletter/email"] is False


def test_the_next_delivery_holds_to_it(shop: Workspace, browser: TestClient, link: str, message: dict[str, Any]) -> None:
    """The row waits again, as if it had not been handed over: the gate refuses it for what was said a moment ago; without that it leaves."""
    def again() -> dict[str, Any]:
        messages, caps = shop.state.sql("messages"), shop.state.sql("caps")
        with shop.state.transaction() as connection:
            connection.execute(caps.delete().where(caps.c.person_key == message["person_key"]))
            connection.execute(messages.update().where(messages.c.message_id == message["message_id"]).values(status="queued", reason=None, sent_at=None, claim=None, claimed_at=None))
        shop.deliver(at=message["sent_at"] + dt.timedelta(minutes=9))
        return shop.state.select("messages", messages.c.message_id == message["message_id"])[0]

    told = again()
    assert told["status"] == "sent", f"the control: nothing was said, and the gate says {told['reason']}"
    browser.post(link, data={"List-Unsubscribe": "One-Click"})
    told = again()
    assert (told["status"], told["reason"]) == ("refused", "consent_withdrawn")


def test_a_choice_changes_what_was_shown_and_nothing_else(shop: Workspace, browser: TestClient, link: str, message: dict[str, Any]) -> None:
    before = boxes(browser.get(link).text)
    wanted = {name for name, on in before.items() if on} - {"newsletter/email"} | {"newsletter/push"}
    told = browser.post(link, data={"shown": list(before), "allow": sorted(wanted)})
    assert 'role="status"' in told.text
    after = boxes(told.text)
    assert after["newsletter/email"] is False and after["newsletter/push"] is True
    assert {name for name in before if before[name] != after[name]} == {"newsletter/email"} | ({"newsletter/push"} if not before["newsletter/push"] else set())
    again = len(said(shop))
    browser.post(link, data={"shown": list(after), "allow": sorted(wanted)})
    assert len(said(shop)) == again, "the same once more says nothing new"
    browser.post(link, data={"allow": ["newsletter/email"]})
    assert len(said(shop)) == again, "what was not shown is not decided"
    back = boxes(browser.post(link, data={"shown": list(after), "allow": sorted({*wanted, "newsletter/email"})}).text)
    assert back["newsletter/email"] is True, "who holds the link holds the address: that is the confirmation"
    assert said(shop)[-1] == ("newsletter", "email", "confirmed")


def test_a_channel_that_must_be_confirmed_elsewhere_waits(shop: Workspace, browser: TestClient, link: str) -> None:
    before = boxes(browser.get(link).text)
    if before["newsletter/sms"]:
        browser.post(link, data={"shown": list(before), "allow": sorted(set(before) - {"newsletter/sms"})})
        before = boxes(browser.get(link).text)
    assert before["newsletter/sms"] is False
    withdrawn = len(said(shop))
    wanted = sorted({name for name, on in before.items() if on} | {"newsletter/sms"})
    for _ in range(2):
        told = browser.post(f"{link}?lang=en", data={"shown": list(before), "allow": wanted})
        assert boxes(told.text)["newsletter/sms"] is False and "not confirmed yet" in told.text
    assert said(shop)[withdrawn:] == [("newsletter", "sms", "requested")]


def test_everything_can_be_objected_to(shop: Workspace, browser: TestClient, link: str, message: dict[str, Any]) -> None:
    told = browser.post(link, data={"nothing": "1"})
    assert not any(boxes(told.text).values())
    assert standing(shop, message, "newsletter", "email") == standing(shop, message, "newsletter", "direct_mail") == "objected"
    assert {channel for _, channel, _ in said(shop)} == {"*"}
    record = shop.state.select("consent_log", shop.state.sql("consent_log").c.source == "preferences")[0]
    assert message["message_id"] in record["evidence"] and record["jurisdiction"] == "DE"


def test_what_is_said_speaks_for_all_that_is_known_of_the_person(shop: Workspace, browser: TestClient, link: str) -> None:
    browser.post(link, data={"List-Unsubscribe": "One-Click"})
    row = shop.state.select("consent_log", shop.state.sql("consent_log").c.source == "preferences")[0]
    found = shop.rows(f"SELECT DISTINCT o.identifier_key FROM identities m JOIN identities o USING (person_key) WHERE m.identifier_key = {row['identifier_key']} AND o.valid_until IS NULL")[1]
    assert {row["identifier_key"], *row["other_keys"]} == {key for (key,) in found} and len(found) > 1


@pytest.mark.parametrize("broken", ["", "0", "x", "/more"])
def test_a_link_that_is_not_ours_shows_and_changes_nothing(shop: Workspace, browser: TestClient, link: str, broken: str) -> None:
    wrong = link[:-1] + ("0" if link[-1] != "0" else "1") if not broken else link + broken
    for told in (browser.get(wrong), browser.post(wrong, data={"List-Unsubscribe": "One-Click"}), browser.post(wrong, data={"nothing": "1"})):
        assert told.status_code == 404 and "Dieser Link gilt nicht" in told.text
    assert said(shop) == []


def test_a_message_that_was_erased_leaves_a_link_to_nothing(shop: Workspace, browser: TestClient, link: str, message: dict[str, Any]) -> None:
    with shop.state.transaction() as connection:
        connection.execute(shop.state.sql("messages").delete().where(shop.state.sql("messages").c.message_id == message["message_id"]))
    assert browser.get(link).status_code == 404


@pytest.mark.parametrize("body", [b"allow=" * 5_000, b"&" * 30_000, b"\xff\xfe=1", b"allow=newsletter%2Fnothing&shown=newsletter%2Fnothing", b"shown=a&allow"])
def test_odd_forms_change_nothing(shop: Workspace, browser: TestClient, link: str, body: bytes) -> None:
    assert browser.post(link, content=body).status_code == 200
    assert said(shop) == []


def test_a_state_that_cannot_be_written_is_told(shop: Workspace, browser: TestClient, link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from kundig.errors import Busy
    from kundig.store.state import State

    def busy(*_: Any, **__: Any) -> Any:
        raise Busy("somebody else writes")

    monkeypatch.setattr(State, "transaction", busy)
    told = browser.post(link, data={"List-Unsubscribe": "One-Click"})
    assert told.status_code == 503 and told.headers["retry-after"]


@pytest.mark.needs_chromium
@pytest.mark.parametrize(("width", "dark"), ((360, False), (1280, True)))
def test_the_page_in_a_browser(browser: TestClient, link: str, tmp_path: Path, width: int, dark: bool) -> None:
    sheets = {locale: browser.get(f"{link}?lang={locale}").text for locale in ("de", "en")} | {"done": browser.post(link, data={"nothing": "1"}).text, "unknown": browser.get(f"/u/{'0' * 32}-{'0' * 24}").text}
    verdict = judged(sheets | {"broken": BROKEN}, axe=AXE.read_text(encoding="utf-8"), folder=tmp_path, width=width, dark=dark)
    assert verdict.pop("broken")["violations"], "the check itself must be able to find faults"
    assert {name: page["violations"] for name, page in verdict.items() if page["violations"]} == {}
    assert {name: page["scroll"] for name, page in verdict.items() if page["scroll"] > page["width"]} == {}
