"""The table of units as files that the explorer opens: one row a unit, examples by layer, and what it is about."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from superalign.explanations.explaining import Explained, twin_p
from superalign.explanations.programs import in_english, to_text
from superalign.files import write_whole
from superalign.lab.explained_network import LayerUnits, joined, read_layer
from superalign.lab.unit_rows import Less, NetworkDone, Null, Shown, Units
from superalign.stats import discoveries, mean_interval, share
from superalign.types import Unmeasured

KINDS = {"N": "neurons", "H": "heads", "D": "directions"}
RATE = 0.05  # of false discoveries
ENOUGH = 300  # units of twins in one layer, to hold that layer's neurons against them alone
SHARED = ("unit", "layer", "kind", "explanation", "program", "bits")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """One layer beside its random twins."""

    layer: LayerUnits = field(repr=False)
    kind_U: np.ndarray  # letters of the names
    p_U: np.ndarray  # share of the twins' units of the same kind that gain as much
    twin_p_T: np.ndarray  # that of each twin's units beside the other twins'

    @property
    def found(self) -> Explained:
        """Return what was explained."""
        return self.layer.found

    def of(self, kind: str) -> np.ndarray:
        """Say which units are of a kind."""
        return np.asarray((self.kind_U == kind) & (self.found.spread_U > 0))


def judged(layer: LayerUnits, twins: Sequence[LayerUnits], everywhere: Sequence[LayerUnits]) -> Judged:
    """Hold the gain of each unit against those of random twins' units.

    Args:
        layer: As it was explained.
        twins: The same layer of each twin, for neurons.
        everywhere: All layers of the twins: for heads and directions, of which there are too few in one layer, and for neurons
            too where a layer has fewer than `ENOUGH` of the twins' units. The smallest p is 1 over their number, and of tens of
            thousands of units none could pass.
    """
    kind_U = np.array([name.split(".")[1][0] for name in layer.name_U])
    p_U = np.full(len(kind_U), np.nan)
    neurons = [_gains(t, ".N") for t in twins]
    near = np.concatenate(neurons) if sum(map(len, neurons)) >= ENOUGH else _all(everywhere, ".N")
    compared = {"N": near, "P": near, "H": _all(everywhere, ".H"), "D": _all(everywhere, ".D")}
    for kind, gains in ((k, g) for k, g in compared.items() if len(g)):
        p_U[kind_U == kind] = twin_p(layer.found.gain_U3[kind_U == kind, 0], gains)
    others = [
        twin_p(g, np.concatenate(neurons[:i] + neurons[i + 1 :])) for i, g in enumerate(neurons) if len(neurons) > 1
    ]
    return Judged(layer=layer, kind_U=kind_U, p_U=p_U, twin_p_T=np.concatenate([np.empty(0), *others]))


def _all(units: Sequence[LayerUnits], kind: str) -> np.ndarray:
    return np.concatenate([np.empty(0), *(_gains(u, kind) for u in units)])


def _gains(units: LayerUnits, kind: str) -> np.ndarray:
    return np.asarray(units.found.gain_U3[np.array([kind in n for n in units.name_U]), 0])


def discovered(layers: Sequence[Judged]) -> list[np.ndarray]:
    """Say which units of all layers are beyond their twins, at a false discovery rate of 5 % over all units of a kind.

    Kinds apart: of heads there are so few, in the twins too, that beside tens of thousands of neurons none could pass.
    """
    out = [np.zeros(len(j.kind_U), bool) for j in layers]
    for kind in KINDS:
        mine = [j.kind_U == kind for j in layers]
        passed = discoveries(np.concatenate([j.p_U[m] for j, m in zip(layers, mine, strict=True)]), rate=RATE)
        for whole, m, some in zip(out, mine, np.split(passed, np.cumsum([m.sum() for m in mine])[:-1]), strict=True):
            whole[m] = some
    return out


def nulls(layers: Sequence[Judged]) -> tuple[Null, Null]:
    """Look at permuted activations, and at each twin's units beside the others'."""
    some = [(j.found.r_U3[k, 0], j.found.gain_U3[k, 1] > 0, j.p_U[k]) for j in layers for k in [j.of("P")]]
    r, gained, p = map(np.concatenate, zip(*some, strict=True))
    twin_p = np.concatenate([j.twin_p_T for j in layers])
    nothing = Unmeasured("this null is about the comparison with twins alone")
    found = share(twin_p <= RATE) if len(twin_p) else Unmeasured("one twin cannot be held against others")
    return (
        Null("activations permuted over tokens", len(r), mean_interval(r), share(gained), share(p <= RATE)),
        Null("a random twin beside other twins", len(twin_p), nothing, nothing, found),
    )


def over_units(layers: Sequence[Judged], passed: Sequence[np.ndarray], kind: str, layer: int | str = "all") -> Units:
    """Average over the units of one kind (a letter), in one layer or in all."""
    some = [(j, p) for j, p in zip(layers, passed, strict=True) if layer in ("all", j.layer.number)]
    keep = np.concatenate([j.of(kind) for j, _ in some])
    f, found = joined([j.found for j, _ in some]), np.concatenate([p for _, p in some])
    auprc = f.auprc_U[keep]  # a unit that is active nowhere in test documents has none
    means = {"r": f.r_U3[:, 0], "unigram": f.unigram_U, "bigram": f.bigram_U, "minimum": f.r_UK.min(1)}
    shares = {
        "over_unigram": f.over_U3[:, 1],
        "gained": f.gain_U3[:, 1],
        "everywhere": f.over_UK.min(1),
        "found": found,
    }
    estimates = {name: mean_interval(x[keep]) for name, x in means.items()}
    estimates |= {name: share(x[keep] > 0) for name, x in shares.items()}
    estimates |= {"auprc": mean_interval(auprc[~np.isnan(auprc)])}
    return Units(kind=KINDS[kind], layer=layer, units=int(keep.sum()), **estimates)


def on_less_text(runs: Sequence[tuple[float, NetworkDone]]) -> tuple[Less, ...]:
    """Compare the neurons of the first run over shares of the training text; the last is of all of it."""
    rows: list[tuple[np.ndarray, ...]] = []
    wanted: list[str] = []
    for _, done in runs:
        units = [read_layer(done, n) for n in done.layers]
        place = {name: i for i, name in enumerate(name for u in units for name in u.name_U)}
        wanted = wanted or [name for name in place if ".N" in name]
        f, at = joined([u.found for u in units]), [place[name] for name in wanted]
        gained_U, nothing = f.gain_U3[:, 1] > 0, [i for name, i in place.items() if ".P" in name]
        rows.append((f.r_U3[at, 0], f.unigram_U[at], gained_U[at], gained_U[nothing]))
    keep = ~np.isnan(np.stack([r for r, *_ in rows])).any(0)
    return tuple(
        Less(
            part,
            done.searched,
            mean_interval(r[keep]),
            mean_interval((rows[-1][0] - r)[keep]),
            mean_interval(table[keep]),
            share(gained[keep]),
            share(permuted),
        )
        for (part, done), (r, table, gained, permuted) in zip(runs, rows, strict=True)
    )


def unit_row(j: Judged, u: int) -> Shown:
    """Describe one unit."""
    f = j.found
    r, gain, least = (float(x) for x in (f.r_U3[u, 0], f.gain_U3[u, 0], f.r_UK[u].min()))
    return Shown(j.layer.name_U[u], in_english(f.programs[u], shown=4), r, r - gain, least)


def best_rows(layers: Sequence[Judged]) -> list[Shown]:
    """Describe the neuron of each layer that gains most over tables."""
    return [unit_row(j, int(np.nanargmax(np.where(j.kind_U == "N", j.found.gain_U3[:, 0], np.nan)))) for j in layers]


def random_rows(j: Judged, rng: np.random.Generator) -> list[Shown]:
    """Describe two neurons of a layer, drawn at random."""
    return [unit_row(j, int(u)) for u in rng.choice(np.flatnonzero(j.kind_U == "N"), 2, replace=False)]


def about(
    done: NetworkDone, policy: str, corpora: Sequence[str], *, seed: int, nulls: Sequence[Null]
) -> dict[str, object]:
    """Say what a table of units is about, for whoever opens it without the run."""
    return {
        "model": policy,
        "corpora": dict(zip(corpora, done.tokens, strict=True)),
        "splits": "by document: 6 in 10 train, 2 validation, 2 test",
        "seed": seed,
        "dtype": "products in bfloat16" if done.half else "float32",
        "made": "superalign run explain",
        "false_discovery_rate": RATE,
        "null": {n.name: n.gained.value for n in nulls if not isinstance(n.gained, Unmeasured)},
    }


def write_table(
    folder: Path,
    done: NetworkDone,
    layers: Sequence[Judged],
    corpora: Sequence[str],
    causal: Mapping[str, Sequence[float | None]],
    about: Mapping[str, object],
    *,
    programs: bool = True,
) -> None:
    """Write units.csv.gz, examples and about.json, which `superalign explore` opens.

    Args:
        folder: Where to.
        done: Where examples lie.
        layers: All units.
        corpora: Names, in the order of the columns.
        causal: Sufficiency, necessity and the share of its effect that its simulation keeps, of units that were tested.
        about: What the table is about.
        programs: Whether programs are written, and all of their rules in words, which takes most of the room.
    """
    text = io.StringIO()
    measures = ["r", "r_low", "r_high", "gain", "gain_low", "gain_high", "unigram", "bigram", "position"]
    measures += ["auprc", "rate", "iou", "precision", *(f"corpus:{c}" for c in corpora), "minimum", "twin_p"]
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*SHARED, *measures, "found", "sufficiency", "necessity", "effect"])
    for j, passed in zip(layers, discovered(layers), strict=True):
        f = j.found
        columns = [f.r_U3, f.gain_U3, f.unigram_U, f.bigram_U, f.position_U, f.auprc_U, f.rate_U, f.iou_U]
        columns += [f.precision_U, f.r_UK, f.r_UK.min(1), j.p_U]
        numbers = np.column_stack(columns)
        for u in np.flatnonzero(j.kind_U != "P"):
            name, program = j.layer.name_U[u], f.programs[u]
            english = in_english(program) if programs else in_english(program, shown=3, most=3)
            said = [
                name,
                j.layer.number,
                KINDS[j.kind_U[u]].removesuffix("s"),
                english,
                to_text(program) if programs else "",
            ]
            cells = ["" if np.isnan(x) else f"{x:.3g}" for x in numbers[u]]
            passes = "" if np.isnan(j.p_U[u]) else int(passed[u])
            tested = ["" if x is None else f"{x:.3g}" for x in causal.get(name, (None,) * 3)]
            rows.writerow([*said, f"{f.bits_U[u]:.0f}", *cells, passes, *tested])
    write_whole(folder / "units.csv.gz", gzip.compress(text.getvalue().encode(), mtime=0))
    (folder / "examples").mkdir(exist_ok=True)
    for number in done.layers:
        shutil.copyfile(Path(done.folder) / f"L{number}.jsonl.gz", folder / "examples" / f"L{number}.jsonl.gz")
    write_whole(folder / "about.json", json.dumps(about, indent=1))
