"""Where the units of a response stand: each step, then the final answer; a missing one is held against the last letter."""

from __future__ import annotations

import re
from typing import TypeAlias

from superalign.problems.gsm8k_text import ANNOTATION, final_of
from superalign.problems.jsonl import MARK

Spans: TypeAlias = tuple[tuple[int, int], ...]


def chain_spans(text: str) -> Spans:
    """Cut a response of a bundled family.

    Example:
        >>> chain_spans("5+3=8;#8")
        ((0, 5), (6, 8))
    """
    if not text:
        return ()
    body, mark, _ = text.partition("#")
    spans, at = [], 0
    for piece in body.split(";"):
        if piece:
            spans.append((at, at + len(piece)))
        at += len(piece) + 1
    return (*spans, (len(body), len(text)) if mark else (len(text) - 1, len(text)))


def line_spans(text: str) -> Spans:
    """Cut a response of one step per line, with the answer behind `####` or in its last line.

    Example:
        >>> line_spans("2+2=4\\n#### 4"), line_spans("4")
        (((0, 5), (6, 12)), ((0, 1),))
    """
    body, mark, after = text.rpartition(MARK)
    return (*_lines(body), (len(body), len(text.rstrip()))) if mark else _lines(after)


def _lines(text: str) -> Spans:
    return tuple(m.span() for m in re.finditer(r"\S(?:.*\S)?", text))


def solution_spans(text: str) -> Spans:
    """Cut a solution of GSM8K: a step ends with its annotation; without any, what stands before the answer is one step.

    Example:
        >>> solution_spans("<<1+1=2>>2 and\\n<<2*3=6>>6.\\n#### 6")
        ((0, 9), (9, 24), (26, 33))
        >>> solution_spans("#### 6"), solution_spans("")
        (((0, 6),), ())
    """
    if not text.strip():
        return ()
    final = final_of(text)
    end = final.start() if final else len(text)
    stops = [m.end() for m in ANNOTATION.finditer(text, 0, end)] or ([end] if text[:end].strip() else [])
    return (*zip([0, *stops], stops, strict=False), (end, len(text)) if final else (end - 1, end))
