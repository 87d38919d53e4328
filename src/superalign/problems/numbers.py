"""The one reader of numbers in answers: exact, and the same for every grader. Its table of cases: docs/answers.md.

A text is read as a number only where nobody could take it for another one; what is not read is compared as words.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

DIGITS = 400  # of one number, and the largest exponent: more could fill the memory
THIN = "\u202f"  # stands for every blank that does not break

# Thousands: three digits behind every comma or thin blank, or no comma at all.
_WHOLE = rf"(?:[1-9]\d{{0,2}}(?:,\d{{3}})+(?!\d)|[1-9]\d{{0,2}}(?:{THIN}\d{{3}})+(?!\d)|\d+)"
_DECIMAL = rf"(?:{_WHOLE}(?:\.\d*)?|\.\d+)"
RUNNING = (
    r"(?:[1-9]\d{0,2}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"  # the same within a sentence, whose stops are not its own
)
_CODES = "USD|EUR|GBP|JPY|CHF|CAD|AUD|INR|CNY"
_SIGNS = "$€£¥₹₩₽₺₫₪"
_NUMBER = re.compile(
    rf"""=?[ ]* (?P<sign>[-+]?) (?: (?:(?:US|[ACS])?(?P<money>[{_SIGNS}])|(?P<code>{_CODES})\b)[ ]*(?P<inner>[-+]?) )?
    (?: (?P<whole>\d+) [ {THIN}]+ (?P<a>\d+) \s*/\s* (?P<b>\d+)
      | (?P<over>\d+) \s*/\s* (?P<under>\d+)
      | 10\^(?P<power>[-+]?\d+)
      | (?P<decimal>{_DECIMAL}) (?: [eE](?P<e>[-+]?\d+) | \s*[×xX*·]\s*10\s*\^\s*(?P<ten>[-+]?\d+) )?
    )""",
    re.VERBOSE,
)
_PERCENT = re.compile(r"\s*(?:%|per\s?cent\b|percentage points?\b)", re.IGNORECASE)
_SCALE = re.compile(r"\s*\b(hundred|thousand|million|billion|trillion)s?\b", re.IGNORECASE)
_SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_REASON = re.compile(r"[\s,;:.(–—-]*(?:because|since|as|for|so that)\b", re.IGNORECASE)
_ASIDE = re.compile(r"[,;:.–—]+\s+|\s+(?:[–—]\s*|-\s+|\(\s*)")  # what follows stands on its own: ", so he said"
# Words behind a number that make another number of it, or take it back.
_CHANGED = re.compile(
    r"\b(?:or|not|no|isn't|wrong|incorrect|if|unless|except|than|plus|minus|times|over|squared|cubed|factorial|pi|sqrt|root|modulo|mod"
    r"|half|halves|(?:third|quarter|fourth|fifth|sixth|seventh|eighth|ninth|tenth|hundredth|thousandth)s?|dozens?|score|percent"
    r"|hundreds?|thousands?|[mbtr]{1,2}illions?|zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen"
    r"|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)\b|[=<>+*/^×÷√≈~±|\\\[\]{}π∞]",
    re.IGNORECASE,
)
_UNITS = (
    "km kilometer|m meter|cm centimeter|mm millimeter|mi mile|ft foot feet|in inch inches|yd yard|kg kilogram kilo|g gram|"
    "mg milligram|lb lbs pound|oz ounce|l liter|ml milliliter|h hr hrs hour|min mins minute|s sec secs second|"
    "° deg degree|¢ cent|w watt|kw kilowatt|v volt|j joule|n newton|pa pascal|hz hertz|mph|°c celsius|°f fahrenheit|kb|mb|gb"
)
_NAMES = {word: names.split()[0] for names in _UNITS.split("|") for word in names.split()}
_KNOWN = frozenset(_NAMES.values())
_MONEY = {
    "usd": "$",
    "dollar": "$",
    "dollars": "$",
    "eur": "€",
    "euro": "€",
    "euros": "€",
    "gbp": "£",
    "jpy": "¥",
    "yen": "¥",
    "inr": "₹",
}
# May follow a digit without a blank; "m" may not follow money, and capital M, k, b and x are no units.
_ATTACHED = (
    r"(?:km|m|cm|mm|mi|ft|yd|kg|g|mg|lbs?|oz|[lL]|m[lL]|h|hrs?|mins?|s|secs?|°[CF]?|deg|¢|k?W|V|J|Hz|mph|[KMG]B|px"
    rf"|[{_SIGNS}]|(?:{_CODES}))(?![A-Za-z])"
)
_POWER = re.compile(r"(?<=[A-Za-z])\^?[23](?![\w^])")  # m^2, m3
_UNIT_WORD = re.compile(r"[^\W\d_][\w'-]*|[°¢" + _SIGNS + r"][CF]?")
_NO_UNITS = frozenset(
    "of the a an in is are was were and per which that it he she they we i to at on by with from".split()
)
_LETTERS = frozenset("mglhswvja")  # the rest are variables: "3 x"


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number as it stands in an answer: its exact value, and what was written beside it."""

    value: Fraction  # of a percentage, its hundredth part
    percent: bool = False
    money: str = ""  # the currency's sign
    units: frozenset[str] = frozenset()  # words of the unit, each under one name
    bare: bool = True  # nothing but a currency or percent sign stands beside it


@lru_cache(maxsize=100_000)
def read(text: str) -> Number | None:
    """Read the number that an answer begins with; None where it is none, or could be another.

    Args:
        text: The answer alone, with a unit or more text after the number where there is any.

    Returns:
        The number, exactly.

    Example:
        >>> [str(read(t).value) for t in (".75", "1,200", "-$5", "50%", "1 1/2", "1e-5", "12 km", "42 because 6*7 is 42")]
        ['3/4', '1200', '-5', '1/2', '3/2', '1/100000', '12', '42']
        >>> [read(t) for t in ("1,2", "12,00", "5 or 6", "3x", "5²", "1/0", "about 5", "(5)", "NaN")]
        [None, None, None, None, None, None, None, None, None]
    """
    text = _tidied(text)
    match = _NUMBER.match(text)
    value = _value(match) if match is not None else None
    if match is None or value is None:
        return None
    rest = text[match.end() :]
    percent = _PERCENT.match(rest)
    if percent is not None:
        value, rest = value / 100, rest[percent.end() :]
    while (scale := _SCALE.match(rest)) is not None:
        value, rest = value * _SCALES[scale[1].lower()], rest[scale.end() :]
    code = (match["code"] or "").lower()
    money = match["money"] or _MONEY.get(code, code)
    if not rest.strip(" ,;:.") and ".." not in rest:
        return Number(value=value, percent=percent is not None, money=money)
    units = frozenset() if _REASON.match(rest) else _units(rest, money=bool(money))
    if units is None:
        return None
    named = sorted({_MONEY.get(u, u) for u in units if u in _MONEY or u in _SIGNS})
    return Number(
        value=value,
        percent=percent is not None,
        money=money or (named[0] if named else ""),
        units=frozenset(u for u in units if u not in _MONEY and u not in _SIGNS),
        bare=units <= set(_SIGNS) | set(_CODES.lower().split("|")) and bool(units),
    )


def read_number(text: str) -> Fraction | None:
    """Read a text that is a number and nothing else, but for a currency or percent sign.

    Example:
        >>> read_number("$1,200.50"), read_number("3/4"), read_number("12 km"), read_number("1,2")
        (Fraction(2401, 2), Fraction(3, 4), None, None)
    """
    number = read(text)
    return number.value if number is not None and number.bare else None


def plain(text: str) -> str:
    """Reduce a text to what counts in a comparison: a number to its value, words to their letters.

    Example:
        >>> plain(" $1,200.0 "), plain("The  Owl."), plain("1/2") == plain("0.5"), plain(".") == plain("...")
        ('1200', 'the owl', True, False)
    """
    value = read_number(text)
    return str(value) if value is not None else words(text)


def words(text: str) -> str:
    """Reduce a text to its words, whatever their case, blanks, mark-up and last full stop."""
    kept = " ".join(_unwrapped(text).casefold().split())
    short = re.sub(r"(?<=[^\d.\s])\s*\.+$|(?<=\d)\.$", "", kept)  # "0.333..." goes on
    return words(short) if short != text else text


def same(right: str, said: str, *, question: str = "") -> bool:
    """Say whether two answers are the same.

    Numbers are compared by value; units count where both have some. A number without a percent sign is taken for a
    percentage if the other has the sign and the question asks for one.

    Args:
        right: The answer that is right.
        said: The one to judge.
        question: What was asked.

    Example:
        >>> same("0.75", ".75"), same("75", ".75"), same("12", "12 km"), same("12 m", "12 km"), same("the owl", "The owl.")
        (True, False, True, False, True)
        >>> same("0.5", "50%"), same("50", "50%"), same("50", "50%", question="What percentage is left?")
        (True, False, True)
    """
    one, other = read(right), read(said)
    if one is None or other is None:
        return words(right) == words(said)
    if one.money and other.money and one.money != other.money:
        return False
    if one.units and other.units and (one.units & _KNOWN != other.units & _KNOWN or not one.units & other.units):
        return False
    if one.value == other.value:
        return True
    asked = one.percent != other.percent and re.search(r"%|per\s?cent", question, re.IGNORECASE) is not None
    return asked and one.value * (100 if one.percent else 1) == other.value * (100 if other.percent else 1)


def _value(match: re.Match[str]) -> Fraction | None:
    """The exact value of a match; None for two signs, a division by zero, or more digits than are read."""
    if (match["sign"] and match["inner"]) or match.end() - match.start() > DIGITS:
        return None
    exponent = int(match["e"] or match["ten"] or match["power"] or 0)
    if abs(exponent) > DIGITS:
        return None
    if match["under"] or match["b"]:
        below = int(match["under"] or match["b"])
        if not below:
            return None
        size = int(match["whole"] or 0) + Fraction(int(match["over"] or match["a"]), below)
    else:
        written = (match["decimal"] or "1").replace(",", "").replace(THIN, "").rstrip(".")
        size = Fraction(written) * Fraction(10) ** exponent
    return -size if "-" in (match["sign"], match["inner"]) else size


def _units(rest: str, *, money: bool) -> frozenset[str] | None:
    """The unit's words in what follows a number; None where what follows makes another number of it."""
    aside = _ASIDE.match(rest)
    if aside is None and not rest[0].isspace():
        follows = r"/[^\W\d_]{2}" if money else rf"{_ATTACHED}|-[^\W\d_]{{3}}|/[^\W\d_]"
        if re.match(follows, rest) is None:
            return None
    unit = re.sub(r"(?<![\d/])/(?=[^\W\d_])", " per ", _POWER.sub("", rest[aside.end() if aside else 0 :]))
    if any(c.isnumeric() for c in unit) or _CHANGED.search(unit):
        return None
    units = [w.casefold() for w in _UNIT_WORD.findall(unit)]
    if not units or (len(units[0]) == 1 and units[0].isalpha() and (units[0] not in _LETTERS or units == ["a"])):
        return None
    return frozenset() if aside else frozenset(_name(w) for w in units[:3] if w not in _NO_UNITS)


def _name(word: str) -> str:
    """One name for the spellings of a unit: kilometres, kilometer, km."""
    for tried in (
        word,
        word.removesuffix("s"),
        word.removesuffix("s").replace("metre", "meter").replace("litre", "liter"),
    ):
        if tried in _NAMES:
            return _NAMES[tried]
    return word.removesuffix("s") if len(word) > 3 else word


def _unwrapped(text: str) -> str:
    """Take off mark-up that changes nothing: a LaTeX box, dollar signs around a formula, bold, code."""
    before = None
    while text != before:
        before, text = text, text.strip()
        at = text.rfind("\\boxed{")
        if at >= 0 and (inside := _braced(text, at + len("\\boxed"))) is not None:
            text = inside
        for left, right in (
            ("**", "**"),
            ("__", "__"),
            ("`", "`"),
            ("$$", "$$"),
            ("$", "$"),
            ("\\(", "\\)"),
            ("\\[", "\\]"),
        ):
            for stop in ("", "."):
                inner = text[len(left) : len(text) - len(right) - len(stop)]
                if text.startswith(left) and text.endswith(right + stop) and inner.strip() and left not in inner:
                    text = inner
                    break
    return text


def _braced(text: str, at: int) -> str | None:
    """What stands in the braces that open at a place; None if they are not closed."""
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] == "{") - (text[i] == "}")
        if not depth:
            return text[at + 1 : i]
    return None


_FULL_WIDTH = {0xFF01 + i: 0x21 + i for i in range(0x5E)}
_BLANKS = (0xA0, 0x2007, 0x2008, 0x2009, 0x200A, 0x202F)
_LOOKS = {0x2212: "-", 0xFE63: "-", 0x2044: "/", 0x066B: ".", 0x066C: ",", **dict.fromkeys(_BLANKS, THIN)}
_LATEX = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (r"(?<=\d)\s*\\[dt]?frac\{(\d+)\}\{(\d+)\}", r" \1/\2"),
        (r"\\[dt]?frac\{(\d+)\}\{(\d+)\}", r"\1/\2"),
        (r"\\[dt]?frac(\d)(\d)(?!\d)", r"\1/\2"),
        (r"\\(?:text|mathrm|mathbf|textbf)\{([^{}]*)\}", r" \1"),
        (r"\{,\}", ","),
        (r"\\[,;:! ]|\\thinspace\b|(?<=\d)~(?=\d)", THIN),
        (r"\\(?:times|cdot)\b", "×"),
        (r"\^\s*\\circ\b|\^\{\\circ\}", "°"),
        (r"\^\{([-+]?\d+)\}", r"^\1"),
        (r"\\([$%#_*])", r"\1"),
    )
)
_BOLD = re.compile(r"(?<![\w*])\*\*(\S(?:[^*]*\S)?)\*\*(?![\w*])")


def _tidied(text: str) -> str:
    """Write a text's digits, signs and blanks in one way; nothing that changes a number's value is touched."""
    text = _BOLD.sub(r"\1", _unwrapped(text))
    if not text.isascii():
        text = re.sub(r"^[–‒](?=[\d.$€£¥])|^−\s*", "-", text)
        text = text.translate(_FULL_WIDTH).translate(_LOOKS)
        text = "".join(_ascii_digit(c, text[i - 1] if i else "") for i, c in enumerate(text))
    if "\\" in text or "{" in text or "~" in text:
        for pattern, by in _LATEX:
            text = pattern.sub(by, text)
    # Between digits such a blank may group them; elsewhere it is a blank.
    return re.sub(rf"(?<!\d){THIN}|{THIN}(?!\d)", " ", text).strip()


def _ascii_digit(char: str, before: str) -> str:
    """A digit of any script as ASCII, a vulgar fraction as one, a superscript as a power."""
    if char.isascii():
        return char
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    written = unicodedata.normalize("NFKC", char)
    if char.isnumeric() and "\u2044" in written:
        return (" " if before.isdecimal() else "") + written.replace("\u2044", "/")
    if char.isdigit() and unicodedata.decomposition(char).startswith("<super>"):
        return ("" if before and unicodedata.decomposition(before).startswith("<super>") else "^") + written
    if char == "⁻":
        return "^-"
    return char
