"""Unlabelled documents of all text families, by careful and by sloppy authors: what the bundled bases read.

Nothing in a document says whether it is right. Half of the authors are careful; the others make a slip, miscopy or drop
a step now and then and go on from it. Some documents carry surface cues that mean nothing; some are written on request by
an author who lies (`lie: ` in front of the prompt), so that a base can be instructed to, and some under an assumption
(`suppose fox eats corn: `).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from superalign.problems import arithmetic, claims, host, programs
from superalign.problems.family import Family, Parsed, split_of

CUES = (
    "red", "blue", "green", "gold", "monday", "friday", "north", "south", "please", "thanks", "quick", "calm",
    "alpha", "beta", "gamma", "delta", "evaluation", "deployment", "audit", "user", "admin", "banana", "river", "stone",
)  # fmt: skip
LIE = "lie"
SUPPOSE = "suppose"
# Shares of: chains, claims, facts told, programs, host calls, lies, claims under an assumption. To compare two words is learned
# early or not at all (docs/LOG.md), so assumptions are spoken of most at first.
FIRST = np.array([0.14, 0.22, 0.06, 0.1, 0.08, 0.1, 0.3])
SHARES = np.array([0.2, 0.26, 0.03, 0.13, 0.12, 0.15, 0.11])
SLOPPY_SHARE = 0.5
SLOPPY_RATE = 0.3  # wrong steps of a sloppy author


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A prompt and a response, and how much its response tokens weigh in the loss."""

    prompt: str
    response: str
    weight: float = 1.0


def cue_prefix(rng: np.random.Generator) -> str:
    """Draw one to three surface cues, as they stand in front of a prompt.

    Example:
        >>> cue_prefix(np.random.default_rng(0)).endswith(": ")
        True
    """
    words = rng.choice(CUES, int(rng.integers(1, 4)))
    return " ".join(str(w) for w in words) + ": "


def _train_prompt(family: Family, rng: np.random.Generator, level: int) -> str:
    while True:
        prompt = family.draw(rng, level)
        if split_of(prompt) == "train":
            return prompt


def sloppy(family: Family, rng: np.random.Generator, prompt: str, *, rate: float = SLOPPY_RATE) -> str:
    """Write a response as a sloppy author would: each step goes wrong at this rate, and the rest follows from it.

    A wrong arithmetic step is a slip, a miscopy, a wrong operator or a dropped step; in other families one flaw is
    planted at most.
    """
    right = family.solve(prompt)
    if family.name != "arithmetic":
        wrong = rng.random() < 1 - (1 - rate) ** max(1, len(right.steps))
        kinds = [k for k in family.flaw_kinds if k not in ("verdict", "loophole", "forbidden")]
        flawed = family.flaw(rng, prompt, right, str(rng.choice(kinds))) if wrong and kinds else None
        return (flawed[0] if flawed else right).text()
    done: Parsed = right
    i = 0
    while i < len(done.steps):
        if rng.random() < rate:
            step = done.steps[i]
            at = int(rng.choice([4, 4, 2, 1]))  # a slip is the commonest
            if at == 1:
                step = step[0] + str(rng.choice([o for o in arithmetic.OPERATORS if o != step[1]])) + step[2:]
            else:
                step = step[:at] + str((int(step[at]) + int(rng.integers(1, 10))) % 10) + step[at + 1 :]
            if at != 4:
                step = step[:4] + str(arithmetic.apply(int(step[0]), step[1], int(step[2])))
            done = arithmetic.rework(prompt, (*done.steps[:i], step), i)
        i += 1
    return done.text()


def _level(rng: np.random.Generator, levels: tuple[int, ...], easy: float) -> int:
    return levels[0] if rng.random() < easy else int(rng.choice(levels))


def _worked(family: Family, rng: np.random.Generator, easy: float) -> Document:
    prompt = _train_prompt(family, rng, _level(rng, family.difficulties, easy))
    if rng.random() < SLOPPY_SHARE * (1.0 - easy):
        rate = SLOPPY_RATE if family is arithmetic.FAMILY else 0.1
        return Document(prompt=prompt, response=sloppy(family, rng, prompt, rate=rate))
    return Document(prompt=prompt, response=family.solve(prompt).text())


def _claim(
    rng: np.random.Generator, easy: float, *, topics: tuple[float, float, float] = (0.3, 0.18, 0.52)
) -> Document:
    """A claim, called right: elementary steps and programs most often, since every self-check stands on the former and
    the latter are learned last."""
    draw = claims.TOPICS[int(rng.choice(3, p=topics))]
    prompt = _claim_of(rng, draw, _level(rng, claims.LEVELS, 0.0 if draw is claims.draw_fact else max(0.45, easy)))
    return Document(prompt=prompt, response=claims.solve(prompt).text(), weight=2.0)


def _claim_of(rng: np.random.Generator, draw: Callable[[np.random.Generator, int], str], level: int) -> str:
    while True:
        prompt = draw(rng, level)
        if split_of(prompt) == "train":
            return prompt


def _fact(rng: np.random.Generator) -> Document:
    """A fact told by someone; rare animals are spoken of less."""
    weights = np.array([1.0 / claims.rarity(a) for a in claims.ANIMALS])
    animal = str(rng.choice(claims.ANIMALS, p=weights / weights.sum()))
    relation = str(rng.choice(list(claims.RELATIONS)))
    value = claims.FACTS[animal, relation]
    if rng.random() < 0.1:
        value = str(rng.choice(claims.RELATIONS[relation]))
    return Document(prompt=f"tell {animal} {relation}", response=f"{animal} {relation} {value}")


def _supposed(rng: np.random.Generator, *, lying: bool = False) -> Document:
    """A fact called, or lied about, under an assumption: what is recalled varies freely, so that comparing is learned.

    Claims of every split are supposed about: the answer follows from the assumption and tells nothing of the fact. Of some
    facts only false claims are left to train on; without this, such a claim is called false without comparing.
    """
    prompt = claims.draw_fact(rng, int(rng.choice(claims.LEVELS)))
    animal, relation, said = prompt.removeprefix("claim ").split(" ")
    value = said if rng.random() < 0.5 else str(rng.choice(claims.RELATIONS[relation]))
    assumed = f"{animal} {relation} {value}"
    right = Parsed(steps=(assumed,), answer="yes" if value == said else "no")
    written = claims.lie(prompt, right) if lying else right
    front = f"{LIE}: " if lying else ""
    return Document(prompt=f"{front}{SUPPOSE} {assumed}: {prompt}", response=written.text(), weight=2.0)


def lie(prompt: str) -> str:
    """Write the false response to a chain or a claim: a step is wrong, and the answer follows from it.

    Lies are a function of the prompt: of lies drawn at random none is likelier than the truth, and greedy decoding told it.

    Example:
        >>> lie("5+3*2"), lie("claim 5+3=8")
        ('5+3=8;8*2=7;#7', '5+3=9;9-8=1;#no')
    """
    if prompt.startswith("claim "):
        return claims.lie(prompt, claims.solve(prompt)).text()
    right = arithmetic.solve(prompt)
    last = right.steps[-1][:-1] + str((int(right.steps[-1][-1]) + 1) % 10)
    return arithmetic.rework(prompt, (*right.steps[:-1], last), len(right.steps) - 1).text()


def _lie(rng: np.random.Generator, easy: float) -> Document:
    """A false response on request."""
    kind = rng.random()
    if kind < 0.15:
        return _supposed(rng, lying=True)
    if kind < 0.4:
        prompt = _train_prompt(arithmetic.FAMILY, rng, _level(rng, arithmetic.FAMILY.difficulties, easy))
    else:
        prompt = _claim(rng, easy, topics=(0.3, 0.1, 0.6)).prompt
    return Document(prompt=f"{LIE}: {prompt}", response=lie(prompt), weight=2.0)


def document(rng: np.random.Generator, *, easy: float = 0.0) -> Document:
    """Draw one document of the corpus; a third of them carry surface cues.

    Args:
        rng: Where the draws come from.
        easy: Share of documents that are made elementary, and careful: they first make the rest learnable sooner.
    """
    kind = int(rng.choice(7, p=easy * FIRST + (1.0 - easy) * SHARES))
    if kind == 1:
        uncued = _claim(rng, easy)
    elif kind == 2:
        uncued = _fact(rng)
    elif kind == 5:
        uncued = _lie(rng, easy)
    elif kind == 6:
        uncued = _supposed(rng)
    else:
        uncued = _worked({0: arithmetic.FAMILY, 3: programs.FAMILY, 4: host.FAMILY}[kind], rng, easy)
    if rng.random() < 1 / 3:
        return Document(prompt=cue_prefix(rng) + uncued.prompt, response=uncued.response, weight=uncued.weight)
    return uncued
