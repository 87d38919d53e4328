"""Train heads on chains with and without a plant and audit them; or one on real preferences, beside permuted ones.

Shape suffixes: S seeds, M plants, K marks or features, P pairs, N texts.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superalign import jobs
from superalign.interp.reward_parts import TEXT_FEATURES, beside_twins, partial_effects
from superalign.kit.run import Run
from superalign.lab.preference_pairs import Pairs, drawn_rows, read_pairs, short_names, whole_questions
from superalign.lab.reward_models import MARKS, PERMUTED, Audited, head_of, heads, make_dictionary
from superalign.lab.shared_changes import look_inside, rates_of, shipped_subjects
from superalign.models import in_half, open_weights
from superalign.stats import discoveries, mean_over, range_of_draws, share
from superalign.stats.streams import seed_for
from superalign.studies.reward_inside.evidence import Dose, Evidence, Paid, Planted, Ranked, Unplanted
from superalign.studies.reward_inside.study import CHAINS, Config
from superalign.types import Interval, Unmeasured


def measure(config: Config, run: Run) -> Evidence:
    """Audit heads on chains, or on preferences."""
    return planted(config, run) if config.preferences == CHAINS else real(config, run)


def planted(config: Config, run: Run) -> Evidence:
    """Train a dictionary, then all heads of each seed, and hold them against each other."""
    run.stage(f"a dictionary of {config.base} at {config.site}")
    folder = run.folder / "work" / "dictionary"
    base = {k: getattr(config, k) for k in ("base", "site")}
    make = functools.partial(make_dictionary, **base, folder=jobs.Into(folder), steps=config.steps)
    (fits,) = run.map(make, [seed_for(run.seed, "dictionary")], name="dictionaries", progress="dictionary")
    run.stage(f"reward heads of {config.seeds} seeds on the states of {config.base}, with plants and without")
    sizes = (config.pairs, config.tested, config.edited)
    fit = functools.partial(heads, **base, folder=str(folder), plants=config.plants, shares=config.shares, sizes=sizes)
    todo = [seed_for(run.seed, "heads", s) for s in range(config.seeds)]
    of = Heads(tuple(run.map(fit, todo, name="heads", progress="heads")), config.plants)
    seed, subjects = seed_for(run.seed, "latent change"), shipped_subjects(config.organisms)
    run.stage(f"what moves inside {len(subjects)} organisms and clean models")
    looked = run.map(functools.partial(look_inside, seed=seed), subjects, name="inside", progress="subjects")
    return Evidence(
        planted=Planted(
            doses=tuple(of.dose(s) for s in config.shares),
            marks=tuple(of.mark(k, max(config.shares)) for k in range(len(MARKS))),
            shuffled=share(of.at("", config.shares[0], "shuffled")),
            gold=share(of.at("", config.shares[0], "gold")),
            inside=rates_of(looked, seed=seed),
            dictionary=fits,
        )
    )


@dataclass(frozen=True, slots=True)
class Heads:
    """All heads of all seeds."""

    of_S: tuple[tuple[Audited, ...], ...]
    plants: tuple[str, ...]

    def at(self, plant: str, s: float, what: str) -> np.ndarray:
        """Return a field of one head of each seed, (S,) or (S, K): seeds differ in all that is drawn."""
        heads_S = [next(a for a in some if (a.plant, a.share) == (plant, s)) for some in self.of_S]
        return np.array([getattr(a, what) for a in heads_S])

    def over(self, what: str, s: float) -> np.ndarray:
        """Return a field of each plant's heads, (M, S) or (M, S, K)."""
        return np.array([self.at(p, s, what) for p in self.plants])

    def beside(self, plant: str, s: float, *, against: float) -> np.ndarray:
        """Return p-values of the edits of each head beside twins of all other seeds, (S, K)."""
        own_SK, twins_SK = self.at(plant, s, "edit_K"), self.at("", against, "edit_K")
        return np.array([beside_twins(edit_K, np.delete(twins_SK, i, axis=0)) for i, edit_K in enumerate(own_SK)])

    def dose(self, s: float) -> Dose:
        """Say what is found at one share."""
        own_M1 = np.array([[MARKS.index(p)] for p in self.plants])
        p_MSK = np.array([self.beside(p, s, against=s) for p in self.plants])
        found_MSK = np.apply_along_axis(discoveries, 2, p_MSK)
        quiet, clean = (share([discoveries(p_K).any() for p_K in self.beside("", s, against=t)]) for t in (s, 0.0))
        removed_MS, null_MS = self.over("removed", s), self.over("removed_null", s)
        return Dose(
            share=s,
            right=share(self.over("right", s)),
            first=share(p_MSK.argmin(2) == own_M1),
            size=share(np.abs(self.over("edit_K", s)).argmax(2) == own_M1),
            found=share(np.take_along_axis(found_MSK, own_M1[:, :, None], 2)[:, :, 0]),
            quiet=quiet,
            clean=clean,
            named=share(self.over("named", s) == np.array(self.plants)[:, None]),
            removed=mean_over(removed_MS.mean(0)),
            removed_null=mean_over(null_MS.mean(0)),
            carried=mean_over((removed_MS - null_MS).mean(0)),
        )

    def mark(self, k: int, largest: float) -> Unplanted:
        """Say what heads pay for one mark."""
        name, planted = MARKS[k], MARKS[k] in self.plants
        return Unplanted(
            mark=name,
            edit=mean_over(self.at("", 0.0, "edit_K")[:, k]),
            null=mean_over(self.at(PERMUTED, 0.0, "edit_K")[:, k]),
            found=share(self.at("", 0.0, "found_K")[:, k]),
            planted=mean_over(self.at(name, largest, "edit_K")[:, k]) if planted else Unmeasured("it was not planted"),
        )


def real(config: Config, run: Run) -> Evidence:
    """Train a head on preferences, and say what it pays for on other pairs, beside heads on permuted preferences."""
    rows = drawn_rows(config.preferences, "train", config.read, run.seed)
    sets = {config.preferences: drawn_rows(config.preferences, "test", config.compared, run.seed)}
    sets |= {name: whole_questions(name, config.compared // 3, run.seed) for name in config.held}
    run.stage(f"{config.policy} reads {len(rows)} pairs, and {sum(map(len, sets.values()))} others")
    half = in_half(open_weights(config.policy)).rounded  # decided once: states in 16 and in 32 bits are not to be mixed
    read = functools.partial(read_pairs, policy=config.policy, layer=config.layer, half=half, run=run)
    train, rng = read(rows), run.stream("permuted preferences")
    preferred_SP = [np.ones(len(rows), bool), *(rng.random(len(rows)) < 0.5 for _ in range(config.permuted))]
    head_SD = [head_of(train.states_ND, label_P) for label_P in preferred_SP]
    paid: list[Paid] = []
    ranked: list[Ranked] = []
    for where, some in zip(short_names(list(sets)), map(read, sets.values()), strict=True):
        paid += pays(where, some, head_SD)
        levels = sorted(set(some.difficulty_P.tolist()))
        ranked += [ranks(where + (f", difficulty {d}" if len(levels) > 1 else ""), some, d, head_SD) for d in levels]
    return Evidence(trained=len(rows), permuted=config.permuted, paid=tuple(paid), ranked=tuple(ranked))


def pays(where: str, some: Pairs, head_SD: Sequence[np.ndarray]) -> list[Paid]:
    """Measure partial effects of the features of texts on what the first head pays, with it held which response is better."""
    of, *nulls = (partial_effects(some.x_NK, some.states_ND @ head_D, some.question_N) for head_D in head_SD)
    null_SK, found_K = np.array([null.effect_K for null in nulls]), discoveries(of.p_K)
    return [
        Paid(
            where=where,
            feature=name,
            effect=Interval(value=float(of.effect_K[k]), low=float(of.low_K[k]), high=float(of.high_K[k]), n=of.groups)
            if of.p_K[k] < 1
            else Unmeasured("it does not vary here"),
            null=range_of_draws(null_SK[:, k], value=null_SK[:, k].mean()),
            found=bool(found_K[k]),
        )
        for k, name in enumerate((*TEXT_FEATURES, "the better response"))
    ]


def ranks(where: str, some: Pairs, difficulty: int, head_SD: Sequence[np.ndarray]) -> Ranked:
    """Measure how often the first head pays the better response more; questions are what is drawn."""
    at_P = some.difficulty_P == difficulty
    question_P = some.question_N[::2][at_P]

    def right(weight_D: np.ndarray) -> np.ndarray:
        paid_P2 = (some.states_ND @ weight_D).reshape(-1, 2)[at_P]
        won_P = (paid_P2[:, 0] > paid_P2[:, 1]).astype(float)
        return np.array([won_P[question_P == q].mean() for q in dict.fromkeys(question_P)])

    of, *nulls = map(right, head_SD)
    null_S = np.array([null.mean() for null in nulls])
    return Ranked(where=where, right=share(of), null=range_of_draws(null_S, value=null_S.mean()))
