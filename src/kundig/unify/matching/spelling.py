"""Spellings: the form in which names, addresses, phones and dates of records are compared, one for all the ways of writing them."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

LONGEST = 200
"""Characters of a text that are looked at; what comes after says nothing more of who somebody is."""

_TITLES = frozenset(["prof", "professor", "dr", "drs", "med", "phil", "jur", "rer", "nat", "dipl", "ing", "mag", "msc", "bsc", "phd", "mba", "herr", "frau", "hr", "fr", "mr", "mrs", "ms", "mister", "sir", "dame", "lord", "lady", "jun", "jr", "sen", "sr"])
_LETTERS = {
    "ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "oe", "å": "aa", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "ħ": "h",
    "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "е": "e", "ё": "e", "ж": "zh", "з": "z", "и": "i", "й": "j", "к": "k", "л": "l", "м": "m", "н": "n",
    "о": "o", "п": "p", "р": "r", "с": "s", "т": "t", "у": "u", "ф": "f", "х": "h", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "", "ы": "y", "ь": "",
    "э": "e", "ю": "yu", "я": "ya", "і": "i", "ї": "i", "є": "e", "ґ": "g",
    "α": "a", "β": "v", "γ": "g", "δ": "d", "ε": "e", "ζ": "z", "η": "i", "θ": "th", "ι": "i", "κ": "k", "λ": "l", "μ": "m", "ν": "n", "ξ": "x", "ο": "o",
    "π": "p", "ρ": "r", "σ": "s", "ς": "s", "τ": "t", "υ": "y", "φ": "f", "χ": "ch", "ψ": "ps", "ω": "o",
}  # fmt: skip
_SPELT = str.maketrans(_LETTERS)
_GARBLED = tuple((letter.encode().decode("cp1252"), letter) for letter in "äöüßÄÖÜéèáóíçş" if all(byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D) for byte in letter.encode()))
_WORD = re.compile(r"[^\W_]+")
_STREET = re.compile(r"(?:strasse|strase|str)\b")
_NUMBER = re.compile(r"\d+")


def _plain(text: str) -> str:
    """Lower case, letters of Latin alone where they can be, no marks."""
    if text.isascii():
        return text[:LONGEST].lower()
    text = text[:LONGEST]
    if "Ã" in text or "Å" in text:  # UTF-8 that was read as cp1252
        for wrong, right in _GARBLED:
            text = text.replace(wrong, right)
    text = unicodedata.normalize("NFC", text).lower().translate(_SPELT)
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter)).translate(_SPELT)


def _short(text: str) -> str:
    """Spelt-out umlauts and ss as systems write them that drop the marks: ae, oe, ue and ss are one letter."""
    return text.replace("ae", "a").replace("oe", "o").replace("ue", "u").replace("ss", "s")


def name(text: str) -> str:
    """A name as its words, without titles, marks and signs; "" where nothing is left.

    Examples:
        >>> name("Dr. Jörg-Peter MÜLLER"), name("Mueller"), name("muller"), name("  "), name("Тимур")
        ('jorg peter muller', 'muller', 'muller', '', 'timur')
        >>> name("GrÃ¶ÃŸer"), name("Größer")
        ('groser', 'groser')
    """
    words = _WORD.findall(_short(_plain(text)))
    kept = [word for word in words if word not in _TITLES and not word.isdigit()]
    return " ".join(kept or words)


def words(text: str) -> str:
    """Any text as its words: as `name`, with titles and digits left in.

    Examples:
        >>> words("Bad-Homburg v.d.H."), words("Göttingen 2")
        ('bad homburg v d h', 'gottingen 2')
    """
    return " ".join(_WORD.findall(_short(_plain(text))))


def street(text: str) -> str:
    """A street without blanks and signs, its Straße cut to str; a number at its end stays.

    Examples:
        >>> street("Große Straße"), street("Hauptstr."), street("Haupt-Strasse 12"), street("Am Markt")
        ('grosestr', 'hauptstr', 'hauptstr12', 'ammarkt')
    """
    plain = _plain(text).replace("strasse", "str").replace("straße", "str")
    return "".join(_WORD.findall(_short(_STREET.sub("str", plain))))


@cache
def house_number(text: str) -> str:
    """A house number with its suffix, in one spelling.

    Examples:
        >>> house_number("12 A"), house_number("12a"), house_number("012-14"), house_number("Nr. 7")
        ('12a', '12a', '12-14', '7')
    """
    found = re.search(r"(\d{1,5})\s*(?:[-/]\s*(\d{1,5}))?\s*([a-z]?)\b", _plain(text))
    if not found:
        return "".join(_WORD.findall(_plain(text)))
    until = f"-{int(found[2])}" if found[2] else ""
    return f"{int(found[1])}{until}{found[3]}"


def split_address(text: str) -> tuple[str, str]:
    """A street and the house number at its end, where one stands there.

    Examples:
        >>> split_address("Hauptstr. 12 a"), split_address("Straße des 17. Juni"), split_address("C 4, 7")
        (('Hauptstr.', '12 a'), ('Straße des 17. Juni', ''), ('C 4,', '7'))
    """
    found = re.fullmatch(r"(.*?\D)\s*(\d{1,5}\s*(?:[-/]\s*\d{1,5})?\s*[A-Za-z]?)\s*", text)
    return (found[1].strip(), found[2].strip()) if found and found[1].strip() else (text, "")


def postcode(text: str) -> str:
    """A postcode without blanks, signs and the country before it.

    Examples:
        >>> postcode("D-10115"), postcode("ab12 3cd"), postcode("1067")
        ('10115', 'ab123cd', '1067')
    """
    plain = "".join(_WORD.findall(_plain(text)))
    return re.sub(r"^(?:d|de|a|at|ch)(?=\d{4,5}$)", "", plain)


def phone(text: str) -> str:
    """A phone's digits without the trunk zero and the country's code, the last eleven of them.

    Examples:
        >>> phone("+49 171 3920012"), phone("0171/3920012"), phone("0049 171 39200-12"), phone("-")
        ('1713920012', '1713920012', '1713920012', '')
    """
    digits = "".join(_NUMBER.findall(text[:LONGEST]))
    if text.lstrip().startswith("+") or digits.startswith("00"):
        digits = re.sub(r"^(?:00)?(?:49|43|41|1|44|33|39|31)0?", "", digits)
    return digits.lstrip("0")[-11:]


def email(text: str) -> tuple[str, str]:
    """An address in lower case, and the part of it that names the person: no tag, no dots.

    Examples:
        >>> email(" Anna.Weber+shop@Example.org"), email("nobody")
        (('anna.weber+shop@example.org', 'annaweber'), ('nobody', ''))
    """
    plain = text[:LONGEST].strip().lower()
    local, at, _ = plain.partition("@")
    return plain, "".join(_WORD.findall(local.partition("+")[0])) if at else ""


def date_number(text: str) -> int:
    """A date of birth as yyyymmdd; -1 where it is none: ISO, with dots, or digits alone.

    Examples:
        >>> date_number("1984-02-09"), date_number("9.2.1984"), date_number("19840209"), date_number("0000-00-00"), date_number("?")
        (19840209, 19840209, 19840209, -1, -1)
    """
    parts = _NUMBER.findall(text[:LONGEST])
    if len(parts) == 1 and len(parts[0]) == 8:
        parts = [parts[0][:4], parts[0][4:6], parts[0][6:]]
    if len(parts) < 3:
        return -1
    year, month, day = (parts[0], parts[1], parts[2]) if len(parts[0]) == 4 else (parts[2], parts[1], parts[0])
    number = int(year[:4]) * 10_000 + int(month[:2]) * 100 + int(day[:2])
    return number if number >= 1_000_101 and int(month[:2]) and int(day[:2]) else -1
