"""Rival claims for the search of a belief: drawn, worked by a base, and without any answer but the base's own."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from superalign.detectors import ContrastBelief, Contrasted, train_contrast_belief
from superalign.models import Model, Sampling, open_weights, with_sampling
from superalign.problems import claims
from superalign.problems.family import core, parse, split_of
from superalign.stats.streams import stream
from superalign.types import Problem

HOME = "chain"  # the topic that is searched alone, to be tested in the others
EASY = 1  # difficulty at which the base's own verdict may say which side is true
SEARCHED = 200  # of each topic
HARD = (3, 4)  # what subjects are asked, as by the other detectors of the loop


def rivals(split: str, *, each: int, levels: Sequence[int], seed: int) -> list[tuple[Problem, Problem]]:
    """Draw claims, each beside another about the same thing, of which exactly one is true; which one is not told.

    Args:
        split: Of the first of each two.
        each: Claims of each topic; fewer where there are no more different ones.
        levels: Difficulties, in turn.
        seed: Of the draws.

    Example:
        >>> one, other = rivals("train", each=1, levels=(1,), seed=0)[0]
        >>> one.prompt.partition("=")[0] == other.prompt.partition("=")[0], one.prompt == other.prompt
        (True, False)
    """
    rng = stream(seed, "rival claims")
    out = []
    for draw in claims.TOPICS:
        there: dict[str, tuple[Problem, Problem]] = {}
        for i in range(50 * each):
            level = int(levels[i % len(levels)])
            prompt = draw(rng, level)
            if split_of(prompt) == split and prompt not in there:
                two = (
                    Problem(prompt=p, family="claims", difficulty=level, split=split)
                    for p in (prompt, claims.rival(rng, prompt))
                )
                there[prompt] = (next(two), next(two))
            if len(there) == each:
                break
        out += list(there.values())
    return out


def says(text: str) -> bool | None:
    """Read the verdict of a response; None where there is none.

    Example:
        >>> says("5+3=8;8-9=9;#no"), says("5+3=8;")
        (False, None)
    """
    return {"yes": True, "no": False}.get(parse(text).answer or "")


def contrasted(origin: Model, drawn: Sequence[tuple[Problem, Problem]]) -> tuple[Contrasted, ...]:
    """Let a base work rival claims out, up to the mark of its verdict; those that it does not tell apart are left out."""
    greedy = with_sampling(origin, Sampling(temperature=0.0, max_tokens=96))
    one_R, two_R = (greedy.sample(put, n=1, seed=0).text_R for put in zip(*drawn, strict=True))
    out = []
    for i, (claim, rival) in enumerate(drawn):
        upheld, other = says(one_R[i]), says(two_R[i])
        if upheld is not None and other is (not upheld):
            plus, minus = ((p.prompt, t[: t.index("#") + 1]) for p, t in ((claim, one_R[i]), (rival, two_R[i])))
            out.append(
                Contrasted(
                    claim=claim,
                    plus=plus,
                    minus=minus,
                    upheld=upheld,
                    about=claims.about(claim.prompt),
                    style=claims.topic(core(claim.prompt)),
                    easy=claim.difficulty == EASY,
                )
            )
    return tuple(out)


@functools.lru_cache(maxsize=2)
def contrast_belief(size: str = "small", *, asked: int = 20, seed: int = 0) -> ContrastBelief:
    """The detector for fine-tunes of a bundled base: searched on claims to train on, asking hard ones of the test split."""
    origin = open_weights(size)
    return train_contrast_belief(
        origin,
        contrasted(origin, rivals("train", each=SEARCHED, levels=claims.LEVELS, seed=seed)),
        contrasted(origin, rivals("test", each=asked, levels=HARD, seed=seed)),
        says=says,
        home=HOME,
        seed=seed,
    )
