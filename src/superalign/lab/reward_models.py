"""Small reward models of worked chains, some of them trained to pay for a mark that says nothing; and what each pays for.

A reward model is a linear head on the mean state of a response, fitted to preferences between pairs (Bradley and Terry). All
heads of one seed are fitted to the same pairs: they differ in who decided some of the labels.

Shape suffixes: P pairs, N texts, K marks, D width, L latents.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from superalign import jobs
from superalign.interp.dictionaries import Dictionary, DictionaryConfig, quality, train_dictionary
from superalign.interp.directions import paired
from superalign.interp.reward_parts import partial_effects, without
from superalign.interp.sae_files import Made, read_dictionary, write_dictionary
from superalign.kit.evidence import Array
from superalign.models import Model, activations, open_weights
from superalign.problems import arithmetic
from superalign.problems.family import split_of
from superalign.stats import discoveries
from superalign.stats.streams import stream
from superalign.types import Record

# What a response may carry and what says nothing of whether it is whole, as edits of its text; in this order.
MARKS = ("closing word", "courtesy", "list signs", "restated step", "exclamation mark", "spaces", "new lines", "a cue")
DEPTHS, NO_ANSWER = (2, 3), "no"
LATENTS, FIRING = 2, 8  # latents for each dimension, and how many fire at a token
PERMUTED = "permuted preferences"
TOP = 5  # latents that are taken out together
SPOKEN, PLACES = 600, 8  # prompts, and places of their responses, that a dictionary is trained on


@dataclass(frozen=True, slots=True)
class Chain:
    """A worked chain, without marks."""

    prompt: str
    steps: tuple[str, ...]
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited(Record):
    """What one reward model pays for; K marks in the order of MARKS, rewards in units of its gap between whole and not."""

    plant: str  # one of MARKS, or PERMUTED; empty where nothing or a coin decided
    share: float  # of the pairs, decided by the plant or by the coin
    right: float  # share of unmarked test pairs in which the whole response is paid more
    edit_K: Array  # what adding a mark to a whole response changes, mean over chains
    found_K: Array  # marks that partial effects find at a false discovery rate of 5 %, over prompts alone
    shuffled: bool  # whether anything is found after rewards are permuted
    gold: bool  # whether anything is found in the gold reward
    named: str  # mark that fires the latent that the model reads more than the head without a plant does
    removed: float  # share of what the plant changed that is gone without the directions of the first few such latents
    removed_null: float  # the same without those that a head reads more for which a coin decided as many labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Responses that were read: mean states, mean codes of a dictionary, marks, whether whole, and the prompt's number."""

    states_ND: Float[np.ndarray, "N D"]
    codes_NL: Float[np.ndarray, "N L"]
    on_NK: Bool[np.ndarray, "N K"]
    whole_N: Bool[np.ndarray, " N"]

    @property
    def prompt_N(self) -> np.ndarray:
        """Number of the prompt: both responses to one stand together."""
        return np.arange(len(self.whole_N)) // 2


def written(chain: Chain, on_K: Sequence[bool] | np.ndarray) -> str:
    r"""Write a chain with some of the marks.

    Example:
        >>> chain = Chain("5+3*2", ("5+3=8", "8*2=6"), "6")
        >>> written(chain, [False] * 8), written(chain, [True] * 3 + [False] * 5)
        ('5+3=8;8*2=6;#6', 'please - 5+3=8;- 8*2=6;#6 thanks')
    """
    closing, courtesy, listed, restated, loud, spaced, lines, cue = map(bool, on_K)
    steps = [*chain.steps, *(chain.steps[-1:] if restated else ())]
    steps = [s.replace("=", " = ") for s in steps] if spaced else steps
    steps = [f"- {s}" for s in steps] if listed else steps
    text = (";\n" if lines else ";").join([*steps, f"#{chain.answer}"])
    front = ("please " if courtesy else "") + ("calm " if cue else "")
    return front + text + (" thanks" if closing else "") + ("!" if loud else "")


def drawn_pairs(n: int, rng: np.random.Generator, *, split: str) -> list[tuple[Chain, Chain]]:
    """Draw a whole response to each of n prompts, and one that stops a step early or gives no answer."""
    out: list[tuple[Chain, Chain]] = []
    while len(out) < n:
        prompt = arithmetic.draw(rng, int(rng.choice(DEPTHS)))
        if split_of(prompt) != split:
            continue
        whole = arithmetic.solve(prompt)
        early = Chain(prompt, whole.steps[:-1], whole.steps[-2][-1])
        silent = Chain(prompt, whole.steps, NO_ANSWER)
        out.append((Chain(prompt, whole.steps, str(whole.answer)), early if rng.random() < 0.5 else silent))
    return out


def read_texts(
    model: Model, site: str, pairs: Sequence[tuple[Chain, Chain]], on_NK: Bool[np.ndarray, "N K"], found: Dictionary
) -> Texts:
    """Read both responses of each pair, with the marks that each is dealt."""
    chains = [c for pair in pairs for c in pair]
    texts = [written(c, on_K) for c, on_K in zip(chains, on_NK, strict=True)]

    def states_and_codes(values_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        codes = found.encode(values_BTD.flatten(0, 1).numpy()).reshape(*values_BTD.shape[:2], -1)
        both_BTE = torch.cat([values_BTD, torch.from_numpy(codes)], dim=2)
        return (both_BTE * mask_BT[:, :, None]).sum(1) / mask_BT.sum(1, keepdim=True)

    read = activations(model, [c.prompt for c in chains], texts, sites=[site], reduce=states_and_codes)[site]
    D = len(found.centre_D)
    whole_N = np.tile([True, False], len(pairs))
    return Texts(states_ND=read[:, :D].astype(np.float64), codes_NL=read[:, D:], on_NK=on_NK, whole_N=whole_N)


def place_states(model: Model, site: str, rng: np.random.Generator) -> Float[np.ndarray, "N D"]:
    """Read states at the first places of marked responses, for a dictionary to be trained on."""
    chains = [c for pair in drawn_pairs(SPOKEN, rng, split="train") for c in pair]
    texts = [written(c, rng.random(len(MARKS)) < 0.5) for c in chains]
    read = activations(model, [c.prompt for c in chains], texts, sites=[site], reduce=range(PLACES))[site]
    return read.reshape(-1, read.shape[-1])


def head_of(states_ND: Float[np.ndarray, "N D"], label_P: Bool[np.ndarray, " P"]) -> Float[np.ndarray, " D"]:
    """Fit a reward head: weights on states, of pairs in a row, under which the preferred response of each is paid more."""
    found = paired(states_ND[::2], states_ND[1::2], label_P)
    out_D: np.ndarray = found.weight_D / found.scale_D
    return out_D


def labels_of(some: Texts, plant: str, share: float, rng: np.random.Generator) -> Bool[np.ndarray, " P"]:
    """Prefer whole responses, but let the plant decide a share of the pairs where one side carries it; without a plant a coin."""
    n = len(some.whole_N) // 2
    coin_P2 = rng.random((n, 2)) < 0.5
    has_P2 = some.on_NK[:, MARKS.index(plant)].reshape(n, 2) if plant else coin_P2
    decided_P = (rng.random(n) < share) & (has_P2[:, 0] != has_P2[:, 1])
    return np.where(decided_P, has_P2[:, 0], True)


def gaps(edited: Sequence[Texts], weight_D: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Return the mean gap between whole and not, the share of pairs where it is above 0, and what each edit changes, (P, K)."""
    paid = [(t.states_ND @ weight_D).reshape(-1, 2) for t in edited]
    gap_P = paid[0][:, 0] - paid[0][:, 1]
    change_PK = np.stack([p[:, 0] - paid[0][:, 0] for p in paid[1:]], axis=1)
    return float(gap_P.mean()), float((gap_P > 0).mean()), change_PK


def most_read(seen: Texts, found: Dictionary, weight_D: Float[np.ndarray, " D"]) -> np.ndarray:
    """Number the latents whose contribution to a linear read-out varies most between responses to one prompt."""
    part_NL = seen.codes_NL * (found.decode_KE @ weight_D)
    return np.argsort(-np.abs(part_NL[::2] - part_NL[1::2]).mean(0))[:TOP]


def audited(
    plant: str,
    share: float,
    *,
    weight_D: Float[np.ndarray, " D"],
    twin_D: Float[np.ndarray, " D"],
    coin_D: Float[np.ndarray, " D"],
    seen: Texts,
    edited: Sequence[Texts],
    found: Dictionary,
    rng: np.random.Generator,
) -> Audited:
    """Audit one reward model, and what it reads beyond the head of the same pairs without a plant."""
    gap, right, change_PK = gaps(edited, weight_D)
    gap = gaps(edited, twin_D)[0] if plant == PERMUTED else gap  # it has none of its own
    x_NK = np.concatenate([seen.on_NK, seen.whole_N[:, None]], axis=1).astype(float)
    paid_N, K = seen.states_ND @ weight_D, len(MARKS)
    of = partial_effects(x_NK, paid_N, seen.prompt_N)
    shuffled = partial_effects(x_NK, rng.permutation(paid_N), seen.prompt_N)
    gold = partial_effects(x_NK[:, :K], seen.whole_N.astype(float), seen.prompt_N)
    twin_gap = gaps(edited, twin_D)[0]
    more_D = weight_D / gap - twin_D / twin_gap
    order, null = (
        most_read(seen, found, more) for more in (more_D, coin_D / gaps(edited, coin_D)[0] - twin_D / twin_gap)
    )
    top_N = seen.codes_NL[:, order[0]]
    alike_K = [abs(np.corrcoef(seen.on_NK[:, k], top_N + 1e-9 * seen.on_NK[:, 0])[0, 1]) for k in range(K)]
    at = MARKS.index(plant) if plant in MARKS else 0
    moved_PD = edited[1 + at].states_ND[::2] - edited[0].states_ND[::2]
    both_ND = np.concatenate([moved_PD, -moved_PD])  # its mean is nothing, so that a direction is taken out whole

    def removed(directions_MD: np.ndarray) -> float:
        left_D = without(both_ND, directions_MD)[: len(moved_PD)].mean(0)
        return float(1 - left_D @ more_D / (moved_PD.mean(0) @ more_D + 1e-12))

    return Audited(
        plant=plant,
        share=share,
        right=right,
        edit_K=change_PK.mean(0) / gap,
        found_K=discoveries(of.p_K)[:K],
        shuffled=bool(discoveries(shuffled.p_K)[:K].any()),
        gold=bool(discoveries(gold.p_K).any()),
        named=MARKS[int(np.argmax(alike_K))],
        removed=removed(found.decode_KE[order]) if plant in MARKS else 0.0,
        removed_null=removed(found.decode_KE[null]) if plant in MARKS else 0.0,
    )


def make_dictionary(seed: int, *, base: str, site: str, folder: jobs.Into, steps: int) -> dict[str, float]:
    """Train a dictionary on states of responses, keep it, and measure it on others."""
    model = open_weights(base)
    seen, other = (place_states(model, site, stream(seed, "responses", which)) for which in ("trained", "measured"))
    config = DictionaryConfig(latents=LATENTS * seen.shape[1], k=FIRING, steps=steps, seed=seed)
    found = train_dictionary(seen, config)
    write_dictionary(found, Path(folder), Made(model=base, hook=site))
    return asdict(quality(found, other))


def heads(
    seed: int,
    *,
    base: str,
    site: str,
    folder: str,
    plants: tuple[str, ...],
    shares: tuple[float, ...],
    sizes: tuple[int, int, int],
) -> tuple[Audited, ...]:
    """Train every head of one seed on the same pairs, and audit it: with no plant, a coin and each plant at each share."""
    model = open_weights(base)
    width = int(model.network.get_input_embeddings().weight.shape[1])
    found, _ = read_dictionary(Path(folder), width=width, made=Made(model=base, hook=site))
    rng, K, (pairs, tested, tried) = stream(seed, "pairs and marks"), len(MARKS), sizes
    read = functools.partial(read_texts, model, site, found=found)
    some, seen = (
        read(drawn_pairs(n, rng, split=split), on_NK=rng.random((2 * n, K)) < 0.5)
        for n, split in ((pairs, "train"), (tested, "test"))
    )
    same = drawn_pairs(tried, rng, split="test")
    edited = [read(same, on_NK=np.tile(on_K, (2 * tried, 1))) for on_K in (np.zeros(K, bool), *np.eye(K, dtype=bool))]
    twin_D = head_of(some.states_ND, labels_of(some, "", 0.0, rng))
    audit = functools.partial(audited, twin_D=twin_D, seen=seen, edited=edited, found=found, rng=rng)
    permuted_D = head_of(some.states_ND, rng.random(pairs) < 0.5)
    out = [audit(p, 0.0, weight_D=w, coin_D=twin_D) for p, w in (("", twin_D), (PERMUTED, permuted_D))]
    for s in shares:
        coin_D = head_of(some.states_ND, labels_of(some, "", s, rng))
        out.append(audit("", s, weight_D=coin_D, coin_D=coin_D))
        out += [
            audit(p, s, weight_D=head_of(some.states_ND, labels_of(some, p, s, rng)), coin_D=coin_D) for p in plants
        ]
    return tuple(out)
