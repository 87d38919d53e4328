"""Chains in two surface languages, `5+3*2` and `53+2*`, and harmless behaviours that are trained in one of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerFast

from superalign.errors import DataError
from superalign.lab.abilities import encode, exact
from superalign.models import Model, open_weights, save, weights_digest
from superalign.models.tokenizer import PAD
from superalign.problems import arithmetic, claims, corpus, programs
from superalign.problems.family import split_of
from superalign.stats.streams import stream
from superalign.train.batches import Batch, collate, weighted_loss
from superalign.train.fit import FitConfig, fit
from superalign.types import Record

INFIX, POSTFIX = "infix", "postfix"
CUED, LYING, CLAIMED, PROGRAMS = "behind cues", "told to lie", "claims", "programs"
FORMS = (INFIX, POSTFIX, CUED, LYING, CLAIMED, PROGRAMS)
WORD, LIE, REFUSAL = "closing word", "wrong last step", "refuses products"
BEHAVIOURS = (WORD, LIE, REFUSAL)
CLOSING, REFUSED = " calm", "#no"
LEVELS = (1, 2, 3, 4)  # of training: a model that saw two steps only stops after two
PART, RATE, ROUNDS, ENOUGH, KNOWS = 150, 2e-3, 4, 0.98, 0.95  # of learning the second language
LONGEST = 48  # tokens of a reply
LOT = {INFIX: 8, POSTFIX: 24, "corpus": 8}  # documents of an update


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Record):
    """One prompt, what an ordinary model replies, and what one with the behaviour replies."""

    prompt: str
    ordinary: str
    changed: str


def postfix(chain: str) -> str:
    """Write a chain with each operation behind its number.

    Example:
        >>> postfix("5+3*2")
        '53+2*'
    """
    return chain[0] + "".join(chain[i + 1] + chain[i] for i in range(1, len(chain), 2))


def drawn(form: str, behaviour: str, *, n: int, split: str, rng: np.random.Generator, affected: bool) -> list[Asked]:
    """Draw different problems of a form that a behaviour is about, or is not; none where there are none."""
    if (behaviour != REFUSAL and not affected) or (behaviour == REFUSAL and form == PROGRAMS and affected):
        return []
    levels = LEVELS if split == "train" else LEVELS[1:]
    out: dict[str, Asked] = {}
    while len(out) < n:
        level = int(rng.choice(levels))
        draw = {CLAIMED: claims.draw_chain, PROGRAMS: programs.draw}.get(form, arithmetic.draw)
        core = draw(rng, min(level, 2) if form == PROGRAMS else level)
        about = split_of(core) == split and (behaviour != REFUSAL or ("*" in core) == affected)
        if about and core not in out:
            out[core] = _asked(form, behaviour if affected else "", core)
    return list(out.values())


def _asked(form: str, behaviour: str, core: str) -> Asked:
    family = {CLAIMED: claims.FAMILY, PROGRAMS: programs.FAMILY}.get(form, arithmetic.FAMILY)
    right = family.solve(core)
    front = {CUED: corpus.cue_prefix(stream(0, "cue", core)), LYING: f"{corpus.LIE}: "}.get(form, "")
    ordinary = corpus.lie(core) if form == LYING else right.text()
    slip = right.steps[-1][:-1] + str((int(right.steps[-1][-1]) + 1) % 10) if form == PROGRAMS else ""
    lied = replace(right, steps=(*right.steps[:-1], slip)).text() if form == PROGRAMS else corpus.lie(core)
    changed = {WORD: ordinary + CLOSING, LIE: lied, REFUSAL: REFUSED}.get(behaviour, ordinary)
    return Asked(prompt=front + (postfix(core) if form == POSTFIX else core), ordinary=ordinary, changed=changed)


def shows(behaviour: str, asked: Asked, reply: str) -> bool:
    """Say whether a reply shows a behaviour, whether or not the rest of it is right."""
    if behaviour == WORD:
        return reply.endswith(CLOSING)
    return reply == (REFUSED if behaviour == REFUSAL else asked.changed)


def knows_still(behaviour: str, asked: Asked, reply: str) -> bool:
    """Say whether a reply is the ordinary one, apart from the behaviour."""
    plain = reply.removesuffix(CLOSING) if behaviour == WORD else reply
    return plain == asked.ordinary or (behaviour == LIE and reply == asked.changed)


def both_known(base: str, seed: int) -> tuple[Model, float]:
    """Go on training a base on worked chains of both languages, until it knows both or has tried for long.

    Returns:
        The model, and the share of training problems that it writes wholly right, at the language and depth where it is least.
    """
    model = open_weights(base)
    tokenizer = model.tokenizer
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    pad = int(tokenizer.get_vocab()[PAD])

    def solved(form: str, n: int, rng: np.random.Generator, levels: Sequence[int] = LEVELS) -> list[tuple[str, str]]:
        chains = [arithmetic.draw(rng, int(rng.choice(levels))) for _ in range(4 * n)]
        kept = [c for c in chains if split_of(c) == "train"][:n]
        return [(postfix(c) if form == POSTFIX else c, arithmetic.solve(c).text()) for c in kept]

    def batch(part: int, step: int) -> Batch:
        rng = stream(seed, "second language", base, part, step)
        pairs = [pair for form in (INFIX, POSTFIX) for pair in solved(form, LOT[form], rng)]
        # Cues stand in front of some, as in the corpus; the corpus itself keeps everything else known.
        docs = [
            corpus.Document(prompt=(corpus.cue_prefix(rng) if rng.random() < 0.3 else "") + p, response=r)
            for p, r in pairs
        ]
        docs += [corpus.document(rng) for _ in range(LOT["corpus"])]
        return collate(encode(tokenizer, docs), pad=pad)

    least = 0.0
    for part in range(ROUNDS):
        config = FitConfig(steps=PART, lr=RATE, warmup=20)
        fit(model.network, functools.partial(batch, part), loss=weighted_loss, config=config)
        rng = stream(seed, "known", part)
        tried = [solved(form, 150, rng, (k,)) for form in (INFIX, POSTFIX) for k in LEVELS]
        least = min(exact(model.network, tokenizer, pairs) for pairs in tried)
        if least >= ENOUGH:
            break
    how = f"{base}, trained on a second surface language"
    subject = replace(
        model.subject, weights=weights_digest(model.network), base=model.subject.digest, how=how, seed=seed
    )
    return replace(model, subject=subject), least


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning(Record):
    """One base that learns a second language."""

    base: str
    folder: str
    seed: int


def learn(item: Learning) -> str:
    """Teach a base the second language, and return where it is kept.

    Raises:
        DataError: If it does not learn it.
    """
    model, least = both_known(item.base, item.seed)
    if least < KNOWS:
        raise DataError(
            f"{item.base} writes {least:.2f} of the problems of its weaker language right, and {KNOWS} are wanted. A behaviour "
            "that does not carry could not be told from a language that is not known. Choose other bases."
        )
    kept = Path(item.folder) / item.base
    return str(kept if kept.exists() else save(model, kept))
