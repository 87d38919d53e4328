"""Read pairs of statements and negations in several contexts, fit probes by every method, and test them on three bits.

Shape suffixes: P pairs, N statements of both polarities, L layers, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from sklearn.covariance import LedoitWolf

from superalign import problems
from superalign.interp import (
    contrast_sides,
    discriminant,
    fit_probe,
    mean_difference,
    paired,
    read_out,
    search_contrast,
)
from superalign.kit.evidence import Estimate
from superalign.kit.run import Run
from superalign.lab.labelled_scores import areas_of
from superalign.lab.truth_reading import area, pairs_of, read_files, states_in
from superalign.problems.family import split_of
from superalign.problems.table_family import Row, TableFamily
from superalign.stats import auroc, range_of_draws
from superalign.stats.streams import seed_for, stream
from superalign.studies.belief.evidence import (
    BOTH,
    HONEST,
    INNOCENT,
    LIKELIHOOD,
    LYING,
    OTHERS,
    PLAIN,
    PLANTED,
    RULES,
    SAYS,
    Evidence,
    Layer,
    Oddness,
    Reading,
)
from superalign.studies.belief.study import Config
from superalign.types import Unmeasured

LOGISTIC, MEANS, FISHER, PAIRED = "logistic", "difference in means", "discriminant", "paired differences"
CONTRAST, COMPONENT = "contrast, unsupervised", "first component, unsupervised"
SINGLE = {LOGISTIC: fit_probe, MEANS: mean_difference, FISHER: discriminant}
IN_PAIRS = (PAIRED, CONTRAST, COMPONENT)  # need statements with their negations
BY_RULE = (LOGISTIC, PAIRED)  # tried with every rule of choosing layers
INFORMED = 0.95  # share of the best layer's area beyond chance that the chosen layer, the earliest such one, reaches
RANDOM = 200  # directions
SIDES = ("plain", "negated")
COMPONENTS = 32  # in which distances are measured


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """One topic in one context: statements, and their negations in the same order."""

    question_P: np.ndarray
    true_P: Bool[np.ndarray, " P"]  # of the statements
    test_P: Bool[np.ndarray, " P"]
    states_2PLD: Float[np.ndarray, "2 P L D"]
    likelihood_2P: Float[np.ndarray, "2 P"]
    says_2P: Float[np.ndarray, "2 P"]
    layers: tuple[str, ...]

    def some(self, test: bool) -> np.ndarray:
        """Return the numbers of the test pairs, or of the training pairs."""
        return np.flatnonzero(self.test_P == test)


def measure(config: Config, run: Run) -> Evidence:
    """Read every context, then fit on what was asked plainly, and test everywhere."""
    family = problems.named(config.problems)
    assert isinstance(family, TableFamily)
    chosen = {t: pairs_of(family, t, n=config.pairs, seed=run.seed) for t in config.topics}
    fronts = {HONEST: "", LYING: config.lie, INNOCENT: config.innocent}
    total = sum(map(len, chosen.values()))
    run.stage(f"reading {total} statements with their negations in {len(fronts) + bool(config.liar)} contexts")
    read = {name: read_pairs(chosen, name, front, config.policy, config, run) for name, front in fronts.items()}
    if config.liar:
        read[PLANTED] = read_pairs(chosen, PLANTED, "", config.liar, config, run)
    run.stage("fitting probes by every method, and testing them")
    readings = [r for topic in config.topics for r in readings_of(topic, read, seed=run.seed)]
    return Evidence(
        policy=config.policy,
        topics=config.topics,
        pairs=total,
        contexts=tuple(read),
        methods=(*SINGLE, *IN_PAIRS),
        readings=tuple(readings),
        layers=tuple(layer for name, pairs in read.items() for layer in layers_of(name, list(pairs.values()))),
        odd=tuple(oddness(t, name, read, seed=run.seed) for t in config.topics for name in read if name != HONEST),
    )


def read_pairs(
    chosen: Mapping[str, Sequence[tuple[Row, Row]]], name: str, front: str, policy: str, config: Config, run: Run
) -> dict[str, Pairs]:
    """Let a model read all pairs in one context."""
    slug = name.replace(" ", "-")
    sets = {(t, side, slug): [p[k] for p in pairs] for t, pairs in chosen.items() for k, side in enumerate(SIDES)}
    found = read_files(sets, policy=policy, every=config.every, run=run, context=front)
    out = {}
    for topic, pairs in chosen.items():
        both = [found[key] for key in sets if key[0] == topic]
        out[topic] = Pairs(
            question_P=np.array([p.question for p, _ in pairs]),
            true_P=np.array([p.right == "True" for p, _ in pairs]),
            test_P=np.array([split_of(p.question) == "test" for p, _ in pairs]),
            states_2PLD=np.stack([states_in(Path(file), s) for file, s in both]),
            likelihood_2P=np.array([s.likelihood for _, s in both]),
            says_2P=np.array([s.says for _, s in both]),
            layers=both[0][1].layers,
        )
    return out


def readings_of(topic: str, read: Mapping[str, Mapping[str, Pairs]], *, seed: int) -> list[Reading]:
    """Fit every method on what was asked plainly, of the topic and of all others, and test it in every context."""
    honest = read[HONEST]
    sources: dict[str, list[Pairs]] = {
        PLAIN: [honest[topic]],
        BOTH: [honest[topic]],
        OTHERS: [p for t, p in honest.items() if t != topic],
    }
    out = []
    for name, contexts in read.items():
        tested = contexts[topic]
        held = Tested(topic=topic, context=name, pairs=tested, seed=seed)
        for what, x_2P in ((SAYS, tested.says_2P), (LIKELIHOOD, tested.likelihood_2P)):
            out.append(held.reading(what, "", "", x_2P[:, held.rows].ravel(), Unmeasured("no direction")))
        for trained, some in sources.items():
            for rule, layers in layers_by_rule(some, trained).items():
                chance = random_directions(tested, held.rows, layers, stream(seed, "directions", topic, name, trained))
                at = tested.layers[layers[0]] if len(layers) == 1 else "all"
                for method in BY_RULE if rule else (*SINGLE, *(IN_PAIRS if trained != PLAIN else ())):
                    each = [scores(method, trained, some, tested, held.rows, layer).ravel() for layer in layers]
                    out.append(
                        held.reading(method + rule, trained, at, np.mean(standard(np.array(each)), axis=0), chance)
                    )
    return out


def layers_by_rule(sources: Sequence[Pairs], trained: str) -> dict[str, Sequence[int]]:
    """Choose layers by training pairs alone: the earliest informed one; of both polarities also the best one, and all."""
    found: dict[str, Sequence[int]] = {"": [informed_layer(sources, trained)]}
    if trained == BOTH:
        areas_L = held_out_areas(sources, 2)
        found |= zip(RULES, ([int(np.argmax(areas_L))], range(len(areas_L))), strict=True)
    return found


def standard(scores_KN: Float[np.ndarray, "K N"]) -> Float[np.ndarray, "K N"]:
    """Scale the scores of each layer, or direction, to one spread, so that all count alike in a mean."""
    return (scores_KN - scores_KN.mean(1, keepdims=True)) / (scores_KN.std(1, keepdims=True) + 1e-6)


class Tested:
    """Test pairs of one topic in one context, and what a probe reads there that was fitted to it: the ceiling."""

    def __init__(self, *, topic: str, context: str, pairs: Pairs, seed: int) -> None:
        """Fit the ceiling."""
        self.topic, self.context, self.pairs, self.seed = topic, context, pairs, seed
        self.rows = pairs.some(test=True)
        self.own_2P = scores(LOGISTIC, BOTH, [pairs], pairs, self.rows, informed_layer([pairs], BOTH))

    def reading(self, method: str, trained: str, layer: str, score_N: np.ndarray, chance: Estimate) -> Reading:
        """Hold scores against the three bits."""
        own_N, says_N = (x.ravel() for x in (self.own_2P, self.pairs.says_2P[:, self.rows]))
        true_P, questions = self.pairs.true_P[self.rows], np.tile(self.pairs.question_P[self.rows], 2)
        true_N, goes_N = np.concatenate([true_P, ~true_P]), np.tile(true_P, 2)
        seed = seed_for(self.seed, "recovered", self.topic, self.context)
        areas = areas_of({SAYS: says_N, "it": score_N, "own": own_N}, true_N, questions, seed=seed)

        def against(bit_N: np.ndarray) -> Estimate:
            return area(score_N, bit_N, questions.tolist(), seed=self.seed)

        return Reading(
            method=method,
            trained=trained,
            topic=self.topic,
            context=self.context,
            layer=layer,
            truth=against(true_N),
            together=against(goes_N),
            says=Unmeasured("it is what it says") if method == SAYS else against(says_N > np.median(says_N)),
            recovered=areas.of_way("it", start=SAYS, end="own"),
            chance=chance,
        )


def scores(
    method: str, trained: str, sources: Sequence[Pairs], tested: Pairs, rows: np.ndarray, layer: int
) -> Float[np.ndarray, "2 P"]:
    """Fit a method on the training pairs of some topics at one layer, and score some pairs of another."""
    x_2PD = np.concatenate([s.states_2PLD[:, s.some(test=False), layer] for s in sources], axis=1)
    true_P = np.concatenate([s.true_P[s.some(test=False)] for s in sources])
    at_2PD = tested.states_2PLD[:, rows, layer]
    if method in (*SINGLE, PAIRED):
        sides = 1 if trained == PLAIN else 2
        x_ND, y_N = np.concatenate(x_2PD[:sides]), np.concatenate([true_P, ~true_P][:sides])
        probe = paired(x_2PD[0], x_2PD[1], true_P) if method == PAIRED else SINGLE[method](x_ND, y_N)
        return np.stack([read_out(probe, x_PD) for x_PD in at_2PD])
    found = search_contrast(x_2PD[0], x_2PD[1], starts=5)
    if method == COMPONENT:
        apart_PD = found.plus.apply(x_2PD[0]) - found.minus.apply(x_2PD[1])
        found = replace(found, weight_D=np.linalg.svd(apart_PD, full_matrices=False)[2][0], bias=0.0)
    up_P, down_P = contrast_sides(found, x_2PD[0], x_2PD[1])
    right = np.mean((up_P > down_P) == true_P)  # the one bit of truth: which way is up
    return np.stack(contrast_sides(found, at_2PD[0], at_2PD[1])) * (1.0 if right >= 0.5 else -1.0)


def informed_layer(sources: Sequence[Pairs], trained: str) -> int:
    """Choose the earliest layer that reaches nearly all that any reaches on a third of the training pairs."""
    reached = held_out_areas(sources, 1 if trained == PLAIN else 2) - 0.5
    return int(np.argmax(reached >= INFORMED * reached.max())) if reached.max() > 0 else int(np.argmax(reached))


def held_out_areas(sources: Sequence[Pairs], sides: int) -> Float[np.ndarray, " L"]:
    """Measure how well a logistic probe of two thirds of the training pairs reads the others, at each layer."""
    x_2PLD = np.concatenate([s.states_2PLD[:sides, s.some(test=False)] for s in sources], axis=1)
    true_P = np.concatenate([s.true_P[s.some(test=False)] for s in sources])
    held_P = np.arange(len(true_P)) % 3 == 0
    y_2P = np.stack([true_P, ~true_P])[:sides]
    out = []
    for layer in range(x_2PLD.shape[2]):
        x_2PD = x_2PLD[:, :, layer]
        probe = fit_probe(x_2PD[:, ~held_P].reshape(-1, x_2PD.shape[-1]), y_2P[:, ~held_P].ravel())
        scored_N, y_N = read_out(probe, x_2PD[:, held_P].reshape(-1, x_2PD.shape[-1])), y_2P[:, held_P].ravel()
        found = auroc(scored_N[y_N], negatives=scored_N[~y_N])
        out.append(found if isinstance(found, float) else 0.5)
    return np.array(out)


def random_directions(tested: Pairs, rows: np.ndarray, layers: Sequence[int], rng: np.random.Generator) -> Estimate:
    """Measure between which areas 95 % of random directions lie, one at each layer, against the truth of the test pairs."""
    true_N = np.concatenate([tested.true_P[rows], ~tested.true_P[rows]])
    scored_KN = np.zeros((RANDOM, len(true_N)))
    for layer in layers:
        x_DN = standard(np.concatenate(tested.states_2PLD[:, rows, layer]).T)
        scored_KN += standard(rng.normal(size=(RANDOM, len(x_DN))) @ x_DN)
    return range_of_draws(np.array([auroc(s[true_N], negatives=s[~true_N]) for s in scored_KN]), n=len(true_N))


def layers_of(context: str, topics: Sequence[Pairs]) -> list[Layer]:
    """Say at which layers the truth of a topic can be read, by a probe of that context."""
    mean_L = np.mean([held_out_areas([pairs], 2) for pairs in topics], axis=0)
    return [Layer(layer=name, context=context, area=float(x)) for name, x in zip(topics[0].layers, mean_L, strict=True)]


def oddness(topic: str, context: str, read: Mapping[str, Mapping[str, Pairs]], *, seed: int) -> Oddness:
    """Measure how well the distance from what was asked plainly tells test statements of a context from plain ones."""
    honest, other = read[HONEST][topic], read[context][topic]
    layer = informed_layer([honest], BOTH)
    train, test = honest.some(test=False), honest.some(test=True)
    x_ND = np.concatenate(honest.states_2PLD[:, train, layer])
    mean_D = x_ND.mean(0)
    axes_DK = np.linalg.svd(x_ND - mean_D, full_matrices=False)[2][:COMPONENTS].T
    fitted = LedoitWolf().fit((x_ND - mean_D) @ axes_DK)
    far = [
        fitted.mahalanobis((np.concatenate(p.states_2PLD[:, test, layer]) - mean_D) @ axes_DK) for p in (other, honest)
    ]
    odd_N = np.repeat([True, False], len(far[0]))
    questions = np.tile(honest.question_P[test], 4)
    return Oddness(topic=topic, context=context, area=area(np.concatenate(far), odd_N, questions.tolist(), seed=seed))
