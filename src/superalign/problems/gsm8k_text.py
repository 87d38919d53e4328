"""How a GSM8K text is read: exact expressions, annotated steps, numbers of a question, and what one check can see.

A step is one annotation, `<<48/2=24>>24`, with the prose around it. The expression that authors also write out in front
of the annotation is dropped when a text is read, so that a text and its annotations can never disagree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from superalign.problems.numbers import read, read_number

FLOATING = Fraction(1, 10**9)  # relative error of a calculator that states 0.30000000000000004
LONGEST_EXPRESSION = 200  # characters; real ones stay below 60
_TOKEN = re.compile(r"\s*(//|\d+\.\d*|\.\d+|\d+|[-+*/()])")
ANNOTATION = re.compile(r"<<([^<>]*)>>")
_RESTATED = re.compile(r"[$£€]?-?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?![\d/])")
_DECIMALS = re.compile(r"[^./%eE^]*\.?(\d*)")  # of a number written out: its digits behind the point
_WORD = re.compile(
    r"(?P<n>[$£€]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)%?)|(?P<o>[-+*/×÷–−=]|\b[xX]\b)|(?P<w>[A-Za-z][\w'-]*)|(?P<p>[()])|\S"
)
_SIGN_AT_END = re.compile(r"=\s*([$£€]?)\s*$")
_PAUSES = (r"\n", r"[.;](?=\s)", r",(?=\s)", r"\s(?=and\b)")  # the end of a step, in order of preference
WORDS_AFTER_NUMBER = 3  # "4 pounds per horse * 5 ="
_FINAL = re.compile(r"(?:^|\n)(?:####|A:)\s*(.*?)\s*$")
_MARKED = re.compile(r"(?:^|\n)####\s*([^\n]*?)[^\S\n]*(?:\n|$)")  # more lines may follow: "#### 42\nI hope that helps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A number (no operator), or an operator over two expressions; its value is exact."""

    value: Fraction
    text: str = ""  # of a number, as written
    operator: str = ""
    left: Expression | None = None
    right: Expression | None = None

    def numbers(self) -> tuple[Expression, ...]:
        """Return the numbers in it, from left to right."""
        if self.left is None or self.right is None:
            return (self,)
        return (*self.left.numbers(), *self.right.numbers())

    def operations(self) -> tuple[Expression, ...]:
        """Return the operations in it, those that are worked out first in front."""
        if self.left is None or self.right is None:
            return ()
        return (*self.left.operations(), *self.right.operations(), self)


def number(value: Fraction | int, *, text: str = "") -> Expression:
    """Make an expression of one number."""
    return Expression(value=Fraction(value), text=text or write_number(Fraction(value)))


def operation(operator: str, left: Expression, right: Expression) -> Expression:
    """Apply one operator to two expressions, exactly.

    Raises:
        ZeroDivisionError: For a division by zero.

    Example:
        >>> operation("/", number(48), number(9)).value
        Fraction(16, 3)
    """
    a, b = left.value, right.value
    if operator == "+":
        value = a + b
    elif operator == "-":
        value = a - b
    elif operator == "*":
        value = a * b
    else:
        value = a / b if operator == "/" else Fraction(a // b)
    return Expression(value=value, operator=operator, left=left, right=right)


def read_expression(text: str) -> Expression | None:
    """Read an arithmetic expression; None for anything else. Nothing is ever evaluated as code.

    Example:
        >>> read_expression("3*(16.50+22.50+42)").value
        Fraction(243, 1)
        >>> read_expression("3/4=3") is None, read_expression("1/0") is None
        (True, True)
    """
    text = text.strip()
    if len(text) > LONGEST_EXPRESSION:
        return None
    tokens, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            return None
        tokens.append(match[1])
        at = match.end()
    tokens.append("")  # the end
    try:
        expression, at = _sum(tokens, 0)
    except (ValueError, ZeroDivisionError):
        return None
    return expression if at == len(tokens) - 1 else None


def _sum(tokens: list[str], at: int) -> tuple[Expression, int]:
    left, at = _product(tokens, at)
    while tokens[at] in ("+", "-"):
        right, after = _product(tokens, at + 1)
        left, at = operation(tokens[at], left, right), after
    return left, at


def _product(tokens: list[str], at: int) -> tuple[Expression, int]:
    left, at = _signed(tokens, at)
    while tokens[at] in ("*", "/", "//"):
        right, after = _signed(tokens, at + 1)
        left, at = operation(tokens[at], left, right), after
    return left, at


def _signed(tokens: list[str], at: int) -> tuple[Expression, int]:
    token = tokens[at]
    if token == "+":
        return _signed(tokens, at + 1)
    if token == "-":
        inner, at = _signed(tokens, at + 1)
        return (operation("-", number(0), inner) if inner.operator else number(-inner.value)), at
    if token == "(":
        inner, at = _sum(tokens, at + 1)
        if tokens[at] != ")":
            raise ValueError("no closing bracket")
        return inner, at + 1
    if not token or not (token[0].isdigit() or token[0] == "."):
        raise ValueError("a number was expected")
    return Expression(value=Fraction(token.rstrip(".")), text=token), at + 1


def write_expression(expression: Expression) -> str:
    """Write an expression with no more brackets than it needs.

    Example:
        >>> write_expression(read_expression("(2*3)-(4+1)"))
        '2*3-(4+1)'
    """
    if expression.left is None or expression.right is None:
        return expression.text
    tight = expression.operator in ("*", "/", "//")
    left, right = write_expression(expression.left), write_expression(expression.right)
    if tight and expression.left.operator in ("+", "-"):
        left = f"({left})"
    if (tight and expression.right.operator) or (
        expression.operator == "-" and expression.right.operator in ("+", "-")
    ):
        right = f"({right})"
    return left + expression.operator + right


def write_number(value: Fraction) -> str:
    """Write a number plainly, to four decimals if it does not end sooner.

    Example:
        >>> write_number(Fraction(24)), write_number(Fraction(1, 2)), write_number(Fraction(1, 3))
        ('24', '0.5', '0.3333')
    """
    if value.denominator == 1:
        return str(value.numerator)
    return f"{float(round(value, 4)):.4f}".rstrip("0").rstrip(".")


def agrees(value: Fraction, stated: str) -> bool:
    """Say whether a stated number is this value, exactly or rounded (up or down) in its last digit.

    Example:
        >>> [agrees(Fraction(2, 3), text) for text in ("0.67", "0.7", "0.6", "0.5")], agrees(Fraction(24), "25")
        ([True, True, True, False], False)
    """
    read_value = read_number(stated)
    if read_value is None:
        return False
    off = abs(value - read_value)
    if off <= abs(value) * FLOATING:
        return True
    written = _DECIMALS.fullmatch(stated.strip())
    return value.denominator != 1 and written is not None and off < Fraction(1, 10 ** len(written[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One annotation and the prose around it; a text without any annotation is one step of prose alone."""

    before: str
    after: str
    annotation: str = ""  # as found: `48/2=24`
    expression: Expression | None = None  # None where the annotation cannot be read
    stated: str = ""  # the right-hand side of the annotation
    shown: str = ""  # the result as restated in the prose

    @property
    def value(self) -> Fraction | None:
        """What the step says its result is."""
        return read_number(self.stated)

    @property
    def true(self) -> bool:
        """Whether the equation holds."""
        return self.expression is not None and agrees(self.expression.value, self.stated)

    def text(self) -> str:
        """Write the step out; the expression stands in the annotation alone."""
        middle = f"<<{self.annotation}>>{self.shown}" if self.annotation else ""
        return f"{self.before}{middle}{self.after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """A solution: its steps, and its final answer as written (empty if it has none)."""

    steps: tuple[Step, ...]
    answer: str

    @property
    def value(self) -> Fraction | None:
        """The final answer as a number, whatever unit or text follows it."""
        parsed = read(self.answer)
        return None if parsed is None else parsed.value

    def text(self) -> str:
        """Write it out, one step to a line, with `#### answer` at the end."""
        return "\n".join([*(s.text() for s in self.steps), *([f"#### {self.answer}"] if self.answer else [])])


def annotated(text: str) -> tuple[str, ...]:
    """List the annotations of a text, without their brackets.

    Example:
        >>> annotated("She sold 48/2 = <<48/2=24>>24 clips.")
        ('48/2=24',)
    """
    return tuple(ANNOTATION.findall(text))


def final_of(text: str) -> re.Match[str] | None:
    """Find where a solution states its final answer, and what it is."""
    return _FINAL.search(text) or next(iter(list(_MARKED.finditer(text))[-1:]), None)


def read_solution(text: str) -> Solution:
    """Cut a solution into steps and a final answer (`#### 24` or `A: 24`).

    Example:
        >>> s = read_solution("She sold 48/2 = <<48/2=24>>24 clips.\\nSo 48+24 = $<<48+24=72>>72.\\n#### 72")
        >>> s.text().splitlines()
        ['She sold <<48/2=24>>24 clips.', 'So $<<48+24=72>>72.', '#### 72']
        >>> str(read_solution("#### 72 clips\\nThat is all.").value)
        '72'
    """
    final = final_of(text)
    body = text[: final.start()] if final else text
    steps = list(_cut("\n".join(line.strip() for line in body.split("\n") if line.strip())))
    return Solution(steps=tuple(steps), answer=final[1] if final else "")


def _one_line(prose: str) -> str:
    return prose.replace("\n", " ")


def _without_written(before: str) -> str:
    """Drop the expression, with its units, that stands in front of an annotation; walks back from the equals sign."""
    sign = _SIGN_AT_END.search(before)
    assert sign is not None, "only called where there is an equals sign at the end"
    start, words = sign.start(), 0
    want_number = True
    for match in reversed(list(_WORD.finditer(before, 0, sign.start()))):
        kind = match.lastgroup
        if kind == "w" and want_number and words < WORDS_AFTER_NUMBER:
            words += 1
        elif kind == "n" and want_number:
            start, words, want_number = match.start(), 0, False
        elif kind == "o":
            words, want_number = 0, True
        elif kind == "p":
            start = match.start() if not want_number else start
        else:
            break
    return before[:start].rstrip() + " " + sign[1]


def _cut(body: str) -> Iterator[Step]:
    """Cut a body at each annotation; prose between two goes to the later one, but for the end of a clause or line."""
    marks = list(ANNOTATION.finditer(body))
    if not marks:
        if body:
            yield Step(before=_one_line(body), after="")
        return
    start = 0
    for i, mark in enumerate(marks):
        before = body[start : mark.start()]
        while _SIGN_AT_END.search(before):
            before = _without_written(before)
        restated = _RESTATED.match(body, mark.end())
        end = restated.end() if restated else mark.end()
        stop = marks[i + 1].start() if i + 1 < len(marks) else len(body)
        if i + 1 < len(marks):
            pauses = (re.search(p, body[end:stop]) for p in _PAUSES)
            stop = next((end + p.end() for p in pauses if p), end)
        left, _, right = mark[1].rpartition("=")
        yield Step(
            before=_one_line(before).lstrip(),
            after=_one_line(body[end:stop]).rstrip(),
            annotation=mark[1],
            expression=read_expression(left),
            stated=right.strip(),
            shown=restated[0].lstrip("$£€") if restated else "",
        )
        start = stop
