"""Creatives: golden texts in German and English, what they are made from, who approved them, and what data cannot do to them."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from tests.create.world import AS_OF, World

from kundig.create.guardrails import BARE_PERSON, SAMPLE_MESSAGE
from kundig.create.templates import environment, fill, open_fields, render
from kundig.errors import ConfigError, TemplateError

GOLDEN = Path(__file__).parent / "golden"
PERSON = {"first_name": "Kim", "last_name": "Beispiel & Söhne", "company": "", "offer_code": ""}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def told(row, person):
    """What a person gets to read: subject, text, and the words and links of the HTML."""
    parts = [fill(row[name], person=person, message=SAMPLE_MESSAGE, html=False) for name in ("subject_line", "text_body")]
    html = fill(row["body"], person=person, message=SAMPLE_MESSAGE, html=row["channel"] == "email")
    words = unescape(re.sub(r"\s*\n\s*", "\n", re.sub(r"<(?!/?b>)[^>]*>", "\n", re.sub(r"(?s)<!--.*?-->|<style.*?</style>", "", html))))
    links = "\n".join(unescape(link) for link in re.findall(r'href="([^"]*)"', html))
    return "\n=====\n".join([*parts, words.strip(), links]) + "\n"


@pytest.mark.parametrize("name, address, segment, channel, locale, person", [
    ("email_de_du", "du", "gold_quiet", "email", "de", PERSON), ("email_de_sie", "sie", "gold_quiet", "email", "de", PERSON), ("email_en", "sie", "gold_quiet", "email", "en", PERSON),
    ("email_de_sie_unknown", "sie", "basic_new", "email", "de", BARE_PERSON), ("push_de_sie", "sie", "gold_quiet", "push", "de", PERSON), ("push_en", "du", "basic_new", "push", "en", PERSON),
])  # fmt: skip
def test_golden(world, name, address, segment, channel, locale, person):
    world.edit("kundig.toml", "[brand]", f'[brand]\naddress = "{address}"')
    assert told(world.one(segment, channel, locale), person) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_no_greeting_guesses_a_gender(world):
    for address in ("du", "sie"):
        world.edit("kundig.toml", "[brand]", f'[brand]\naddress = "{address}"')
        for row in world.creatives().to_pylist():
            assert not re.search(r"\b(Herr|Frau|Sehr geehrte|Lieber?|Mr|Mrs|Dear)\b", told(row, PERSON))
        world.edit("kundig.toml", f'address = "{address}"\n', "")


def test_one_creative_per_segment_channel_locale_and_variant(world):
    world.edit("creatives/win_back/brief.yaml", "link:", "variants: [a, b]\nlink:")
    with (world.root / "creatives/win_back/copy.de.yaml").open("a", encoding="utf-8") as file:
        file.write("variants:\n  b:\n    du: {subject: Anders}\n")
    rows = world.creatives().to_pylist()
    assert len(rows) == len({row["creative_id"] for row in rows}) == 2 * 2 * 2 * 2
    assert world.one(variant="b")["subject_line"] == "Anders"
    assert world.one(locale="en", variant="b")["subject_line"].startswith("It has been a while")


@pytest.mark.parametrize("change, which", [
    (lambda w: w.matrix.__setitem__(0, w.matrix[0] | {"key_message": "Anders"}), {"matrix_hash"}), (lambda w: w.edit("creatives/win_back/copy.de.yaml", "Das ist neu", "Das ist sehr neu"), {"template_hash"}),
    (lambda w: w.edit("creatives/win_back/email.mjml", "24px 0 0", "20px 0 0"), {"template_hash"}), (lambda w: w.edit("brand/tokens.json", "#0b5cad", "#0b5cae"), {"voice_hash"}),
    (lambda w: w.edit("brand/voice.yaml", "sentence_words: 25", "sentence_words: 26"), {"voice_hash"}), (lambda w: w.offers.__setitem__(0, w.offers[0] | {"meaning": "20 %"}), set()),
])  # fmt: skip
def test_a_changed_input_makes_what_was_approved_stale(world, change, which):
    world.edit("creatives/win_back/brief.yaml", "auto_approve:\n  role: crm_manager\n  reason: Wording agreed once; remove this entry to have each creative approved by a person.\n", "")
    before = world.one()
    assert before["status"] == "draft"
    world.approvals.append({"approval_id": "1", "object_kind": "creative", "object_id": "win_back/gold_quiet/email/de/a", "version": before["made_from"], "verdict": "approved", "decided_at": AS_OF})
    assert world.one()["status"] == "approved"
    assert world.one(locale="en")["status"] == "draft"
    change(world)
    after = world.one()
    assert after["status"] == "stale"
    assert {name for name in ("matrix_hash", "template_hash", "voice_hash") if before[name] != after[name]} == which
    assert before["made_from"] != after["made_from"]
    world.approvals.append(world.approvals[0] | {"approval_id": "2", "version": after["made_from"], "verdict": "rejected"})
    assert world.one()["status"] == "rejected"


def test_the_same_inputs_give_the_same_bytes(world):
    assert world.creatives().equals(world.creatives())


def test_data_is_never_a_template(world):
    attack = '{{ person.last_name }}{% raw %}{% assign x = 1 %}{ {{ "a" | upcase }} <script>alert(1)</script>{'
    world.matrix = [world.matrix[0] | {"key_message": attack}]
    world.offers = [world.offers[0] | {"meaning": attack}]
    row = world.one()
    for part, html in (("body", True), ("text_body", False)):
        read = fill(row[part], person=PERSON, message=SAMPLE_MESSAGE, html=html)
        assert "{{ person.last_name }}" in read
        assert "Beispiel" not in read
    assert "<script" not in row["body"]
    assert "&lt;script&gt;" in row["body"]


def test_what_a_person_is_called_is_never_a_template_nor_markup(world):
    attack = {"first_name": '{{ message.id }}<img src=x onerror="x">', "last_name": "{% if %}", "company": "", "offer_code": ""}
    html = fill(world.one()["body"], person=attack, message=SAMPLE_MESSAGE, html=True)
    assert "{{ message.id }}" in unescape(html)
    assert "<img src=x" not in html


@pytest.mark.parametrize("template", [
    "{% for i in (1..100000000) %}x{% endfor %}", "{% for i in (1..9999) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' }}{% endfor %}", "{% include 'x' %}",
    "{{ 'x' | safe }}", "{{ x.__class__ }}", "{{ copy.__class__.__mro__ }}", "{{ 'now' | date: '%s' }}", "{% liquid assign x = 1 %}",
])  # fmt: skip
def test_templates_can_neither_run_away_nor_reach_out(template):
    with pytest.raises(TemplateError):
        render(environment(html=True), template, {"copy": {"a": "b"}}, at="attack")


@pytest.mark.parametrize("template", [
    "{% assign x = person.first_name %}", "{% for x in person.first_name %}{% endfor %}", "{% capture x %}{{ person.first_name }}", "{% if copy.a %}{% elsif person.first_name %}{% endif %}",
    "{% raw %}{{ person.first_name }}{% endraw %}", "{% endif %}", "{% liquid echo person.first_name %}",
])  # fmt: skip
def test_personal_fields_stand_only_where_the_second_stage_allows_them(template):
    with pytest.raises(TemplateError):
        open_fields(template, mark="0" * 16)


def test_all_faults_of_all_files_come_at_once_with_their_mend(world):
    world.edit("creatives/win_back/copy.de.yaml", "{{ segment.key_message }}", "{{ segment.key_mesage }}")
    world.edit("creatives/win_back/copy.en.yaml", "{{ offer.code }}", "{{ offer.kode }}")
    world.edit("creatives/win_back/push.liquid", "{{ copy.push_text }}", "{{ person.firstname }}")
    with pytest.raises(TemplateError) as refused:
        world.creatives()
    told = str(refused.value)
    for part in ("copy.de.yaml, text 'headline'", "did you mean 'key_message'?", "copy.en.yaml, text 'body'", "did you mean 'code'?", "did you mean 'first_name'?"):
        assert part in told


def test_missing_files_and_unknown_segments_are_named(world):
    (world.root / "creatives/win_back/copy.en.yaml").unlink()
    (world.root / "creatives/win_back/push.liquid").unlink()
    world.edit("creatives/win_back/brief.yaml", "link:", "segments: [gold_quite]\nlink:")
    with pytest.raises(TemplateError) as refused:
        world.creatives()
    for part in ("copy.en.yaml", "push.liquid", "did you mean 'gold_quiet'?"):
        assert part in str(refused.value)


def test_a_text_of_the_matrix_is_never_shown_in_the_wrong_language(world):
    assert "zurückgelegt" in world.one()["text_body"]
    assert "zurückgelegt" not in world.one(locale="en")["text_body"]
    world.edit("creatives/win_back/copy.en.yaml", "neutral:", "words: {Wir haben etwas für dich zurückgelegt: We kept something for you}\nneutral:")
    assert "We kept something for you" in world.one(locale="en")["text_body"]


@pytest.mark.parametrize("path, old, new, check", [
    ("creatives/win_back/email.mjml", "{{ message.unsubscribe_url }}", "https://www.example.org", "unsubscribe"), ("creatives/win_back/email.mjml", "{{ creative.link }}", "https://elsewhere.example.org", "call_to_action"),
    ("creatives/win_back/email.mjml", "<br />{{ brand.imprint }}", "", "imprint"), ("brand/tokens.json", '"email_bytes": 100000', '"email_bytes": 2000', "weight"),
    ("creatives/win_back/copy.de.yaml", "Schau vorbei!", "Schau vorbei! Es gibt sehr viel Neues, das wir dir unbedingt heute noch zeigen wollen", "push_length"),
    ("creatives/win_back/copy.de.yaml", "push_text: 'Schau vorbei!'", "push_text: ''", "push_text"), ("creatives/win_back/copy.de.yaml", "Neu für dich", "Neu für dich und alle, die du kennst und magst", "push_title"),
    ("creatives/win_back/copy.de.yaml", "Das ist neu, seit du", "Nur HEUTE neu, seit du", "forbidden_words"), ("brand/tokens.json", '"push_bytes": 4096', '"push_bytes": 256', None),
    ("creatives/win_back/email.mjml", "<mj-text>{{ copy.greeting }}</mj-text>", "<mj-raw><img src='https://x.example.org/a.png'></mj-raw>", "image_alternative"),
])  # fmt: skip
def test_guardrails_block(world, path, old, new, check):
    assert world.blocked() == set()
    world.edit(path, old, new)
    assert world.blocked() == ({check} if check else set())
    if check:
        assert {row["status"] for row in world.creatives().to_pylist()} >= {"draft"}


def test_an_own_text_part_without_its_parts_is_blocked(world):
    (world.root / "creatives/win_back/email.txt.liquid").write_text("Nur Text, mehr nicht", encoding="utf-8")
    assert world.blocked() == {"unsubscribe", "logo_as_text", "imprint", "call_to_action"}


def test_an_approval_cannot_let_through_what_is_blocked(world):
    world.edit("creatives/win_back/copy.de.yaml", "push_text: 'Schau vorbei!'", "push_text: ''")
    row = world.one(channel="push")
    world.approvals.append({"approval_id": "1", "object_kind": "creative", "object_id": "win_back/gold_quiet/push/de/a", "version": row["made_from"], "verdict": "approved", "decided_at": AS_OF})
    assert world.one(channel="push")["status"] == "draft"


def test_files_that_are_wrong_are_refused_with_line_and_mend(world):
    world.edit("creatives/win_back/brief.yaml", "channels: [email, push]", "channels: [email, pusch]")
    world.edit("brand/voice.yaml", "tone: neutral", "tone: neutrall")
    with pytest.raises(ConfigError) as refused:
        world.creatives()
    assert "did you mean 'push'" in str(refused.value)
    assert "did you mean 'neutral'" in str(refused.value)


@pytest.mark.parametrize("address", ["du", "sie"])
def test_the_default_workspace_speaks_well_in_both_languages(tmp_path, address):
    world = World(tmp_path, defaults=True)
    world.edit("kundig.toml", "[brand]", f'[brand]\naddress = "{address}"')
    rows = world.creatives().to_pylist()
    assert {row["status"] for row in rows} == {"approved"}
    assert {row["creative"] for row in rows} == {"win_back", "welcome", "cross_sell"}
    for row in rows:
        read = told(row, PERSON)
        if row["locale"] == "en":
            assert not re.search(r"\b(und|dich|dein\w*|der|die|das|für)\b", read.replace("Söhne", ""), re.IGNORECASE), row["creative_id"]
        elif address == "sie":
            assert not re.search(r"\b(du|dich|dir|dein\w*)\b", read, re.IGNORECASE), row["creative_id"]
        else:
            assert not re.search(r"\b(Sie|Ihnen|Ihr\w*)\b", read), row["creative_id"]
    english = {row["segment_id"]: row["text_body"] for row in rows if (row["creative"], row["channel"], row["locale"]) == ("win_back", "email", "en")}
    assert "We have missed you" in english["at_risk_top"]
