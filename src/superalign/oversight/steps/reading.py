"""A question and one annotated solution as a critic sees them: words, numbers, and where each operand comes from.

Nothing here knows an answer, a label or another solution of the same question. The records of a problem family are
taken by their shape, so that this room need not import the room that holds the answers.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, Protocol, TypeAlias, runtime_checkable

HASHES = 1 << 18
_TOKEN = re.compile(r"[A-Za-z]+(?:'[a-z]+)?|\d[\d,]*\.?\d*|[%$?.,;!/-]")
_PROSE = re.compile(r"[A-Za-z]+")
STOP = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "to",
        "and",
        "in",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "for",
        "on",
        "at",
        "by",
        "with",
        "from",
        "as",
        "that",
        "this",
        "these",
        "those",
        "it",
        "its",
        "his",
        "her",
        "their",
        "he",
        "she",
        "they",
        "them",
        "him",
        "so",
        "if",
        "then",
        "than",
        "there",
        "has",
        "have",
        "had",
        "will",
        "would",
        "can",
        "could",
        "do",
        "does",
        "did",
        "i",
        "you",
        "we",
        "our",
        "my",
        "your",
        "or",
        "but",
        "not",
        "no",
        "how",
        "many",
        "much",
        "what",
        "which",
        "who",
        "when",
        "each",
    ]
)


@runtime_checkable
class MentionLike(Protocol):
    """A number of a question: the values it can stand for, the plainest first, and its place in the text."""

    @property
    def values(self) -> tuple[Fraction, ...]: ...  # noqa: D102
    @property
    def start(self) -> int: ...  # noqa: D102
    @property
    def end(self) -> int: ...  # noqa: D102


@runtime_checkable
class ExpressionLike(Protocol):
    """A number (no operator), or an operator over two expressions."""

    @property
    def value(self) -> Fraction: ...  # noqa: D102
    @property
    def operator(self) -> str: ...  # noqa: D102
    @property
    def left(self) -> ExpressionLike | None: ...  # noqa: D102
    @property
    def right(self) -> ExpressionLike | None: ...  # noqa: D102


@runtime_checkable
class StepLike(Protocol):
    """One annotated step."""

    @property
    def before(self) -> str: ...  # noqa: D102
    @property
    def after(self) -> str: ...  # noqa: D102
    @property
    def annotation(self) -> str: ...  # noqa: D102
    @property
    def expression(self) -> ExpressionLike | None: ...  # noqa: D102
    @property
    def value(self) -> Fraction | None: ...  # noqa: D102
    @property
    def true(self) -> bool: ...  # noqa: D102


@runtime_checkable
class SolutionLike(Protocol):
    """Steps and a final answer."""

    @property
    def steps(self) -> Sequence[StepLike]: ...  # noqa: D102
    @property
    def value(self) -> Fraction | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """All that a critic is shown: a question, its numbers, what it takes for granted, and one solution."""

    question: str
    mentions: Sequence[MentionLike]
    common: AbstractSet[Fraction]
    solution: SolutionLike


SourceKind: TypeAlias = Literal["question", "result", "common", "nowhere", "inner"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where an operand comes from; `index` is the mention or the earlier result, `times` how often it was used before."""

    kind: SourceKind
    value: float
    index: int = -1
    variant: int = 0  # which of a mention's values
    back: int = 0  # results between this one and the latest
    times: int = 0


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of an expression, with the sources of its two sides."""

    operator: str
    value: float
    left: Source
    right: Source


@dataclass(slots=True)
class StepTrace:
    """What one step does."""

    operations: list[Operation] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    result: int = -1  # index among the results, or -1


@dataclass(slots=True)
class Trace:
    """What a whole solution does."""

    steps: list[StepTrace]
    results: list[tuple[float, float]]  # as stated, as worked out
    used: Counter[int]  # mention -> uses
    reused: Counter[int]  # result -> uses

    def operations(self) -> list[Operation]:
        """Return all operations in order."""
        return [o for s in self.steps for o in s.operations]


@dataclass(frozen=True, slots=True)
class Number:
    """A mention with its surroundings."""

    values: tuple[float, ...]
    at: int  # token
    sentence: int
    word: bool  # written as a word
    percent: bool
    unit: str
    cues: tuple[int, ...]  # hashed context


@dataclass(frozen=True, slots=True)
class Reading:
    """A question, read once."""

    text: str
    numbers: tuple[Number, ...]
    common: frozenset[float]
    sentences: tuple[frozenset[str], ...]  # content words
    target: int  # the sentence that asks
    content: frozenset[str]
    cues: tuple[int, ...]  # hashed words of the question, those of the target marked


def stem(word: str) -> str:
    """Lower-case a word and drop a plural s."""
    w = word.lower()
    return w[:-1] if len(w) > 3 and w.endswith("s") and not w.endswith("ss") else w


def content_words(text: str) -> list[str]:
    """List the words of a text that carry content; digits are passed over."""
    return [w for w in (stem(m[0]) for m in _PROSE.finditer(text)) if w not in STOP]


def hashed(names: Sequence[str]) -> tuple[int, ...]:
    """Turn feature names into column numbers, each once, in rising order."""
    return tuple(sorted({zlib.crc32(n.encode()) % HASHES for n in names}))


def read_question(text: Text) -> Reading:
    """Read a question: its words, its sentences, and the surroundings of each of its numbers."""
    q = text.question
    tokens = [(m[0], m.start()) for m in _TOKEN.finditer(q)]
    words = [stem(t) for t, _ in tokens]
    sentence, sentences = 0, []
    for token, _ in tokens:
        sentences.append(sentence)
        sentence += token in ".?!"
    asking = [s for s, (token, _) in zip(sentences, tokens, strict=True) if token == "?"]
    target = asking[-1] if asking else (sentences[-1] if sentences else 0)
    by_sentence = tuple(
        frozenset(w for w, s in zip(words, sentences, strict=True) if s == k and w.isalpha() and w not in STOP)
        for k in range((sentences[-1] if sentences else 0) + 1)
    )
    target_words = [w for w, s in zip(words, sentences, strict=True) if s == target]
    numbers = _numbers(text, [a for _, a in tokens], words, sentences, target, target_words)
    grams = [" ".join(g) for n in (1, 2, 3) for g in zip(*(target_words[i:] for i in range(n)), strict=False)]
    counts = [
        f"numbers:{min(9, len(numbers))}",
        f"written:{min(9, sum(n.word for n in numbers))}",
        f"sentences:{min(9, len(by_sentence))}",
        f"percent:{sum(n.percent for n in numbers)}",
        f"asked:{sum(n.sentence == target for n in numbers)}",
    ]
    return Reading(
        text=q,
        numbers=numbers,
        common=frozenset(float(v) for v in text.common),
        sentences=by_sentence,
        target=target,
        content=frozenset().union(*by_sentence),
        cues=hashed([*(f"t:{g}" for g in grams), *(f"q:{w}" for w in words), *counts]),
    )


def _numbers(
    text: Text, starts: list[int], words: list[str], sentences: list[int], target: int, target_words: list[str]
) -> tuple[Number, ...]:
    kept = [m for m in text.mentions if text.question[m.start : m.end].lower() not in ("second", "once", "both")]
    out = []
    for k, m in enumerate(kept):
        i, j = bisect_right(starts, m.start) - 1, bisect_left(starts, m.end) - 1
        raw = text.question[m.start : m.end].lower()
        word, percent = raw[:1].isalpha(), len(m.values) == 6
        dollar = text.question[max(0, m.start - 1) : m.start] == "$"
        near = [w for w in words[j + 1 : j + 4] if w.isalpha() and w not in STOP]
        first = float(m.values[0])
        names = [f"p{d}:{words[i - d]}" if d <= 2 else f"P:{words[i - d]}" for d in range(1, 6) if i >= d]
        names += [f"n{d}:{words[j + d]}" if d <= 2 else f"N:{words[j + d]}" for d in range(1, 6) if j + d < len(words)]
        names += [
            "pp:" + " ".join(words[max(0, i - 2) : i]),
            "nn:" + " ".join(words[j + 1 : j + 3]),
            "pn:" + " ".join(words[max(0, i - 1) : i]) + "_" + " ".join(words[j + 1 : j + 2]),
            f"kind:{'w' if word else '%' if percent else 'f' if '/' in raw else 'd'}",
            f"raw:{raw if word or '/' in raw else ''}",
            f"dollar:{dollar}",
            f"place:{k == 0}{k == len(kept) - 1}{min(len(kept), 8)}",
            f"size:{first < 1}{first == 1}{first > 50}",
            f"asked:{sentences[i] == target}",
        ]
        names += [f"t:{w}" for w in set(target_words)]
        names += [f"s:{w}" for w, s in zip(words, sentences, strict=True) if s == sentences[i]]
        out.append(
            Number(
                values=tuple(float(v) for v in m.values),
                at=i,
                sentence=sentences[i],
                word=word,
                percent=percent,
                unit="$" if dollar else next(iter(near), ""),
                cues=hashed(names),
            )
        )
    return tuple(out)


def close(a: float, b: float) -> bool:
    """Say whether two values are the same number."""
    return a == b or abs(a - b) <= 1e-6 * max(1.0, abs(a), abs(b))


def trace(reading: Reading, solution: SolutionLike) -> Trace:
    """Follow a solution: what each step does, and where each operand comes from."""
    traced = Trace(steps=[], results=[], used=Counter(), reused=Counter())
    for step in solution.steps:
        now = StepTrace()
        if step.expression is not None:
            value = float(step.expression.value)
            _walk(step.expression, reading, traced, now)
            now.result = len(traced.results)
            traced.results.append((float(step.value) if step.value is not None else value, value))
        traced.steps.append(now)
    return traced


def _walk(node: ExpressionLike, reading: Reading, traced: Trace, now: StepTrace) -> Source:
    if node.left is None or node.right is None:
        source = _source(float(node.value), reading, traced)
        now.sources.append(source)
        return source
    left = _walk(node.left, reading, traced, now)
    right = _walk(node.right, reading, traced, now)
    now.operations.append(Operation("/" if node.operator == "//" else node.operator, float(node.value), left, right))
    return Source("inner", float(node.value))


def _source(value: float, reading: Reading, traced: Trace) -> Source:
    """Find where an operand most likely comes from: an unused earlier result, an unused number, then used ones."""
    best, source = 0.0, Source("common" if value in reading.common else "nowhere", value)
    for k in range(len(traced.results) - 1, -1, -1):
        if close(traced.results[k][0], value) or close(traced.results[k][1], value):
            back = len(traced.results) - 1 - k
            weight = (1.5 if traced.reused[k] else 3.0) + 0.1 * (back == 0)
            if weight > best:
                best, source = weight, Source("result", value, k, 0, back, traced.reused[k])
    for k, number in enumerate(reading.numbers):
        for variant, v in enumerate(number.values):
            weight = (1.4 if traced.used[k] else 2.5) - 0.3 * (variant > 0)
            if weight > best and close(v, value):
                best, source = weight, Source("question", value, k, variant, 0, traced.used[k])
    if source.kind == "nowhere" and value == int(value):  # a rounded result
        for k in range(len(traced.results) - 1, -1, -1):
            if abs(traced.results[k][0] - value) < 0.51:
                source = Source("result", value, k, 0, len(traced.results) - 1 - k, traced.reused[k])
                break
    if source.kind == "result":
        traced.reused[source.index] += 1
    elif source.kind == "question":
        traced.used[source.index] += 1
    return source
