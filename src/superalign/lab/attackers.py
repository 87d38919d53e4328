"""Attackers who only ask, before the vault's own desk and judge and before other oracles: what they seem to gain, and what lasts.

The labels of their question are coin flips, so nothing can be learned but the labels of the very items that are asked about. What
is told of the climbed items beyond what holds on the sealed items of the same question is false. All artefacts are written here,
so they run in this process; all else of the vault is what a campaign has: ledger, budgets, words, tiers, confirmation.

Shape suffixes: N items of the climb, K queries, D features.
"""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jaxtyping import Float
from scipy.stats import binom

from superalign.lab.cheat_runs import run_here
from superalign.lab.oracles import Exact, Noisy, Rounded, Thresholdout
from superalign.lab.research_benches import CLIMBS, FULL, TRIES, solver
from superalign.lab.research_parts import Attacked
from superalign.ledger import Ledger
from superalign.stats import mean_over, share
from superalign.stats.ladder import ERRORS, LEAST, Oracle
from superalign.stats.streams import stream
from superalign.types import Plan, Question, Record, Tier, Unmeasured, Word, digest_of, to_plain
from superalign.vault import Bench, Part
from superalign.vault.desk import Desk, Rules
from superalign.vault.judging import Judge
from superalign.vault.scoring import Scale

Attacker: TypeAlias = Literal["votes of random guesses", "changes of few", "directions", "from tier to tier"]
Asked: TypeAlias = Literal["exact score", "hundredths", "noisy score", "Thresholdout", "vault"]
ATTACKERS: tuple[Attacker, ...] = get_args(Attacker)
ORACLES: tuple[Asked, ...] = get_args(Asked)
WIDTH = 32
SEALED = 6000  # items, ten times the usual number: so that a small gain would be seen
MEMORY = Path("/dev/shm")
BASELINE = "def solve(public, inputs, seed):\n    return inputs['x'][:, 0]\n"
TURNED = """import numpy as np


def solve(public, inputs, seed):
    turned = np.unpackbits(np.frombuffer(bytes.fromhex("{}"), np.uint8))
    return (1.0 - 2.0 * np.resize(turned, len(inputs["x"]))) * inputs["x"][:, 0]
"""
ALONG = """import numpy as np


def solve(public, inputs, seed):
    return inputs["x"] @ np.array({})
"""
Ask: TypeAlias = Callable[[str], float]  # what is said of an artefact on the climb
Confirm: TypeAlias = Callable[[str], bool]  # whether it passed


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack(Record):
    """One attacker before one oracle."""

    attacker: Attacker
    oracle: Asked
    queries: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Record):
    """What an attack seems to have gained over chance, and what of it is true."""

    attack: Attack
    told: float  # by the answers: the best of them
    learned: float  # what the last artefact scores on the climbed items: labels that were read off answers
    sealed: float  # and on the sealed items of the same question
    passed: bool  # its confirmation
    found: bool  # a finding came of it


def attacks(*, seeds: int, queries: int) -> list[Attack]:
    """List every attacker before every oracle, and before the vault also with as few queries as a question grants."""
    pairs = [(o, queries) for o in ORACLES] + [(ORACLES[-1], CLIMBS)]
    return [Attack(attacker=a, oracle=o, queries=n, seed=s) for a in ATTACKERS for o, n in pairs for s in range(seeds)]


def run_attack(attack: Attack) -> Outcome:
    """Let an attacker ask, confirm what it has where there is something to confirm with, and open what passed."""
    rng = stream(attack.seed, "attack", attack.attacker)
    bench = coin_flips(stream(attack.seed, "coin flips"), climbs=attack.queries)
    scales = {t: Scale(metric="share", part=p) for t, p in bench.parts.items()}

    def score(source: str, tier: Tier) -> Float[np.ndarray, " N"]:
        return scales[tier].parts(solver(source)(bench.public, bench.parts[tier].inputs, 0))

    with _before(attack, bench, score) as (ask, confirm, found):
        floor = float(score(BASELINE, "climb").mean())
        told, answers = floor, [0]

        def heard(source: str) -> float:
            nonlocal told
            if answers[0] >= attack.queries:  # a budget ends for every oracle alike
                return told
            answers[0] += 1
            said = ask(source)
            told = max(told, said)
            return said

        last, passed = SCRIPTS[attack.attacker](heard, confirm, rng, attack.queries)
        won = passed and found(last)
    learned, sealed = (float(score(last, tier).mean()) - 0.5 for tier in ("climb", "sealed"))
    return Outcome(attack=attack, told=told - floor, learned=learned, sealed=sealed, passed=passed, found=won)


def summary(ended: Sequence[Outcome]) -> tuple[Attacked, ...]:
    """Summarise the attacks of each attacker before each oracle."""
    keys = dict.fromkeys((e.attack.attacker, e.attack.oracle, e.attack.queries) for e in ended)
    rows = []
    for key in keys:
        some = [e for e in ended if (e.attack.attacker, e.attack.oracle, e.attack.queries) == key]
        attacker, oracle, queries = key
        rows.append(
            Attacked(
                attacker=attacker,
                oracle=oracle,
                queries=queries,
                false=mean_over([e.told - e.sealed for e in some]),
                learned=mean_over([e.learned for e in some]),
                sealed=mean_over([e.sealed for e in some]),
                found=share([e.found for e in some]) if oracle == ORACLES[-1] else Unmeasured("it has no other tier"),
            )
        )
    return tuple(rows)


def coin_flips(rng: np.random.Generator, *, climbs: int, name: str = "coins-00") -> Bench:
    """Make a question of the usual size, but for its sealed tier, whose labels are coin flips."""

    def part(n: int) -> Part:
        return Part(inputs={"x": rng.normal(size=(n, WIDTH)).astype(np.float32)}, truth_NS=rng.integers(0, 2, n))

    question = Question(
        name=name,
        kind="coins",
        asks="Which items have label 1?",
        metric="share",
        arrays=(("x", "features that say nothing"),),
        published="the first feature",
        baseline=BASELINE,
        climbs=climbs,
        tries=TRIES,
    )
    parts: dict[Tier, Part] = {"climb": part(FULL.climb), "confirm": part(FULL.confirm), "sealed": part(SEALED)}
    return Bench(question=question, public={}, parts=parts, twin=True, floor=0.5, ceiling=0.5)


Seam: TypeAlias = tuple[Ask, Confirm, Confirm]  # the last opens the sealed tier, and says whether there is a finding


@contextlib.contextmanager
def _before(attack: Attack, bench: Bench, score: Callable[[str, Tier], np.ndarray]) -> Iterator[Seam]:
    """Give an attacker somebody to ask: an oracle, or a vault."""
    if attack.oracle == ORACLES[-1]:
        with judging(bench) as judge:
            yield through(judge, bench)
        return
    rng, base_N = stream(attack.seed, "oracle"), score(BASELINE, "climb")
    made: Mapping[str, Callable[[], Oracle]] = {
        "exact score": Exact,
        "hundredths": Rounded,
        "noisy score": lambda: Noisy(rng),
        "Thresholdout": lambda: Thresholdout(public=len(base_N) // 2, rng=rng),
    }
    oracle = made[attack.oracle]()

    def ask(source: str) -> float:
        said = oracle.answer(score(source, "climb"))
        return 0.5 if isinstance(said, Unmeasured) else said

    yield ask, lambda _: False, lambda _: False


@contextlib.contextmanager
def judging(bench: Bench) -> Iterator[Judge]:
    """Open a desk and a judge in this process, for sources of our own alone."""
    within = MEMORY if MEMORY.is_dir() else None  # nothing of it is kept, so it need not survive
    with tempfile.TemporaryDirectory(dir=within) as place, Ledger(Path(place) / "ledger") as ledger:
        desk = Desk(ledger, {bench.question.name: bench}, Rules())
        yield Judge(desk=desk, run=run_here, key=Ed25519PrivateKey.generate())


def through(judge: Judge, bench: Bench) -> Seam:
    """Ask, confirm and open as a researcher does: register a plan, hand in the artefact, hear a word."""
    count = iter(range(10**9))

    def ticket(source: str, tier: Tier) -> str:
        plan = Plan(
            question=bench.question.name,
            researcher="attacker",
            hypothesis="labels can be read off answers",
            family="attack",
            predicted=0.5,
            artefact=digest_of(source.encode()),
            tier=tier,
            number=next(count),
        )
        return judge.desk.register(to_plain(plan))

    def word(source: str, tier: Tier) -> tuple[Word, float]:
        answer = judge.submit(ticket(source, tier), "code", source.encode())
        return answer.word, answer.score if isinstance(answer.score, float) else 0.5

    def found(source: str) -> bool:
        finding = judge.reveal(ticket(source, "sealed"))
        return finding is not None and finding.replicated is True

    return lambda s: word(s, "climb")[1], lambda s: word(s, "confirm")[0] == "passed", found


def votes(ask: Ask, confirm: Confirm, rng: np.random.Generator, queries: int) -> tuple[str, bool]:
    """Add up random guesses that are said to be good; where answers repeat, those that raised them."""
    bits_KN = rng.random((queries - 1, FULL.climb)) < 0.5
    said_K = np.array([ask(_turned(b)) for b in bits_KN])
    weights_K = _weights(said_K)
    last = _turned(weights_K @ (2.0 * bits_KN - 1.0) > 0)
    ask(last)
    return last, confirm(last)


def directions(ask: Ask, confirm: Confirm, rng: np.random.Generator, queries: int) -> tuple[str, bool]:
    """Do the same with linear functions of the features, which say something of items that nobody asked about."""
    lines_KD = rng.normal(size=(queries - 1, WIDTH))
    weights_K = _weights(np.array([ask(_along(w)) for w in lines_KD]))
    last = _along(weights_K @ lines_KD)
    ask(last)
    return last, confirm(last)


def changes(ask: Ask, confirm: Confirm, rng: np.random.Generator, queries: int) -> tuple[str, bool]:
    """Compare pairs that differ in few items, and keep the one of which more is said."""
    rungs = _climbed(ask, rng, queries)
    return rungs[-1], confirm(rungs[-1])


def tier_hops(ask: Ask, confirm: Confirm, rng: np.random.Generator, queries: int) -> tuple[str, bool]:
    """Climb, and confirm one rung after another: the word chooses whether to go on, and which rung is claimed."""
    rungs = _climbed(ask, rng, queries)
    for rung in [rungs[int(i)] for i in np.linspace(len(rungs) - 1, 0, min(TRIES, len(rungs)))]:
        if confirm(rung):
            return rung, True
    return rungs[-1], False


SCRIPTS: Mapping[Attacker, Callable[[Ask, Confirm, np.random.Generator, int], tuple[str, bool]]] = {
    "votes of random guesses": votes,
    "changes of few": changes,
    "directions": directions,
    "from tier to tier": tier_hops,
}


def _climbed(ask: Ask, rng: np.random.Generator, queries: int) -> list[str]:
    """Change as many items at a time as climb a Ladder fastest from where one is, and keep what is said to be better."""
    best_N = np.zeros(FULL.climb, bool)  # turned against the baseline: the lowest rung
    top, rungs = ask(_turned(best_N)), [_turned(best_N)]
    for _ in range(queries - 1):
        changed_N = best_N.copy()
        changed_N[rng.choice(FULL.climb, fastest(FULL.climb, round(top, 2)), replace=False)] ^= True
        if (said := ask(_turned(changed_N))) > top:
            best_N, top, rungs = changed_N, said, [*rungs, _turned(changed_N)]
    return rungs


@functools.cache
def fastest(n: int, score: float) -> int:
    """Return how many guesses to change at a time, so that a Ladder is climbed fastest from a score.

    Example:
        >>> fastest(1000, 0.5) > fastest(1000, 0.6) > fastest(1000, 0.8)
        True
    """
    sizes, right = np.arange(1, n // 4)[:, None], np.arange(n // 4)
    net = 2 * right - sizes
    above = net > np.maximum(LEAST * n, ERRORS * np.sqrt(sizes))
    return int((binom.pmf(right, sizes, 1.0 - min(score, 0.99)) * net * above).sum(axis=1).argmax()) + 1


def _weights(said_K: Float[np.ndarray, " K"]) -> Float[np.ndarray, " K"]:
    """Weigh queries by what was said, or, where it never falls, by how much it rose."""
    rises_K = np.diff(said_K, prepend=said_K[:1])
    return rises_K if (rises_K >= 0).all() else said_K - said_K.mean()


def _turned(which_N: np.ndarray) -> str:
    return TURNED.format(np.packbits(which_N).tobytes().hex())


def _along(weights_D: np.ndarray) -> str:
    return ALONG.format(weights_D.tolist())
