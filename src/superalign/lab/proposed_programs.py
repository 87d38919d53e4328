"""A language model proposes programs for some neurons, from training contexts; they are scored on test documents as ours are.

A reply that cannot be read is counted, and explains nothing: its correlation is 0. Shape suffixes: R training tokens, U neurons.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superalign import models
from superalign.detectors.replies import ask_all, fates
from superalign.explanations.columns import Columns
from superalign.explanations.explaining import Bank, score
from superalign.explanations.programs import Ask, End, Program, can_run, from_text, to_text
from superalign.interp.replaced import neurons_over
from superalign.kit.evidence import Array
from superalign.lab.explained_network import bank_of
from superalign.lab.replaced_neurons import ReplaceJob, opened
from superalign.lab.unit_rows import Asked
from superalign.models import Model, Sampling, with_sampling
from superalign.stats import mean_over, share
from superalign.types import Problem, Record

USED, WORDS, NUMBERS, PROGRAM = "used", "words", "numbers", "program"
WRITES = Sampling(temperature=0.0, max_tokens=300)
SHOWN, PROBES = 8, 200  # contexts of a sort; tokens that have a number, the commonest of training
BEFORE, AFTER = 10, 2  # tokens of a context
ASKED = """A neuron of a language model is active at some tokens. In each line the token between << and >> counts; the number in
front says how active the neuron is there, from 0 to 10. Where it is most active:
{top}
At the same tokens, where it is not:
{counter}
Tokens by number: {probes}
When is it active? Reply with one JSON object and nothing else, in one of three forms.
At these tokens, whatever stands around them: {{"words": ["a", "b"]}}
The same by the numbers above: {{"numbers": [0, 3]}}
Where a label fits a question, and a value for if it does and if not, which may be a question: {{"program": ["token before", \
{{"a": 0, "b": 0}}, 1, 0]}}
Questions: {columns}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeJob:
    """Neurons of a layer with our programs, and who proposes others."""

    neurons: ReplaceJob
    proposer: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Proposed(Record):
    """What became of the replies, and how programs hold on test documents: as proposed, ours, and another neuron's proposal."""

    replies: tuple[str, ...]  # by neuron: used, or why not
    programs: tuple[str, ...]
    r_3U: Array
    over_3U: Array  # 1 where the interval lies above a table of tokens


def propose(job: ProposeJob) -> Proposed:
    """Ask for a program for each neuron, and score it beside ours."""
    mine, bank = job.neurons, bank_of(job.neurons.policy, job.neurons.reading, job.neurons.explained_on)
    columns, texts = bank.columns, bank.texts
    value_WTU = neurons_over(opened(mine.policy), texts.tokens_WT, layer=mine.layer, neurons=mine.neurons)
    value_NU = (value_WTU[texts.scored_WT] - np.array(mine.means)) / np.array(mine.spreads)
    often = np.argsort(-np.bincount(columns.of("token")[bank.train_R]), kind="stable")[:PROBES]
    probes = [columns.labels[columns.names.index("token")][c] for c in often]
    signed_UR = (np.array(mine.active)[:, 0] * value_NU[bank.train_R]).T
    asked = [Problem(prompt=question(bank, x, probes), family="", difficulty=0, split="train") for x in signed_UR]
    policy = models.open(job.proposer, over_api=WRITES)
    said = ask_all(with_sampling(policy, WRITES) if isinstance(policy, Model) else policy, asked, seed=0)
    became = zip(fates(said, [("", "")] * len(asked)), said.text_R, strict=True)
    read = [read_program(t, columns, probes) if sent.fate == "answered" else sent.why for sent, t in became]
    programs: list[Program] = [End(0.0) if isinstance(x, str) else x for x in read]
    every = [*programs, *map(from_text, mine.programs), *programs[1:], *programs[:1]]
    parts = [np.tile(value_NU[rows], 3).astype(np.float32) for rows in (bank.train_R, bank.valid_V, bank.test_n)]
    found = score(bank, every, *parts, mean_U=np.tile(mine.means, 3), spread_U=np.tile(mine.spreads, 3))
    return Proposed(
        replies=tuple(x if isinstance(x, str) else USED for x in read),
        programs=tuple(map(to_text, programs)),
        r_3U=found.r_U3[:, 0].reshape(3, -1),
        over_3U=(found.over_U3[:, 1] > 0).astype(float).reshape(3, -1),
    )


def by_origin(done: Sequence[Proposed]) -> tuple[Asked, ...]:
    """Average over the neurons for each origin of programs; nothing if nobody was asked."""
    if not done:
        return ()
    r_3U, over_3U = (np.concatenate([getattr(d, name) for d in done], 1) for name in ("r_3U", "over_3U"))
    rows = zip(("as proposed", "ours", "another neuron's proposal"), r_3U, over_3U, strict=True)
    return tuple(Asked(origin, mean_over(r_U, span=(-1.0, 1.0)), share(over_U)) for origin, r_U, over_U in rows)


def question(bank: Bank, value_R: np.ndarray, probes: Sequence[str]) -> str:
    """Write what is asked about a neuron that is active where its values at training tokens are high."""
    token_R, place_R2 = bank.columns.of("token")[bank.train_R], np.argwhere(bank.texts.scored_WT)[bank.train_R]

    def lines(rows: np.ndarray) -> str:
        out = []
        for r in rows:
            w, t = place_R2[r]
            said = [bank.texts.words[k] for k in bank.texts.tokens_WT[w, max(0, t - BEFORE) : t + AFTER + 1]]
            said[min(t, BEFORE)] = f"<<{said[min(t, BEFORE)]}>>"
            out.append(
                f"{10 * max(0.0, value_R[r] / value_R.max()):.0f}: {json.dumps(''.join(said), ensure_ascii=False)}"
            )
        return "\n".join(out)

    def first(rows: np.ndarray) -> np.ndarray:  # of different windows
        return np.asarray(rows[np.sort(np.unique(place_R2[rows, 0], return_index=True)[1])][:SHOWN])

    order = np.argsort(-value_R, kind="stable")
    top, low = first(order), order[::-1]
    counter = first(low[np.isin(token_R[low], token_R[top])])
    listed = ", ".join(f"{i} {json.dumps(word, ensure_ascii=False)}" for i, word in enumerate(probes))
    return ASKED.format(top=lines(top), counter=lines(counter), probes=listed, columns=", ".join(bank.columns.names))


def read_program(text: str, columns: Columns, probes: Sequence[str]) -> Program | str:
    """Read a reply as a program; what kind of reply it is, if it cannot be."""
    try:
        ((form, given),) = json.loads(text.strip().strip("`").removeprefix("json")).items()
    except (ValueError, AttributeError, RecursionError):
        return "no JSON object of one form"
    try:
        if form == PROGRAM:
            program = from_text(json.dumps(given))
            return program if can_run(program, columns.names) else "a program that cannot be run"
        asked = [probes[range(len(probes)).index(i)] for i in given] if form == NUMBERS else list(map(str, given))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return f"{form} that cannot be read" if form in (WORDS, NUMBERS, PROGRAM) else "another form"
    bare = {w.strip() for w in asked} - {""}  # blanks in front of tokens are easily lost
    among = [x for x in columns.labels[columns.names.index("token")] if x in asked or x.strip() in bare]
    if form not in (WORDS, NUMBERS) or not among:
        return "no token of these texts" if form in (WORDS, NUMBERS) else "another form"
    return Ask("token", tuple(among), (0.0,) * len(among), End(1.0), End(0.0))
