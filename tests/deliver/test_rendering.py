"""The fast second stage and the written mails, against plain Liquid and the standard library's parser."""

from __future__ import annotations

import csv
import datetime as dt
import email as standard
import email.policy
import io
import json
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kundig.create import templates
from kundig.deliver import personal as second
from kundig.deliver.branches import plain_fill
from kundig.deliver.channels.email import Sender, deliverable, email, header
from kundig.deliver.channels.files import COLUMNS, FilesChannel, Rendered, csv_of
from kundig.deliver.channels.packing import END, compressed, pack, verbatim
from kundig.deliver.channels.push import push
from kundig.deliver.personal import personal
from kundig.errors import Conflict, StoreError, TemplateError

AT = dt.datetime(2026, 11, 1, 9, tzinfo=dt.UTC)
SENDER = Sender(name="Nordlicht Größe", address="shop@example.org")
HTML = (
    '<p>{% if person.first_name != "" %}Hallo {{ person.first_name | upcase }}{% else %}Hallo{% endif %},</p>\n'
    "{% unless person.company == '' %}<i>{{ person.company }}</i>{% endunless %} {{ \"{\" }}{ 7 }} = ä"
    '{% case person.offer_code %}{% when "A" %}a{% else %}{{ person.offer_code | truncate: 5 }}{% endcase %}'
    '<a href="{{ message.unsubscribe_url }}">x</a>   \n. ende'
)
TEXT = "Hallo {{ person.first_name }} {{ person.last_name }}\n\n{{ message.unsubscribe_url }}\n-- \nGruß"
NASTY = st.one_of(st.text(max_size=30), st.sampled_from(["", "{{ message.id }}", "{% if %}", "<script>x</script>", "a\r\nBcc: eve@example.org", "=1+1", "k0x", ".", "A", "ß" * 90]))
PERSONS = st.fixed_dictionaries(dict.fromkeys(second.PERSON_FIELDS, NASTY))


def values(person, message_id="0" * 32):
    return {"person": person, "message": {"id": message_id, "unsubscribe_url": f"https://www.example.org/u/{message_id}", "address": "kim@example.org"}}


def test_both_rooms_agree_on_what_a_template_may_ask():
    assert second.PERSON_FIELDS == templates.PERSON_FIELDS
    assert second.MESSAGE_FIELDS == templates.MESSAGE_FIELDS


@given(person=PERSONS)
@settings(max_examples=150, deadline=None)
@pytest.mark.parametrize("html", [True, False])
def test_the_fast_way_equals_plain_liquid(person, html):
    made = personal(HTML, html=html, at="test")
    for _ in range(2):  # the second time from memory
        assert ends(made(values(person))) == ends(templates.fill(HTML, person=person, message=values(person)["message"], html=html))


BRANCHES = [
    "{% if person.first_name != '' %}Hallo {{ person.first_name }},{% else %}Hallo,{% endif %}",
    "{% if person.first_name != '' and person.last_name != \"\" %}a {{ person.last_name }}{% elsif person.company == '' %}b{% else %}c{% endif %}",
    "{% if person.first_name == '' %}{% if person.company != '' %}x{{ person.company }}{% endif %}y{% endif %}z",
    "a{% if person.first_name != '' %} {% endif %}b", "a{% if person.first_name != '' %}\n{% else %}x{% endif %}b", "a{% if person.first_name != '' %}{% endif %}b",
    "{% if person.first_name %}known{% else %}empty{% endif %}", "{% if person.first_name == person.last_name %}same{% endif %}", "{% if person.first_name != '' or person.last_name != '' %}one{% endif %}",
    "{% if person.first_name != ' ' %}not blank{% endif %}", "{% if person.first_name == 'A' %}A{% elsif person.first_name != '' %}{{ person.first_name }}{% endif %}", "{% if person.company != '' %}{{ person.company | upcase }}{% endif %}",
]  # fmt: skip


@pytest.mark.parametrize("html", [True, False])
@pytest.mark.parametrize("template", BRANCHES)
@given(person=PERSONS)
@settings(max_examples=40, deadline=None)
def test_branches_read_as_liquid_reads_them(template, html, person):
    made = personal(template, html=html, at="test")
    assert ends(made(values(person))) == ends(templates.fill(template, person=person, message=values(person)["message"], html=html))


def test_the_usual_greetings_need_no_liquid():
    assert sum(plain_fill(template, html=True) is not None for template in BRANCHES) == 3


@given(name=st.text(max_size=90), subject=st.text(min_size=1, max_size=200))
@settings(max_examples=200, deadline=None)
def test_headers_of_any_length_are_read_back(name, subject):
    sender = Sender(name=name, address="shop@example.org")
    if any(ord(sign) < 32 or ord(sign) in (127, 0x85, 0x2028, 0x2029) for sign in name + subject):
        with pytest.raises(TemplateError):
            f"{sender.line}{header('Subject', subject)}"
        return
    written = f"{sender.line}\r\n{header('Subject', subject)}\r\n\r\n".encode("ascii")
    assert all(len(line) <= 78 for line in written.split(b"\r\n"))
    read = standard.message_from_bytes(written, policy=standard.policy.SMTP)
    assert read["From"].addresses[0].addr_spec == "shop@example.org"
    shown = read["From"].addresses[0].display_name  # the parser puts a space between encoded words where a line is folded
    assert "".join(shown.split()) == "".join(name.split())
    assert read["Subject"].split() == subject.split()


@given(person=PERSONS)
@settings(max_examples=150, deadline=None)
def test_a_mail_says_what_the_templates_say(person):
    mail = email(subject="Für {{ person.last_name | remove: '\n' | remove: '\r' }}", html=HTML, text=TEXT, sender=SENDER, boundary="0123456789abcdef", at="test")
    if any(ord(sign) < 32 or ord(sign) in (127, 0x85, 0x2028, 0x2029) for sign in person["last_name"].replace("\n", "").replace("\r", "")):
        with pytest.raises(TemplateError, match="control character"):
            mail(values(person), message_id="0" * 32, at=AT)
        return
    written = mail(values(person), message_id="0" * 32, at=AT).content
    assert all(len(line) <= 998 and b"\n" not in line and b"\r" not in line for line in written.split(b"\r\n"))
    read = standard.message_from_bytes(written, policy=standard.policy.SMTP)
    assert not [defect for part in read.walk() for defect in part.defects]
    assert read["Bcc"] is None
    assert read["To"] == "kim@example.org"
    assert read["From"] == "Nordlicht Größe <shop@example.org>"
    assert read["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert read["List-Unsubscribe"].strip() == f"<https://www.example.org/u/{'0' * 32}>"
    for kind, template, html in (("html", HTML, True), ("plain", TEXT, False)):
        expected = templates.fill(template, person=person, message=values(person)["message"], html=html)
        assert lines(read.get_body((kind,)).get_payload(decode=True).decode()) == lines(expected)


@given(persons=st.lists(PERSONS, min_size=2, max_size=5), html=st.sampled_from([HTML, *BRANCHES, "fixed"]), text=st.sampled_from([TEXT, "", "ä" * 200]))
@settings(max_examples=60, deadline=None)
def test_what_is_remembered_or_compressed_before_changes_no_byte(persons, html, text):
    def made():
        return email(subject="Für dich", html=html, text=text, sender=SENDER, boundary="0123456789abcdef", at="test")

    shared = made()
    for number, person in enumerate([*persons, *persons]):
        mail = shared(values(person, f"{number:032x}"), message_id=f"{number:032x}", at=AT)
        assert mail == made()(values(person, f"{number:032x}"), message_id=f"{number:032x}", at=AT)
        assert zlib.decompress(mail.deflated, -15) == mail.content
        assert lines(standard.message_from_bytes(mail.content, policy=standard.policy.SMTP).get_body(("html",)).get_payload(decode=True).decode()) == lines(
            templates.fill(html, person=person, message=values(person, f"{number:032x}")["message"], html=True)
        )


@given(parts=st.lists(st.tuples(st.booleans(), st.binary(max_size=300) | st.sampled_from([b"", b"x" * 70_000])), max_size=6))
@settings(max_examples=60, deadline=None)
def test_pieces_join_to_one_stream(parts):
    stream = b"".join(compressed(data) if fixed else verbatim(data) for fixed, data in parts) + END
    assert zlib.decompress(stream, -15) == b"".join(data for _, data in parts)


def test_a_packed_file_is_read_by_others(tmp_path):
    entries = [("a.eml", b"", b""), ("b.eml", b"x" * 100_000, b""), ("c.eml", b"Kim", verbatim(b"Kim") + END)]
    pack(tmp_path / "m.zip", entries)
    with zipfile.ZipFile(tmp_path / "m.zip") as packed:
        assert packed.testzip() is None
        assert [(name, packed.read(name)) for name in packed.namelist()] == [(name, content) for name, content, _ in entries]
    assert (tmp_path / "m.zip").stat().st_size < 2_000
    with pytest.raises(StoreError, match="at most 65,535"):
        pack(tmp_path / "n.zip", ((f"{number}", b"", END) for number in range(65_536)))


def ends(text):
    """The text with one kind of line end: Liquid itself turns a lone carriage return in a block into a line feed."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines(text):
    return ends(text).rstrip("\n")


@pytest.mark.parametrize("address", ["kim@example.org, eve@example.org", "kim@example.org\r\nBcc: x@y.de", "Kim <kim@example.org>", "", "kim", "kim@ex ample.org"])
def test_an_address_that_is_more_than_one_address_is_refused(address):
    assert not deliverable(address)
    mail = email(subject="x", html="x", text="x", sender=SENDER, boundary="b", at="test")
    with pytest.raises(TemplateError, match="address"):
        mail({"person": {}, "message": {"address": address, "unsubscribe_url": "https://x"}}, message_id="1", at=AT)


def test_a_subject_cannot_add_headers():
    mail = email(subject="{{ person.first_name }}", html="x", text="x", sender=SENDER, boundary="b", at="test")
    with pytest.raises(TemplateError, match="control character"):
        mail(values(dict.fromkeys(second.PERSON_FIELDS, "a\nBcc: eve@example.org")), message_id="1", at=AT)


@pytest.mark.parametrize("template, told", [
    ("{{ person.password }}", "nobody fills"), ("{{ person.first_name", "expected"), ("{% if person.first_name %}x", "not closed"),
    ("{% for x in person.first_name %}{% endfor %}", "not one of"), ("{{- person.first_name }}", "dash"),
])  # fmt: skip
def test_templates_that_cannot_be_filled_are_refused_at_once(template, told):
    with pytest.raises(TemplateError) as refused:
        assert personal(template, html=False, at="test")(values(dict.fromkeys(second.PERSON_FIELDS, ""))) == ""
    assert told in str(refused.value)


def test_a_push_is_json_within_the_limit():
    made = push(title="Hi {{ person.first_name }}", text="{{ person.last_name }}", link="home", at="test")
    person = dict.fromkeys(second.PERSON_FIELDS, 'Kim "ß"')
    assert json.loads(made(values(person), message_id="m1")) == {"message_id": "m1", "to": "kim@example.org", "title": 'Hi Kim "ß"', "body": 'Kim "ß"', "link": "home"}
    with pytest.raises(TemplateError, match="4,096"):
        made(values(person | {"last_name": "x" * 4_100}), message_id="m1")


def rendered(message_id, **changes):
    fields = dict.fromkeys([name for name in COLUMNS if name not in ("message_id", "file")], "")
    return Rendered(message_id=message_id, file=f"{message_id}.eml", content=b"mail", **(fields | changes))


def test_no_cell_of_the_list_is_a_formula(tmp_path):
    nasty = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", 'a"b', "a,b", "a\nb", "ä"]
    written = csv_of([rendered(f"m{n}", subject=cell) for n, cell in enumerate(nasty)])
    assert written.count(b"\r\n") >= len(nasty) + 1
    read = [row["subject"] for row in csv.DictReader(io.StringIO(written.decode(), newline=""))]
    assert read == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "'\rx", 'a"b', "a,b", "a\nb", "ä"]


def test_a_part_is_there_once_and_whole(tmp_path):
    channel = FilesChannel(folder=tmp_path, durable=False)
    channel.hand_over(7, "p1", [rendered("a"), rendered("b")])
    assert channel.handed_over(7, "p1") == {"a", "b"}
    with pytest.raises(Conflict):
        channel.hand_over(7, "p1", [rendered("a"), rendered("c")])
    assert channel.handed_over(7, "p1") == {"a", "b"}
    assert sorted(path.name for path in (tmp_path / "7" / "p1").iterdir()) == ["a.eml", "b.eml", "messages.csv"]
    channel.hand_over(7, "p2", [rendered("c")])
    listed = (channel.finish(7) / "messages.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in listed] == ["message_id", "a", "b", "c"]
    assert listed[1].endswith("p1/a.eml")


def test_a_large_part_is_packed_and_some_stand_beside_it(tmp_path):
    channel = FilesChannel(folder=tmp_path, durable=False, loose=3, samples=2)
    messages = [rendered(f"m{number}") for number in range(5)]
    channel.hand_over(7, "p1", messages)
    part = tmp_path / "7" / "p1"
    assert sorted(path.name for path in part.iterdir()) == ["m0.eml", "m1.eml", "messages.csv", "messages.zip"]
    with zipfile.ZipFile(part / "messages.zip") as packed:
        assert {name: packed.read(name) for name in packed.namelist()} == {message.file: message.content for message in messages}
    assert channel.handed_over(7, "p1") == {message.message_id for message in messages}
    assert "messages.zip/m4.eml" in (part / "messages.csv").read_text(encoding="utf-8")


def test_a_slow_claimant_finds_its_part_taken_back(tmp_path):
    channel = FilesChannel(folder=tmp_path, durable=False)
    assert channel.withdraw(7, "p1") == frozenset()
    with pytest.raises(Conflict):
        channel.hand_over(7, "p1", [rendered("a")])
    assert channel.handed_over(7, "p1") == frozenset()
    channel.hand_over(7, "p2", [rendered("a")])
    assert channel.withdraw(7, "p2") == {"a"}


def test_file_names_stay_in_their_folder(tmp_path):
    with pytest.raises(StoreError, match="file's name"):
        FilesChannel(folder=tmp_path).hand_over(7, "../p", [])
