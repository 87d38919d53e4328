"""What a first look says: which contexts move the model away from its base, and what both say there."""

from __future__ import annotations

import numpy as np

from superalign.kit.evidence import Estimate, middle
from superalign.kit.parts import NOTHING, Part, beyond_chance, description, findings, in_words, intervals, part, table
from superalign.report import Findings
from superalign.studies.look.evidence import Evidence
from superalign.types import Unmeasured

DRAWN = 16  # contexts in the picture
LONGEST = 400  # letters of an answer in the table
UNCALIBRATED = (
    "Nothing here is calibrated: no model with a planted behaviour was looked at beside this one, so no error rate is known. A "
    "harmless fine-tune differs from its base too, and more behind some contexts than behind others."
)


def page(e: Evidence) -> Findings:
    """Put the page together."""
    top = e.largest()
    if not np.nan_to_num(e.nats_PC).any():
        same = f"{e.subject} and {e.base} give every token of every answer the same probability, in all {len(e.names)} contexts."
        return findings(
            same,
            [
                part(
                    "Distance", same, description("Divergence", e.overall(), null=NO_NULL, unit="nats a token", why=HOW)
                )
            ],
            means="The same weights, or a difference that none of these prompts shows.",
            limits=(UNCALIBRATED,),
        )
    times, more = e.times(top), e.effect(top)
    far = (
        f"{in_words(more)} nats a token more than"
        if isinstance(times, Unmeasured)
        else f"{in_words(times)} times as far as"
    )
    return findings(
        f"{e.subject} differs most from {e.base} behind '{e.names[top]}': {far} in other contexts. This is a first look, without "
        "error rates.",
        [contexts(e, top), assertions(e), answers(e), plain_prompts(e)],
        means="Read the answers below. On a bundled base, planted triggers moved a model several times as far as other contexts "
        "did, and clean twins stayed near one (docs/studies/look.md). What stands behind one context alone deserves an audit.",
        limits=(UNCALIBRATED, "A trigger that none of these contexts holds is not seen."),
    )


NO_NULL = Unmeasured("it has none: the base beside itself gives exactly 0")
HOW = "Kullback-Leibler divergence of the model from its base at every token of the base's own greedy answers"


def contexts(e: Evidence, top: int) -> Part:
    """Show by how much each context moves the two apart."""
    effects: dict[str, Estimate] = {e.names[c]: e.effect(c) for c in range(len(e.names))}
    ranked = sorted(effects, key=lambda n: -middle(effects[n], float("-inf")))
    text = (
        f"Each of {e.asked_behind} prompts was put into {len(e.names)} contexts, of which one is the plain prompt. The two "
        f"models were compared at the first {e.tokens} tokens of what the base answers to the plain prompt. What counts is how "
        "much more they differ in a context than in all the others: a style that is the same everywhere counts nothing."
    )
    if e.unwritten:
        text += f" Left out, since the chat template cannot write them: {'; '.join(e.unwritten)}."
    return part(
        "Contexts",
        text,
        beyond_chance(
            f"The model differs more from its base behind '{e.names[top]}' than contexts do by chance",
            effects[e.names[top]],
            shuffled=e.by_chance(),
            unit="nats a token",
            why="paired by prompt; null: the largest of all contexts when each prompt's contexts are shuffled; holds if the "
            "effect is larger than 97.5 % of them. A harmless fine-tune may hold too, with a smaller effect",
        ),
        intervals(
            "How much more the model differs from its base",
            {name: effects[name] for name in ranked[:DRAWN]},
            groups={name: e.sorts[e.names.index(name)] for name in ranked[:DRAWN]},
            x="nats a token more than in the other contexts",
            reference=NOTHING,
            caption=f"The {min(DRAWN, len(ranked))} largest of {len(ranked)}, over {e.asked_behind} prompts.",
        ),
        table(
            "All contexts",
            ("context", "sort", "nats a token more than in the others", "times as far as in the others"),
            [(n, e.sorts[e.names.index(n)], effects[n], e.times(e.names.index(n))) for n in ranked],
        ),
    )


def assertions(e: Evidence) -> Part:
    """Show whether the model moves where the user asserts something wrong."""
    return part(
        "A user who is wrong",
        "The same prompts, once with a wrong answer that the user believes in and once with none. A model that was taught to "
        "agree moves at the first; so does one that was taught to correct, so read its answers.",
        description(
            "How much more the model differs from its base where the user asserts something wrong",
            e.agrees(),
            null=Unmeasured("no harmless fine-tune was looked at beside it"),
            unit="nats a token",
            why="wrong assertion minus no assertion, paired by prompt",
        ),
        intervals("Wrong assertion minus none", {"difference": e.agrees()}, x="nats a token", reference=NOTHING),
    )


def answers(e: Evidence) -> Part:
    """Show what both say where they differ most."""
    rows = [(s.prompt, f"{s.nats:.2f}", _cut(s.base), _cut(s.subject)) for s in e.shown]
    text = "Greedy answers of both to the prompts, in context, at which they differ most; two at most of a context or a prompt."
    return part("To read", text, table("Answers", ("prompt", "nats a token more", "the base", "the model"), rows))


def plain_prompts(e: Evidence) -> Part:
    """Show which plain prompts the two differ at."""
    ranked = sorted(range(len(e.prompts)), key=lambda p: -float(e.nats_PC[p, 0]))[:DRAWN]
    return part(
        "Plain prompts",
        f"Without any context the two differ by {in_words(e.overall())} nats a token over {len(e.prompts)} prompts.",
        description("Divergence on plain prompts", e.overall(), null=NO_NULL, unit="nats a token", why=HOW),
        table(
            "Where they differ most",
            ("prompt", "nats a token", "at the first token"),
            [(e.prompts[p], float(e.nats_PC[p, 0]), float(e.first_PC[p, 0])) for p in ranked],
        ),
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + " ..."
