"""A third reader of docs/ledger-format.md: canonical JSON written from that page alone, against the package and the tool."""

from __future__ import annotations

import importlib.util
import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from superalign.canonical import canonical_json, digest_of
from superalign.errors import BadInput
from superalign.ledger import Ledger, describe, verify
from superalign.ledger.chain import encode, fault_in_body

ROOT = Path(__file__).parents[2]
SHORT = {0x22: '"', 0x5C: "\\", 0x08: "b", 0x0C: "f", 0x0A: "n", 0x0D: "r", 0x09: "t"}


def joined(text: str) -> list[int]:
    """Code points, with a high and a low surrogate side by side as the one character that they are."""
    out: list[int] = []
    for point in map(ord, text):
        if out and 0xD800 <= out[-1] < 0xDC00 <= point < 0xE000:
            out[-1] = 0x10000 + (out[-1] - 0xD800) * 0x400 + point - 0xDC00
        else:
            out.append(point)
    return out


def string(text: str) -> str:
    out = ""
    for point in joined(text):
        if point in SHORT:
            out += "\\" + SHORT[point]
        elif 0x20 <= point <= 0x7E:
            out += chr(point)
        elif point <= 0xFFFF:
            out += "\\u" + "0123456789abcdef"[point >> 12] + f"{point & 0xFFF:03x}"
        else:
            high, low = divmod(point - 0x10000, 0x400)
            out += f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
    return f'"{out}"'


def reads_back(number: Fraction, value: float) -> bool:
    try:
        return float(number) == value
    except OverflowError:
        return False


def fewest_digits(value: float) -> tuple[str, int]:
    """The fewest digits that read back as the same double, nearest to it, and the power of ten of the first one."""
    exact = Fraction(value)
    power = math.floor(math.log10(value))
    while Fraction(10) ** (power + 1) <= exact:
        power += 1
    while Fraction(10) ** power > exact:
        power -= 1
    for count in range(1, 18):
        unit = Fraction(10) ** (power + 1 - count)
        below = exact // unit
        able = [d for d in (below, below + 1) if reads_back(d * unit, value)]
        if able:
            best = min(able, key=lambda d: (abs(d * unit - exact), d % 2))
            digits = str(best)
            return digits.rstrip("0") or "0", power + len(digits) - count
    raise AssertionError(value)


def number(value: float) -> str:
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    if value == 0:
        return sign + "0.0"
    digits, power = fewest_digits(abs(value))
    if -4 <= power <= 15:
        if power < 0:
            return f"{sign}0.{'0' * (-power - 1)}{digits}"
        whole = digits[: power + 1].ljust(power + 1, "0")
        return f"{sign}{whole}.{digits[power + 1 :] or '0'}"
    rest = f".{digits[1:]}" if digits[1:] else ""
    return f"{sign}{digits[0]}{rest}e{'-' if power < 0 else '+'}{abs(power):02d}"


def written(value: Any) -> str:
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return string(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    keys = sorted(value, key=joined)
    return "{" + ",".join(f"{string(k)}:{written(value[k])}" for k in keys) + "}"


def tool() -> Any:
    spec = importlib.util.spec_from_file_location("verify_ledger_here", ROOT / "tools" / "verify_ledger.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TOOL = tool()
# Half of a pair too, which `st.text` leaves out unless it is told.
CHARACTERS = st.characters(exclude_categories=())
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(CHARACTERS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(CHARACTERS), inner, max_size=4),
    max_leaves=12,
)


def test_every_character_is_written_as_the_page_says() -> None:
    points = [*range(0x10000), *range(0x10000, 0x110000, 97), 0x10FFFF]
    text = " ".join(map(chr, points))  # a space between them, so that no two surrogates meet
    found, expected = canonical_json(text)[1:-1].split(" "), string(text)[1:-1].split(" ")
    assert found == expected


def test_control_characters_one_by_one() -> None:
    said = {chr(p): json.loads(f'"{encode(chr(p))[1:-1]}"') for p in [*range(0x20), *range(0x7E, 0xA1), 0x2028, 0x2029]}
    assert all(back == character for character, back in said.items())
    assert [encode(c) for c in "\x7e\x7f\x80\x9f\u2028/"] == [
        '"~"', '"\\u007f"', '"\\u0080"', '"\\u009f"', '"\\u2028"', '"/"',
    ]  # fmt: skip


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1e16)
@example(9999999999999998.0)
@example(1e15)
@example(123456789012345680.0)
@example(-0.0)
@example(1e-7)
@example(0.0001)
@example(0.00001)
@example(5e-324)
@example(1.7976931348623157e308)
@example(2.0**-1074 * 3)
@example(1e22)
@example(1e23)
@example(0.1 + 0.2)
def test_every_number_is_written_as_the_page_says(value: float) -> None:
    assert canonical_json(value) == number(value)
    assert math.copysign(1.0, json.loads(number(value))) == math.copysign(1.0, value)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PLAIN)
@example({"\ud83d": 1, "\ue000": 2, "\U0001f600": 3})
@example({"a": "\ud83d\ude00"})
def test_page_package_and_tool_write_the_same(value: Any) -> None:
    body = {"noun": "Note", "value": value}
    text = written(body)
    # What Python holds as two halves side by side reads back as one character: compared as it is read back.
    assert encode(json.loads(encode(body))) == text
    assert fault_in_body(b"Note", text.encode()) == ("", fault_in_body(b"Note", text.encode())[1])
    assert TOOL.parse(text.encode()) == json.loads(text)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.text(CHARACTERS, max_size=3), st.integers(0, 9), max_size=6))
@example({"\ud83d\ude00": 1, "\ue000": 2})
def test_what_a_ledger_takes_it_verifies(tmp_path_factory: pytest.TempPathFactory, value: dict[str, int]) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    record = {"noun": "Note", "value": value}
    with Ledger(folder) as ledger:
        if encode(json.loads(encode(record))) != encode(record):
            with pytest.raises(BadInput, match="pair of surrogates"):
                ledger.append(record)
            return
        (digest,) = ledger.append(record)
        body = written(ledger.entry(0).record)
    assert verify(folder).ok, describe(verify(folder))
    assert digest_of(body.encode()) == digest


def test_every_escape_of_the_page_that_another_writer_might_use_is_refused() -> None:
    for wrong in (
        '"\x7f"',
        '"\\u007F"',
        '"\\/"',
        '"\\u0041"',
        '"\\u000a"',
        "1.",
        "1e5",
        "1E+16",
        "1e16",
        "-0",
        "01",
        "0.10",
        "1e-5",
    ):
        body = f'{{"noun":"Note","value":{wrong}}}'.encode()
        assert fault_in_body(b"Note", body)[0], wrong
        with pytest.raises(ValueError):
            TOOL.parse(body)
