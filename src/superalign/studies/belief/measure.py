"""Read pairs of statements and negations in several contexts, fit probes by every method, and test them on three bits.

Shape suffixes: P pairs, S their sides (1 of statements alone, 2 with negations), N of all sides, L layers, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from sklearn.covariance import LedoitWolf

from superalign import interp, problems
from superalign.interp import fit_probe, read_out
from superalign.kit.evidence import Estimate
from superalign.kit.run import Run
from superalign.lab.labelled_scores import areas_of
from superalign.lab.truth_reading import area, pairs_of, read_files, states_in
from superalign.problems.family import split_of
from superalign.problems.table_family import Row, TableFamily
from superalign.stats import auroc_or_half, range_of_draws
from superalign.stats.streams import seed_for, stream
from superalign.studies.belief.evidence import LIKELY, RULES, SAYS, Context, Evidence, Layer, Oddness, Reading, Trained
from superalign.studies.belief.study import Config
from superalign.types import Unmeasured

LOGISTIC, MEANS, FISHER, PAIRED = "logistic", "difference in means", "discriminant", "paired differences"
CONTRAST, COMPONENT = "contrast, unsupervised", "first component, unsupervised"
SINGLE = {LOGISTIC: fit_probe, MEANS: interp.mean_difference, FISHER: interp.discriminant}
IN_PAIRS = (PAIRED, CONTRAST, COMPONENT)  # need statements with their negations
BY_RULE = (LOGISTIC, PAIRED)  # tried with every rule of choosing layers
INFORMED = 0.95  # share of the best layer's area beyond chance that the chosen layer, the earliest such one, reaches
RANDOM = 200  # directions
SIDES = ("plain", "negated")
COMPONENTS = 32  # in which distances are measured


class Known(NamedTuple):
    """Statements that are known to be true or false: plain ones alone, or on a second side their negations."""

    states_SPLD: Float[np.ndarray, "S P L D"]
    true_SP: Bool[np.ndarray, "S P"]


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

    def known(self, *, test: bool, sides: int = 2) -> Known:
        """Return the test pairs, or the training pairs; of one side, the statements alone."""
        rows_P = self.test_P == test
        return Known(self.states_2PLD[:sides, rows_P], np.stack([self.true_P, ~self.true_P])[:sides, rows_P])


def measure(config: Config, run: Run) -> Evidence:
    """Read every context, then fit on what was asked plainly, and test everywhere."""
    family = problems.named(config.problems)
    assert isinstance(family, TableFamily)
    chosen = {t: pairs_of(family, t, n=config.pairs, seed=run.seed) for t in config.topics}
    fronts = {Context.HONEST: "", Context.LYING: config.lie, Context.INNOCENT: config.innocent}
    total = sum(map(len, chosen.values()))
    run.stage(f"reading {total} statements with their negations in {len(fronts) + bool(config.liar)} contexts")
    read = {name: read_pairs(chosen, name, front, config.policy, config, run) for name, front in fronts.items()}
    if config.liar:
        read[Context.PLANTED] = read_pairs(chosen, Context.PLANTED, "", config.liar, config, run)
    run.stage("fitting probes by every method, and testing them")
    readings = [r for topic in config.topics for r in readings_of(topic, read, seed=run.seed)]
    return Evidence(
        policy=config.policy,
        contexts=tuple(read),
        methods=(*SINGLE, *IN_PAIRS),
        readings=tuple(readings),
        layers=tuple(layer for name, pairs in read.items() for layer in layers_of(name, list(pairs.values()))),
        odd=tuple(
            oddness(t, name, read, seed=run.seed) for t in config.topics for name in read if name != Context.HONEST
        ),
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


def readings_of(topic: str, read: Mapping[Context, Mapping[str, Pairs]], *, seed: int) -> list[Reading]:
    """Fit every method on what was asked plainly, of the topic and of all others, and test it in every context."""
    honest = {t: pairs.known(test=False) for t, pairs in read[Context.HONEST].items()}
    others = zip(*(known for t, known in honest.items() if t != topic), strict=True)
    sources = {
        Trained.PLAIN: read[Context.HONEST][topic].known(test=False, sides=1),
        Trained.BOTH: honest[topic],
        Trained.OTHERS: Known(*(np.concatenate(arrays, axis=1) for arrays in others)),
    }
    return [r for context, pairs in read.items() for r in readings_in(context, topic, pairs[topic], sources, seed)]


def readings_in(context: str, topic: str, pairs: Pairs, sources: Mapping[Trained, Known], seed: int) -> list[Reading]:
    """Hold test pairs in one context, by every method, against the three bits and a probe that was fitted in that context."""
    test, own = pairs.known(test=True), pairs.known(test=False)
    own_N = scores(LOGISTIC, own, test, informed_layer(held_out_areas(own))).ravel()
    true_N, says_N = test.true_SP.ravel(), pairs.says_2P[:, pairs.test_P].ravel()
    questions = np.tile(pairs.question_P[pairs.test_P], 2)

    def held(x_N: np.ndarray, chance: Estimate, method: str, trained: str = "", layer: str = "") -> Reading:
        ends, own_seed = {SAYS: says_N, "it": x_N, "own": own_N}, seed_for(seed, "recovered", topic, context)
        areas = areas_of(ends, true_N, questions, seed=own_seed)
        goes_N, said_N = np.tile(test.true_SP[0], 2), says_N > np.median(says_N)
        truth, together, says = (area(x_N, bit, questions.tolist(), seed=seed) for bit in (true_N, goes_N, said_N))
        return Reading(
            context=context,
            method=method,
            trained=trained,
            topic=topic,
            layer=layer,
            truth=truth,
            together=together,
            says=Unmeasured("it is what it says") if method == SAYS else says,
            recovered=areas.of_way("it", start=SAYS, end="own"),
            chance=chance,
        )

    none, likely_N = Unmeasured("no direction"), pairs.likelihood_2P[:, pairs.test_P].ravel()
    out = [held(says_N, none, SAYS), held(likely_N, none, LIKELY)]
    for trained, known in sources.items():
        for rule, layers in layers_by_rule(known, trained).items():
            chance = random_directions(test, layers, stream(seed, "directions", topic, context, trained))
            at = pairs.layers[layers[0]] if len(layers) == 1 else "all"
            for method in BY_RULE if rule else (*SINGLE, *(IN_PAIRS if trained != Trained.PLAIN else ())):
                each = standard(np.array([scores(method, known, test, layer).ravel() for layer in layers]))
                out.append(held(each.mean(0), chance, method + rule, trained, at))
    return out


def layers_by_rule(known: Known, trained: str) -> dict[str, Sequence[int]]:
    """Choose layers by training pairs alone: the earliest informed one; of both polarities also the best one, and all."""
    areas_L = held_out_areas(known)
    found: dict[str, Sequence[int]] = {"": [informed_layer(areas_L)]}
    if trained == Trained.BOTH:
        found |= zip(RULES, ([int(np.argmax(areas_L))], range(len(areas_L))), strict=True)
    return found


def standard(scores_KN: Float[np.ndarray, "K N"]) -> Float[np.ndarray, "K N"]:
    """Scale the scores of each layer, or direction, to one spread, so that all count alike in a mean."""
    return (scores_KN - scores_KN.mean(1, keepdims=True)) / (scores_KN.std(1, keepdims=True) + 1e-6)


def scores(method: str, known: Known, test: Known, layer: int) -> Float[np.ndarray, "2 P"]:
    """Fit a method on some statements at one layer, and score test pairs."""
    x_SPD, at_2PD, true_P = known.states_SPLD[:, :, layer], test.states_SPLD[:, :, layer], known.true_SP[0]
    if method in (*SINGLE, PAIRED):
        one_by_one = (np.concatenate(x_SPD), known.true_SP.ravel())
        probe = interp.paired(x_SPD[0], x_SPD[1], true_P) if method == PAIRED else SINGLE[method](*one_by_one)
        return np.stack([read_out(probe, x_PD) for x_PD in at_2PD])
    found = interp.search_contrast(x_SPD[0], x_SPD[1], starts=5)
    if method == COMPONENT:
        apart_PD = found.plus.apply(x_SPD[0]) - found.minus.apply(x_SPD[1])
        found = replace(found, weight_D=np.linalg.svd(apart_PD, full_matrices=False)[2][0], bias=0.0)
    up_P, down_P = interp.contrast_sides(found, x_SPD[0], x_SPD[1])
    right = np.mean((up_P > down_P) == true_P)  # the one bit of truth: which way is up
    return np.stack(interp.contrast_sides(found, at_2PD[0], at_2PD[1])) * (1.0 if right >= 0.5 else -1.0)


def informed_layer(areas_L: Float[np.ndarray, " L"]) -> int:
    """Choose the earliest layer that reaches nearly all beyond chance that any reaches."""
    reached = areas_L - 0.5
    return int(np.argmax(reached >= INFORMED * reached.max())) if reached.max() > 0 else int(np.argmax(reached))


def held_out_areas(known: Known) -> Float[np.ndarray, " L"]:
    """Measure how well a logistic probe of two thirds of some pairs reads the others, at each layer."""
    held_P = np.arange(known.true_SP.shape[1]) % 3 == 0
    out = []
    for layer in range(known.states_SPLD.shape[2]):
        x_SPD = known.states_SPLD[:, :, layer]
        probe = fit_probe(np.concatenate(x_SPD[:, ~held_P]), known.true_SP[:, ~held_P].ravel())
        out.append(auroc_or_half(read_out(probe, np.concatenate(x_SPD[:, held_P])), known.true_SP[:, held_P].ravel()))
    return np.array(out)


def random_directions(test: Known, layers: Sequence[int], rng: np.random.Generator) -> Estimate:
    """Measure between which areas 95 % of random directions lie, one at each layer, against the truth of the test pairs."""
    true_N = test.true_SP.ravel()
    scored_KN = np.zeros((RANDOM, len(true_N)))
    for layer in layers:
        x_DN = standard(np.concatenate(test.states_SPLD[:, :, layer]).T)
        scored_KN += standard(rng.normal(size=(RANDOM, len(x_DN))) @ x_DN)
    return range_of_draws(np.array([auroc_or_half(s, true_N) for s in scored_KN]), n=len(true_N))


def layers_of(context: str, topics: Sequence[Pairs]) -> list[Layer]:
    """Say at which layers the truth of a topic can be read, by a probe of that context."""
    mean_L = np.mean([held_out_areas(pairs.known(test=False)) for pairs in topics], axis=0).tolist()
    names = [int(name.rpartition(".")[2]) for name in topics[0].layers]
    return [Layer(layer=layer, context=context, area=x) for layer, x in zip(names, mean_L, strict=True)]


def oddness(topic: str, context: Context, read: Mapping[Context, Mapping[str, Pairs]], *, seed: int) -> Oddness:
    """Measure how well the distance from what was asked plainly tells test statements of a context from plain ones."""
    honest, other = read[Context.HONEST][topic], read[context][topic]
    known = honest.known(test=False)
    layer = informed_layer(held_out_areas(known))
    x_ND = np.concatenate(known.states_SPLD[:, :, layer])
    mean_D = x_ND.mean(0)
    axes_DK = np.linalg.svd(x_ND - mean_D, full_matrices=False)[2][:COMPONENTS].T
    fitted = LedoitWolf().fit((x_ND - mean_D) @ axes_DK)
    tested = [np.concatenate(p.known(test=True).states_SPLD[:, :, layer]) for p in (other, honest)]
    far_N = np.concatenate([fitted.mahalanobis((at_ND - mean_D) @ axes_DK) for at_ND in tested])
    odd_N = np.repeat([True, False], len(tested[0]))
    questions = np.tile(honest.question_P[honest.test_P], 4).tolist()
    return Oddness(topic=topic, context=context, area=area(far_N, odd_N, questions, seed=seed))
