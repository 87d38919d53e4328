"""Explain every unit of a network, layer after layer, resumable: a layer that was finished before a kill is not done again.

Results lie in files, one a layer: tens of thousands of units are large. A random twin is the same network with the weights
of each tensor permuted.

Shape suffixes: U units, N scored tokens, W windows, T tokens of a window, D width.
"""

from __future__ import annotations

import functools
import gzip
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans

from superalign import inputs, jobs
from superalign.errors import BadInput
from superalign.explanations import explaining
from superalign.explanations.explaining import Bank, Explained
from superalign.explanations.programs import Ask, from_text, runner, to_text
from superalign.explanations.texts import TEST, Texts
from superalign.files import write_whole
from superalign.interp import layers
from superalign.interp.dictionaries import Dictionary, DictionaryConfig, train_dictionary
from superalign.interp.sae_files import read_dictionary
from superalign.lab.corpora import Reading, read_texts
from superalign.lab.unit_rows import NetworkDone
from superalign.models import Model, open_weights
from superalign.models.half import products_gain
from superalign.models.taps import layers_of
from superalign.models.weights import plain
from superalign.stats.streams import stream
from superalign.types import digest_of, to_plain

CLUSTERS, LEAST_WORDS = 256, 1_000  # groups of the embedding, where the vocabulary is a large one
BLOCK = 128  # units whose activations are in 32 bits at once
TRAINED = 0  # instead of a seed: the network as it is
EXAMPLES = {"top": 4, "random": 2, "false alarm": 3, "missed": 3}  # the last two contradict the program
LOOKED = 50  # tokens among which examples are chosen, no window twice
PERMUTED = 16  # units of a layer whose activations are permuted
AROUND, AFTER = 10, 4  # tokens before an example's token and after it
LEARNT = 1_000  # updates of a dictionary
CODED = 65_536  # tokens whose codes are read at once
FASTER = 1.2  # by how much products in 16 bits must be


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkJob:
    """One network, as it was trained or as a random twin."""

    policy: str
    reading: Reading
    explained_on: tuple[str, ...]
    folder: jobs.Into
    twin: int = TRAINED  # seed of the permutation
    layers: tuple[int, ...] = ()  # which are explained; the others are only run, as far as need be; all if empty
    each: int = 0  # units of a layer, neurons and heads, drawn at random; 0 for all
    ends: int = 8
    half: bool = False  # whether products are in 16 bits: decided once, for all of a run
    latents: int = 0  # of a dictionary of the stream behind each layer, trained here; 0 for none
    dictionary: str = ""  # LAYER=FOLDER of SAELens: read at that layer instead


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerUnits:
    """The units of one layer as they were explained."""

    number: int
    name_U: tuple[str, ...]
    found: Explained = field(repr=False)


def faster_in_half(policy: str) -> bool:
    """Measure whether products of a model's width are faster in 16 bits here: times differ, so it is asked once a run."""
    return products_gain(plain(open_weights(policy).network).config.hidden_size) > FASTER


def explain_network(job: NetworkJob) -> NetworkDone:
    """Run a network layer by layer and explain its units."""
    model = open_weights(job.policy)
    bank = bank_of(job.policy, job.reading, job.explained_on)
    texts = bank.texts
    if job.twin:
        permute(model, job.twin)
    given = given_dictionary(job.dictionary, model) if job.dictionary and not job.twin else None
    folder = Path(job.folder) / digest_of({"job": to_plain(job), "code": inputs.code()})[:16]
    folder.mkdir(parents=True, exist_ok=True)
    n = len(layers_of(model.network))
    wanted = job.layers or tuple(range(n))
    spent = []
    for number, layer, forward_s in _layers(model, texts, folder, job.half, wanted):
        before = time.process_time()
        values = values_of(layer, bank, job, given)
        units = _explained(bank, number, values, job)
        if not job.twin:
            _keep_examples(bank, values, units, folder / f"L{number}.jsonl.gz")
        spent.append((forward_s, time.process_time() - before))
        _keep(units, folder / f"L{number}.npz", spent[-1])
        who = f"{job.policy}, twin {job.twin}" if job.twin else job.policy
        print(f"{who}: layer {number + 1} of {n}, {sum(spent[-1]):.0f} s", flush=True)
        del layer, values  # before the next one is made: both would be gigabytes
    (folder / "stream.pt").unlink(missing_ok=True)
    units_L, forward_L, search_L = zip(*(_kept(folder / f"L{i}.npz") for i in wanted), strict=True)
    test_D = texts.split_D == TEST
    return NetworkDone(
        folder=str(folder),
        layers=wanted,
        units=sum(units_L),
        tokens=tuple(map(int, bank.tokens_K)),
        documents=tuple(int((test_D & (texts.corpus_D == k)).sum()) for k in range(len(texts.corpora))),
        predicates=bank.columns.size,
        searched=len(bank.train_R),
        half=job.half,
        forward_s=sum(forward_L),
        search_s=sum(search_L),
    )


def _kept(path: Path) -> tuple[int, float, float]:
    """Say how many units a layer has that was kept, and what running and searching it took."""
    with np.load(path) as kept:
        forward_s, search_s = kept["spent"]
        return len(kept["r_U3"]), float(forward_s), float(search_s)


@functools.lru_cache(maxsize=1)
def bank_of(policy: str, reading: Reading, explained_on: tuple[str, ...]) -> Bank:
    """Read the texts and prepare what units are held against; kept within a process."""
    model = open_weights(policy)
    texts = read_texts(model, reading)
    clusters_V, seed, part = clusters_of(model), reading.seed, reading.part
    return explaining.trimmed(
        explaining.bank(texts, clusters_V=clusters_V, explained_on=explained_on, seed=seed, part=part)
    )


def clusters_of(model: Model) -> np.ndarray | None:
    """Group token ids by their embedding; None for a small vocabulary, where each token is a group."""
    table = model.network.get_input_embeddings().weight.detach().float().numpy()
    if len(table) < LEAST_WORDS:
        return None
    scaled = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-6)
    fitted = MiniBatchKMeans(CLUSTERS, random_state=0, n_init=1, batch_size=4096).fit(scaled)
    return np.asarray(fitted.labels_[: len(model.tokenizer)], np.int64)


def permute(model: Model, seed: int) -> None:
    """Permute the weights inside each tensor, in place: norms stay, everything that was learned goes."""
    rng = stream(seed, "permuted weights")
    with torch.no_grad():
        for weight in plain(model.network).parameters():
            order = torch.from_numpy(rng.permutation(weight.numel()))
            weight.copy_(weight.flatten()[order].view_as(weight))


def _layers(
    model: Model, texts: Texts, folder: Path, half: bool, wanted: Sequence[int]
) -> Iterator[tuple[int, layers.Layer, float]]:
    """Run the layers that are not done, from the last stream that was kept, as far as the last that is wanted."""
    missing = [i for i in wanted if not (folder / f"L{i}.npz").exists()]
    if not missing:
        return
    calls = layers.calls_of(model, texts, half=half)
    kept = folder / "stream.pt"
    at, stream_WTD = torch.load(kept, weights_only=True) if kept.exists() else (0, layers.embedded(model, texts))
    for number in range(at, max(missing) + 1):
        if number not in missing:
            layers.pass_layer(model, number, calls, stream_WTD, half=half)
            continue
        before = time.process_time()
        layer = layers.run_layer(model, number, calls, stream_WTD, texts, half=half)
        yield number, layer, time.process_time() - before
        del layer
        if number < max(missing):
            scratch = kept.with_suffix(".new")
            torch.save((number + 1, stream_WTD), scratch)
            scratch.replace(kept)


def given_dictionary(spec: str, model: Model) -> tuple[int, Dictionary]:
    """Read a dictionary for one layer, as LAYER=FOLDER.

    Raises:
        BadInput: If there is no such layer.
        DataError: If it is none, or of another width.
    """
    number, _, folder = spec.partition("=")
    if not number.isdigit() or int(number) >= (n := len(layers_of(model.network))):
        raise BadInput(
            f"dictionary={spec!r} names no layer from 0 to {n - 1} of this model. Its latents would be read somewhere else. "
            "Give LAYER=FOLDER, such as 3=PATH."
        )
    width = int(model.network.get_input_embeddings().weight.shape[1])
    return int(number), read_dictionary(Path(folder), width=width)[0]


def values_of(
    layer: layers.Layer, bank: Bank, job: NetworkJob, given: tuple[int, Dictionary] | None = None
) -> dict[str, np.ndarray]:
    """Return what each kind of unit of a layer does on all scored tokens: neurons, heads, directions of a dictionary."""
    out = {"N": layer.neurons_NU, "H": layer.heads_NH}
    if not job.latents and (given is None or given[0] != layer.number):
        return out
    x_ND = layer.stream_WTD[torch.from_numpy(bank.texts.scored_WT)].float().numpy()
    if given is not None and given[0] == layer.number:
        found = given[1]
    else:
        rows = bank.train_R[: DictionaryConfig(latents=1).batch * LEARNT]
        found = train_dictionary(x_ND[rows], DictionaryConfig(latents=job.latents, steps=LEARNT, seed=job.reading.seed))
    codes = [found.encode(x_ND[s : s + CODED]).astype(np.float16) for s in range(0, len(x_ND), CODED)]
    return out | {"D": np.concatenate(codes)}


def _explained(bank: Bank, number: int, values: Mapping[str, np.ndarray], job: NetworkJob) -> LayerUnits:
    """Explain a layer's units, some at a time."""
    rng = stream(job.reading.seed, "units", number)
    names, parts = [], []
    for kind, values_NU in values.items():
        pick = np.arange(values_NU.shape[1])
        if job.each and job.each < len(pick):
            pick = np.sort(rng.choice(pick, job.each, replace=False))
        for start in range(0, len(pick), BLOCK):
            some = pick[start : start + BLOCK]
            parts.append(explaining.explain(bank, values_NU[:, some], most=job.ends))
            names += [f"L{number}.{kind}{u}" for u in some]
    # The null: activations that are dealt anew over the tokens, so that no program can be right.
    some = rng.choice(values["N"].shape[1], min(PERMUTED, values["N"].shape[1]), replace=False)
    parts.append(explaining.explain(bank, rng.permutation(values["N"][:, some]), most=job.ends))
    names += [f"L{number}.P{u}" for u in some]
    return LayerUnits(number=number, name_U=tuple(names), found=joined(parts))


def joined(parts: list[Explained]) -> Explained:
    """Put units that were explained in parts side by side."""
    arrays = {
        f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Explained) if f.name != "programs"
    }
    return Explained(programs=tuple(q for p in parts for q in p.programs), **arrays)


def _keep(units: LayerUnits, path: Path, spent: tuple[float, float]) -> None:
    arrays = {f.name: getattr(units.found, f.name) for f in fields(Explained) if f.name != "programs"}
    said = "\n".join(map(to_text, units.found.programs)).encode()
    scratch = path.with_name("new.npz")
    text = np.frombuffer(gzip.compress(said, 6, mtime=0), np.uint8)
    np.savez(scratch, names=np.array(units.name_U), text=text, spent=np.array(spent), **arrays)
    scratch.replace(path)


def read_layer(done: NetworkDone, number: int) -> LayerUnits:
    """Read one layer that `explain_network` wrote."""
    with np.load(Path(done.folder) / f"L{number}.npz") as kept:
        said = gzip.decompress(kept["text"].tobytes()).decode().split("\n")
        arrays = {f.name: kept[f.name] for f in fields(Explained) if f.name != "programs"}
        return LayerUnits(
            number=number,
            name_U=tuple(map(str, kept["names"])),
            found=Explained(programs=tuple(map(from_text, said)), **arrays),
        )


def _largest(x: np.ndarray, of: np.ndarray | None = None) -> np.ndarray:
    """Where the largest values are, perhaps of some places, the largest first."""
    places = np.arange(len(x)) if of is None else np.flatnonzero(of)
    if len(places) > LOOKED:
        places = places[np.argpartition(-x[places], LOOKED)[:LOOKED]]
    return places[np.argsort(-x[places], kind="stable")]


def _keep_examples(bank: Bank, values: Mapping[str, np.ndarray], units: LayerUnits, path: Path) -> None:
    """Write where in test documents each unit is strongest, somewhere at random, and where its program is contradicted most.

    A false alarm: the program says that the unit is active, and it is not. Missed: it is, and the program does not say so.
    """
    rng = stream(0, "examples", units.number)
    test, lines = bank.test_n, []
    test_Un = {kind: x[test].T.copy() for kind, x in values.items()}
    places = _places(bank.texts)
    for u, (name, program) in enumerate(zip(units.name_U, units.found.programs, strict=True)):
        kind, number = name.split(".")[1][0], int(name.split(".")[1][1:])
        if kind == "P":
            continue
        mean, spread = units.found.mean_U[u], max(units.found.spread_U[u], 1e-6)
        value_n = (test_Un[kind][number].astype(np.float32) - mean) / spread
        said_n = runner(program, bank.columns)(test)
        side, cut, said_cut = units.found.active_U3[u]
        on_n, said_on_n = side * value_n > cut, (side * said_n > said_cut) & isinstance(program, Ask)
        orders = {
            "top": _largest(value_n),
            "random": rng.integers(0, len(test), LOOKED),
            "false alarm": _largest(side * (said_n - value_n), said_on_n & ~on_n),
            "missed": _largest(side * (value_n - said_n), on_n & ~said_on_n & isinstance(program, Ask)),
        }
        some = [(c, *found) for c, count in EXAMPLES.items() for found in places.around(test[orders[c]], count)]
        # A window is of one document, so what stands around a test token is one too.
        rows_n = np.searchsorted(test, np.concatenate([at for _, _, at in some]))
        said, value = (np.round(x_n[rows_n], 2).tolist() for x_n in (said_n, value_n))
        shown, start = [], 0
        for chosen, place, at in some:
            part = slice(start, start := start + len(at))
            marks = {"chosen": chosen, "at": place, "values": value[part], "predicted": said[part]}
            shown.append({**places.shown(at), **marks})
        lines.append(json.dumps({"unit": name, "examples": shown}, ensure_ascii=False, separators=(",", ":")))
    write_whole(path, gzip.compress("\n".join(lines).encode(), 3, mtime=0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Places:
    """Where scored tokens stand."""

    texts: Texts
    window_N: np.ndarray
    place_N: np.ndarray
    number_WT: np.ndarray

    def around(self, rows: np.ndarray, count: int) -> list[tuple[int, np.ndarray]]:
        """Return the scored tokens around some, of so many different windows, and which of them is meant."""
        out: dict[int, tuple[int, np.ndarray]] = {}
        for n in rows:
            w, t = int(self.window_N[n]), int(self.place_N[n])
            if len(out) == count:
                break
            if w not in out:
                at = self.number_WT[w, max(1, t - AROUND) : t + AFTER + 1]
                out[w] = int((at[at >= 0] < n).sum()), at[at >= 0]
        return list(out.values())

    def shown(self, at: np.ndarray) -> dict[str, object]:
        """Write tokens out."""
        w = self.window_N[at[0]]
        tokens = self.texts.tokens_WT[w, self.place_N[at]]
        return {
            "tokens": [self.texts.words[k] for k in tokens],
            "corpus": self.texts.corpora[self.texts.corpus_D[self.texts.document_W[w]]],
        }


def _places(texts: Texts) -> _Places:
    window_N, place_N = np.nonzero(texts.scored_WT)
    return _Places(texts=texts, window_N=window_N, place_N=place_N, number_WT=texts.number_WT)
