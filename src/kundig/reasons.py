"""The closed list of reason codes: why the gate, an audience, a KPI, an urgency, a next purchase or the quarantine said what it said, in German and English."""

from __future__ import annotations

import datetime as dt
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

from kundig.errors import ContractError, nearest

Group = Literal["allow", "refusal", "audience", "kpi", "urgency", "purchase", "quarantine", "identity"]
Locale = Literal["de", "en"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """One code and its sentence in both languages; what stands in braces is filled from the evidence."""

    code: str
    group: Group
    de: str
    en: str

    @property
    def fields(self) -> frozenset[str]:
        """Names of the values that its sentences need."""
        return frozenset(name for text in (self.de, self.en) for _, name, _, _ in string.Formatter().parse(text) if name)


_LISTED: Mapping[Group, str] = {
    "allow": """
consent_given | Die Person hat für „{purpose}“ über {channel} eingewilligt. | The person consented to “{purpose}” by {channel}.
existing_customer | Bestandskunde: Kauf in den letzten {days} Tagen, kein Widerspruch. | Existing customer: an order within {days} days, no objection.
contract | Ein Vertrag verlangt diese Nachricht. | A contract demands this message.
legitimate_interest | Berechtigtes Interesse, für „{scenario}“ freigegeben. | Legitimate interest, approved for “{scenario}”.
""",
    "refusal": """
erased | Diese Person wurde gelöscht. | This person was erased.
suppressed | Diese Person steht auf der Sperrliste. | This person is on the suppression list.
restricted | Die Verarbeitung der Daten dieser Person ist eingeschränkt; sie werden nur aufbewahrt. | The processing of this person's data is restricted: they are only kept.
objected | Die Person hat widersprochen; das gilt auf jedem Kanal. | The person objected; that holds on every channel.
purpose_undeclared | Für „{purpose}“ über {channel} ist keine Rechtsgrundlage festgelegt. | No legal basis is declared for “{purpose}” by {channel}.
consent_missing | Für „{purpose}“ über {channel} liegt keine Einwilligung vor. | There is no consent to “{purpose}” by {channel}.
consent_withdrawn | Die Person hat „{purpose}“ über {channel} widerrufen. | The person withdrew “{purpose}” by {channel}.
consent_pending | Die Einwilligung zu „{purpose}“ über {channel} ist noch nicht bestätigt. | The consent to “{purpose}” by {channel} is not confirmed yet.
consent_expired | Die Einwilligung zu „{purpose}“ über {channel} ist abgelaufen. | The consent to “{purpose}” by {channel} has expired.
customer_lapsed | Der letzte Kauf liegt mehr als {days} Tage zurück; als Bestandskunde gilt das nicht mehr. | The last order is more than {days} days ago: no longer an existing customer.
goods_not_similar | „{scenario}“ wirbt nicht für ähnliche eigene Waren; Bestandskunden ohne Einwilligung sind ausgenommen. | “{scenario}” does not advertise similar goods of our own; existing customers without consent are left out.
contract_missing | Es gibt keinen laufenden Vertrag, der diese Nachricht verlangt. | No contract is open that demands this message.
legitimate_interest_not_allowed | Für „{scenario}“ ist das berechtigte Interesse nicht freigegeben. | Legitimate interest is not approved for “{scenario}”.
scenario_not_approved | Das Szenario „{scenario}“ ist nicht freigegeben. | The scenario “{scenario}” is not approved.
channel_not_in_scenario | Das Szenario „{scenario}“ sieht {channel} nicht vor. | The scenario “{scenario}” does not use {channel}.
forbidden_attribute | Die Auswahl beruht auf einem verbotenen Merkmal: {attributes}. | The selection rests on a forbidden attribute: {attributes}.
creative_missing | Für dieses Segment und {channel} gibt es kein Werbemittel. | There is no creative for this segment and {channel}.
creative_not_approved | Das Werbemittel ist nicht freigegeben. | The creative is not approved.
creative_stale | Das Werbemittel ist veraltet: Eingaben haben sich geändert. | The creative is stale: what it was made from has changed.
cap_reached | Kontaktgrenze erreicht: höchstens {most} in {days} Tagen. | Contact cap reached: at most {most} in {days} days.
quiet_hours | Ruhezeit bei der Person, bis {until} Uhr ({zone}). | Quiet hours where the person lives, until {until} ({zone}).
offer_invalid | Das Angebot gilt jetzt nicht. | The offer is not valid now.
offer_out_of_stock | Das Angebot ist nicht auf Lager. | The offer is out of stock.
address_missing | Für {channel} ist keine Adresse bekannt. | No address is known for {channel}.
address_undeliverable | Die Adresse für {channel} ist nicht zustellbar. | The address for {channel} is not deliverable.
already_claimed | Diese Nachricht wurde schon übergeben. | This message was handed over already.
rendering_failed | Die Nachricht ließ sich nicht erzeugen. | The message could not be rendered.
""",
    "audience": """
selected | Ausgewählt: Platz {rank} nach Wert × Dringlichkeit. | Selected: rank {rank} by value × urgency.
rule_not_met | Die Regel der Zielgruppe trifft nicht zu. | The audience's rule does not hold.
not_in_segment | Die Person gehört zu keinem der Segmente. | The person is in none of the segments.
excluded | Die Ausschlussregel trifft zu. | The exclusion rule holds.
known_customer | Bereits Kunde; Akquise lässt bekannte Kunden aus. | Already a customer; acquisition leaves known customers out.
below_limit | Platz {rank}: hinter der Obergrenze von {most}. | Rank {rank}: behind the limit of {most}.
budget_spent | Das Budget „{budget}“ ist ausgeschöpft. | The budget “{budget}” is spent.
control_group | In der Kontrollgruppe von „{experiment}“: bewusst nicht angesprochen. | In the control group of “{experiment}”: left out on purpose.
other_channel | Angesprochen über {channel}, den besseren Kanal. | Addressed by {channel}, the better channel.
in_other_audience | Schon in der Zielgruppe „{audience}“. | Already in the audience “{audience}”.
""",
    "kpi": """
source_missing | Es fehlt die Quelle: {source}. | The source is missing: {source}.
no_rows | Im Zeitraum liegen keine Daten vor. | There are no data in the period.
no_denominator | Die Bezugsgröße ist null: {denominator}. | There is nothing to divide by: {denominator}.
too_few | Nur {count} Fälle; {needed} sind nötig. | Only {count} cases; {needed} are needed.
period_open | Der Zeitraum ist noch nicht abgeschlossen. | The period is not over yet.
horizon_too_short | Die Daten reichen {days} Tage zurück; {needed} sind nötig. | The data reach back {days} days; {needed} are needed.
model_not_usable | Das Modell „{model}“ besteht seine Prüfung nicht. | The model “{model}” fails its own check.
model_missing | Das Modell „{model}“ ist noch nicht geschätzt. | The model “{model}” is not fitted yet.
costs_missing | In costs.yaml fehlt: {cost}. | costs.yaml lacks: {cost}.
rate_missing | Kein Wechselkurs für {currency} am {day}. | No exchange rate for {currency} on {day}.
no_experiment | Kein Experiment misst das. | No experiment measures this.
no_subscriptions | Es gibt keine Abonnements. | There are no subscriptions.
not_switched_on | Nicht eingeschaltet. | Not switched on.
""",
    "urgency": """
value_at_risk | Hoher erwarteter Wert, und die Person bleibt länger weg als sonst. | High expected value, and silent for longer than usual.
overdue | Der nächste Kauf ist überfällig. | The next order is overdue.
slowing | Die Abstände zwischen Käufen werden länger. | The gaps between orders grow.
window_closing | Der günstige Zeitpunkt endet bald. | The good moment ends soon.
renewal_due | Eine Verlängerung steht bevor und ist nicht sicher. | A renewal is due soon and not certain.
contract_ends | Der Vertrag endet bald. | The contract ends soon.
new_customer | Der zweite Kauf entscheidet: die Person ist neu. | New: the second order decides.
basket_open | Ein Warenkorb steht offen. | A basket is open.
ticket_open | Ein Anliegen ist noch offen. | A case is still open.
on_schedule | Im gewohnten Rhythmus; nichts eilt. | In the usual rhythm; nothing is urgent.
probably_gone | Wahrscheinlich verloren; wenig zu retten. | Probably gone; little left to save.
no_purchases | Noch kein Kauf; kein Wert in Gefahr. | No order yet; no value at risk.
""",
    "purchase": """
rather_gone | Eher verloren als nicht: kein nächster Kauf zu erwarten. | Rather gone than not: no next order is to be expected.
beyond_horizon | Erst nach dem Horizont der Bewertung zu erwarten. | To be expected beyond the horizon of the valuation only.
never_bought | Noch kein Kauf; der Wert kommt aus Verträgen. | No order yet; the value comes from contracts.
""",
    "quarantine": """
column_missing | Die Spalte „{column}“ fehlt. | The column “{column}” is missing.
value_missing | Das Feld „{column}“ ist leer. | The field “{column}” is empty.
bad_date | „{column}“ ist kein Datum im Format {format}. | “{column}” is no date of the format {format}.
bad_number | „{column}“ ist keine Zahl. | “{column}” is no number.
bad_value | „{column}“ hat einen unbekannten Wert. | “{column}” has an unknown value.
bad_type | „{column}“ hat den falschen Typ; erwartet: {expected}. | “{column}” has the wrong type; expected: {expected}.
bad_json | Der Datensatz ist kein gültiges JSON. | The record is not valid JSON.
bad_encoding | Der Datensatz ist nicht in {encoding} kodiert. | The record is not encoded in {encoding}.
row_torn | Die Zeile ist unvollständig: {found} von {expected} Feldern. | The row is torn: {found} of {expected} fields.
record_too_large | Der Datensatz ist größer als {most} Bytes. | The record is larger than {most} bytes.
unknown_event | Das Ereignis „{event}“ steht nicht im Tracking-Plan. | The event “{event}” is not in the tracking plan.
unknown_property | Die Eigenschaft „{property}“ steht nicht im Tracking-Plan. | The property “{property}” is not in the tracking plan.
property_missing | Die Eigenschaft „{property}“ fehlt. | The property “{property}” is missing.
unknown_currency | Die Währung „{currency}“ ist unbekannt. | The currency “{currency}” is unknown.
identifier_missing | Kein Merkmal nennt die Person. | No identifier names the person.
identifier_blocked | Der Identifikator ist gesperrt, etwa eine Sammeladresse. | The identifier is blocked, such as a collective address.
in_future | Der Zeitpunkt liegt in der Zukunft. | The moment lies in the future.
too_old | Der Zeitpunkt liegt vor {earliest}. | The moment lies before {earliest}.
suppressed_identifier | Der Identifikator steht auf der Sperrliste. | The identifier is on the suppression list.
unknown_purpose | Der Zweck „{purpose}“ ist nicht festgelegt. | The purpose “{purpose}” is not declared.
until_before_start | Die Einwilligung endet vor ihrem Beginn. | The consent ends before it starts.
duplicate_conflict | Dieselbe Nummer kam mit anderem Inhalt. | The same id came with other content.
""",
    "identity": """
same_identifier | Beide tragen denselben Identifikator. | Both carry the same identifier.
probably_same | Wahrscheinlich dieselbe Person ({probability}). | Probably the same person ({probability}).
hub_limit | Zu viele Personen teilen diesen Identifikator. | Too many people share this identifier.
unique_conflict | Beide haben verschiedene Werte eines eindeutigen Merkmals. | Both have different values of a unique identifier.
contradicted | Merkmale widersprechen sich: {attribute}. | Attributes contradict each other: {attribute}.
blocked | Der Wert verbindet nie: er ist gesperrt. | The value never links: it is blocked.
shared_device | Geteiltes Gerät: seine anonymen Ereignisse gehören niemandem sicher. | Shared device: its anonymous events belong to nobody for sure.
""",
}


CHANNELS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "email": ("E-Mail", "e-mail"), "push": ("Push", "push"), "in_app": ("In-App-Nachricht", "in-app message"), "sms": ("SMS", "text message"), "direct_mail": ("Post", "post"),
        "ad_audience": ("Werbezielgruppe", "ad audience"), "web": ("Website", "website"), "*": ("jeden Kanal", "any channel"),
    }
)  # fmt: skip
"""Channel → what German and English readers call it."""


def channel(name: str, locale: str) -> str:
    """A channel as people call it; the name itself where it is none of ours.

    Examples:
        >>> channel("email", "de"), channel("direct_mail", "en"), channel("fax", "de")
        ('E-Mail', 'post', 'fax')
    """
    named = CHANNELS.get(name)
    return name if named is None else named[locale == "en"]


def _listed() -> Iterable[Reason]:
    for group, text in _LISTED.items():
        for line in text.strip().splitlines():
            code, de, en = (part.strip() for part in line.split(" | "))
            yield Reason(code=code, group=group, de=de, en=en)


ALL: Mapping[str, Reason] = MappingProxyType({reason.code: reason for reason in _listed()})


def codes(group: Group) -> tuple[str, ...]:
    """The codes of one group, in their listed order.

    Examples:
        >>> codes("allow")
        ('consent_given', 'existing_customer', 'contract', 'legitimate_interest')
    """
    return tuple(code for code, reason in ALL.items() if reason.group == group)


def known(code: str) -> str:
    """The code itself, once it is sure that it is on the list.

    Raises:
        ContractError: It is not; the mend names the nearest.
    """
    if code not in ALL:
        raise ContractError(f"there is no reason code '{code}'", at="reasons.py", mend=nearest(code, ALL))
    return code


def sentence(code: str, locale: str, **values: object) -> str:
    """The sentence of a reason, filled with its values; more values than it needs are welcome.

    Raises:
        ContractError: Unknown code or locale, or a value is missing.

    Examples:
        >>> sentence("cap_reached", "en", days=7, most=3)
        'Contact cap reached: at most 3 in 7 days.'
        >>> sentence("probably_same", "de", probability=0.973)
        'Wahrscheinlich dieselbe Person (0,973).'
    """
    reason = ALL[known(code)]
    if locale not in ("de", "en"):
        raise ContractError(f"there are no sentences in '{locale}'", at=f"reason '{code}'", mend=nearest(locale, ("de", "en")))
    absent = sorted(reason.fields - set(values))
    if absent:
        raise ContractError(f"the sentence of '{code}' needs {', '.join(absent)}", at="reasons.sentence", mend=f"given: {', '.join(sorted(values)) or 'nothing'}")
    template = reason.de if locale == "de" else reason.en
    return template.format_map({name: channel(str(values[name]), locale) if name == "channel" else _spoken(values[name], locale) for name in reason.fields})


def _spoken(value: object, locale: str) -> str:
    if isinstance(value, dt.datetime):
        return value.strftime("%d.%m.%Y %H:%M" if locale == "de" else "%Y-%m-%d %H:%M")
    if isinstance(value, dt.date):
        return value.strftime("%d.%m.%Y" if locale == "de" else "%Y-%m-%d")
    if isinstance(value, bool):
        return {"de": ("nein", "ja"), "en": ("no", "yes")}[locale][value]
    if isinstance(value, int):
        return f"{value:,}".replace(",", ".") if locale == "de" else f"{value:,}"
    if isinstance(value, float | Decimal):
        return f"{value:g}".replace(".", ",") if locale == "de" else f"{value:g}"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(_spoken(part, locale) for part in value)
    return str(value)
