"""Score methods against compiled circuits; rank the components of real models, and test what a circuit keeps of the behaviour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from superalign.interp import edges, patching, ranking
from superalign.interp.patching import Fill, Pairs
from superalign.kit.evidence import Array, Estimate, curve_of
from superalign.kit.run import Run
from superalign.lab.circuit_inputs import inputs
from superalign.lab.compiled_programs import PROGRAMS
from superalign.lab.known_circuits import CompiledJob, Scores, compiled
from superalign.models import open_weights
from superalign.stats import mean_over, prediction_interval, share
from superalign.stats.streams import seed_for, stream
from superalign.studies.circuits.evidence import METHODS, PARTS, VARIANTS, Circuit, Evidence, Found, Gradients
from superalign.studies.circuits.study import Config
from superalign.types import Record, Unmeasured

SHARES = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
AT_ONCE = 40  # components of one job
TOP = 40  # edges whose gradient is held against exact patching
GOOD = 0.95  # an area below this is a failure that should be declared
FILLS: tuple[Fill, ...] = ("resample", "mean", "zero")
# Of each model a method's effects, exact ones, and what corruption changes.
Known: TypeAlias = Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelJob(Record):
    """One real model, its pairs, and what is asked of it."""

    policy: str
    pairs: str
    train: int
    test: int
    seed: int
    steps: int
    recheck: int
    names: tuple[str, ...] = ()  # components to patch, or a ranking
    sizes: tuple[int, ...] = ()
    fill: Fill = "resample"

    def opened(self, split: str) -> tuple[patching.Network, Pairs]:
        """Open the model with its pairs of one split."""
        model, n = open_weights(self.policy), self.train if split == "train" else self.test
        pairs = inputs(model, self.pairs, split=split, n=n, seed=self.seed)
        return model.network.requires_grad_(False), pairs


def effects(job: ModelJob) -> Array:
    """Patch some components exactly, one by one, on training pairs: (C, B)."""
    return patching.exact_effects(*job.opened("train"), job.names)


def gradients(job: ModelJob) -> Gradients:
    """Attribute to components and edges by gradient; patch the largest edges, and what is called zero, exactly."""
    network, pairs = job.opened("train")
    atp_CB, ig_CB = (patching.gradient_effects(network, pairs, steps=s).sum(-1) for s in (0, job.steps))
    some, rng = edges.edges(network), stream(job.seed, "recheck")
    found = ranking.rank_edges(network, pairs, check=job.recheck, rng=rng)
    top = [some[i] for i in np.argsort([-s for s in found.scores], kind="stable")[:TOP]]
    exact_EB, atp_EB = edges.exact_edges(network, pairs, top), edges.gradient_edges(network, pairs, top)
    change_B = patching.changed_by_corruption(network, pairs)
    recheck = {"zero": found.called_zero, "checked": found.checked, "missed": found.missed, "joint": found.joint}
    whole = {"atp_CB": atp_CB, "ig_CB": ig_CB, "change_B": change_B, "top_atp_EB": atp_EB, "top_exact_EB": exact_EB}
    return Gradients(**whole, edges=len(some), **recheck)  # type: ignore[arg-type]


def kept(job: ModelJob) -> Array:
    """Keep the first so many components of a ranking alone, and all others alone, on test pairs: metrics (2, K, B)."""
    network, pairs = job.opened("test")
    fill = patching.fills(network, pairs, job.fill, over=job.opened("train")[1])
    alone = [[job.names[:k] for k in job.sizes], [job.names[k:] for k in job.sizes]]
    return np.array([[patching.kept_alone(network, pairs, c, fill) for c in some] for some in alone])


def measure(config: Config, run: Run) -> Evidence:
    """Score methods on compiled models unless a model is given; then look at that one, or at the bundled bases."""
    variants = [v for v in VARIANTS if not config.policy and (config.leak or "noisy" not in v)]
    keys = [(v, p, seed_for(run.seed, "layout", s)) for v in variants for p in PROGRAMS for s in range(config.seeds)]
    same = {k: getattr(config, k) for k in ("leak", "inputs", "steps", "recheck")}
    todo = [CompiledJob(program=p, variant=v, seed=s, **same) for v, p, s in keys]
    run.stage(f"{len(todo)} compiled models, whose circuits are known")
    done = run.map(compiled, todo, name="compiled")
    of = {v: [d for d, k in zip(done, keys, strict=True) if k[0] == v] for v in variants}
    found = [
        found_by(v, m, p, some, config.seeds) for v, some in of.items() for p in (0, 1) for m in range(len(METHODS))
    ]
    right = tuple((v, share([d.right for d in some])) for v, some in of.items())
    return real(config, run, tuple(found), right)


def found_by(variant: str, method: int, part: int, models: Sequence[Scores], seeds: int) -> Found:
    """Average one method over compiled models: these programs, in layouts that are drawn."""
    area_N, chance_N = (np.array([d.area_M2[m, part] for d in models], float) for m in (method, -1))
    blind_N = np.array([d.blind_M2[method, part] for d in models], bool)
    rows = tuple(mean_over(row_S, span=(0.0, 1.0)) for row_S in area_N.reshape(-1, seeds))
    area, null, declared, undeclared = (share(x) for x in (area_N, chance_N, blind_N, (area_N < GOOD) & ~blind_N))
    names = {"variant": variant, "method": METHODS[method], "part": PARTS[part]}
    return Found(**names, area=area, null=null, by_program=rows, declared=declared, undeclared=undeclared)


def real(config: Config, run: Run, found: tuple[Found, ...], right: tuple[tuple[str, Estimate], ...]) -> Evidence:
    """Rank components on training pairs by every method, and test circuits of growing size on other pairs."""
    policies = (config.policy,) if config.policy else config.bases
    names = patching.components(open_weights(policies[0]).network)
    same = {k: getattr(config, k) for k in ("pairs", "train", "test", "steps", "recheck")}
    first = [ModelJob(policy=p, seed=seed_for(run.seed, "pairs"), **same) for p in policies]
    run.stage(f"exact patching and gradients of {len(names)} components of {', '.join(policies)}")
    parts = [names[i : i + AT_ONCE] for i in range(0, len(names), AT_ONCE)]
    done = iter(run.map(effects, [replace(j, names=p) for j in first for p in parts], name="effects"))
    exact = [np.concatenate([next(done) for _ in parts]) for _ in first]
    by_gradient = run.map(gradients, first, name="gradients")
    scores = {"exact": exact, "AtP": [g.atp_CB for g in by_gradient], "IG": [g.ig_CB for g in by_gradient]}
    orders = {m: [np.argsort(-np.abs(x).mean(1), kind="stable") for x in some] for m, some in scores.items()}
    size = max(1, round(config.size * len(names)))
    sizes = tuple(sorted({size, *(round(s * len(names)) for s in SHARES)}))
    asked = {(m, f): orders[m] for m, f in [*((m, FILLS[0]) for m in orders), *(("exact", f) for f in FILLS[1:])]}
    for s in range(config.seeds):
        asked[f"random {s}", FILLS[0]] = [run.stream("random", s, p).permutation(len(names)) for p in policies]
    with_job = [(f, order, j) for (_, f), some in asked.items() for order, j in zip(some, first, strict=True)]
    todo = [replace(j, names=tuple(names[i] for i in order), sizes=sizes, fill=f) for f, order, j in with_job]
    metrics = iter(run.map(kept, todo, name="kept", progress="circuits"))
    faith = {k: patching.faithfulness([next(metrics) for _ in first]) for k in asked}
    chance_RKPS = np.stack([f[0] for (m, _), f in faith.items() if m.startswith("random")])
    chance_KPS, shares, at = chance_RKPS.mean(0), [k / len(names) for k in sizes], sizes.index(size)
    kept_R = chance_RKPS[:, at].mean((1, 2))
    change = [g.change_B for g in by_gradient]
    known = {m: list(zip(some, exact, change, strict=True)) for m, some in scores.items()}
    mixed = run.stream("permuted").permutation
    tops = [(g.top_atp_EB, g.top_exact_EB) for g in by_gradient]
    return Evidence(
        programs=tuple(PROGRAMS),
        compiled=found,
        right=right,
        models=policies,
        components=len(names),
        size=size,
        seeds=config.seeds,
        train=exact[0].shape[1],
        test=chance_RKPS.shape[2],
        top=tuple(", ".join(names[i] for i in order[:5]) for order in orders["exact"]),
        circuits=tuple(
            circuit(m, f, faith[m, f], faith[m, f][0, at] - chance_KPS[at], shares, at, known[m])
            for m, f in asked
            if m in known
        ),
        random=curve_of(shares, list(chance_KPS), mean_over),
        random_null=prediction_interval(kept_R - kept_R.mean()),
        permuted=agree([(x[mixed(len(x))], x) for x in exact]),
        gradients=tuple(by_gradient),
        edges=agree(tops),
        edges_permuted=agree([(x[mixed(len(x))], x) for _, x in tops]),
    )


def agree(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Estimate:
    """Average rank correlations over pairs and models."""
    return mean_over(np.stack([ranking.agreement(*p) for p in pairs], axis=1), span=(-1.0, 1.0))


def circuit(
    method: str, fill: str, faith_2KPS: np.ndarray, more_PS: np.ndarray, shares: Sequence[float], at: int, known: Known
) -> Circuit:
    """Put together what is said of one ranking: what it keeps at each size, and at one of them more than random ones."""
    zero, missed = np.sum([ranking.zeros(*k) for k in known], axis=0).tolist()
    faithful, without = (curve_of(shares, list(x), mean_over) for x in faith_2KPS)
    other = Unmeasured("random circuits are filled by resampling")
    return Circuit(
        method=method,
        fill=fill,
        faithful=faithful,
        without=without,
        at_size=mean_over(faith_2KPS[0, at]),
        rest=mean_over(faith_2KPS[1, at]),
        above_random=mean_over(more_PS) if fill == FILLS[0] else other,
        agreement=agree([k[:2] for k in known]),
        zero=zero,
        missed=missed,
    )
