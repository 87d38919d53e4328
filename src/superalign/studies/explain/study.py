"""What does each neuron and head respond to, said as a small program, and how much of it does that explain?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from superalign.errors import ConfigError
from superalign.kit.study import Count, CountOrNone, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Which model, on which text, and how closely it is looked at."""

    policy: str = "middle"
    """The model whose units are explained."""
    corpora: tuple[str, ...] = ()
    """Text, as name=PATH of a file or folder, or name=python for the standard library; what bundled bases read if empty."""
    explained_on: tuple[str, ...] = ()
    """Corpora whose training documents explanations are searched in; all if empty. Scores are of all corpora."""
    tokens: CountOrNone = 10_000
    """Tokens of each corpus; 0 for all there are."""
    window: Annotated[int, Ge(16)] = 64
    """Tokens that are read at once."""
    each: CountOrNone = 0
    """Neurons and heads of a layer that are explained, drawn at random; 0 for all."""
    ends: Annotated[int, Ge(2), Le(16)] = 8
    """Rules of a program, with the last that always fits."""
    latents: CountOrNone = 128
    """Latents of a sparse dictionary of each layer's output, trained on training documents: directions; 0 for none."""
    dictionary: str = ""
    """A dictionary of SAELens for one layer, as LAYER=FOLDER, instead of one that is trained."""
    twins: Count = 5
    """Random twins: the same network with the weights of each tensor permuted."""
    twin_units: Count = 64
    """Units of a layer of each twin."""
    parts: tuple[Annotated[float, Gt(0), Lt(1)], ...] = (0.125, 0.25, 0.5)
    """Shares of the training documents in which programs of `each`, or `twin_units`, are searched again; none if empty."""
    causal: CountOrNone = 8
    """Neurons of a layer that are replaced by their simulation, and held to their program on changed tokens; 0 for none."""
    windows: Annotated[int, Ge(4)] = 16
    """Test windows in which they are replaced; tokens are changed in as many where the program fires, and where it does not."""
    proposer: str = ""
    """A language model that proposes programs for these neurons, as api:PROVIDER/MODEL or a model's name; empty for none."""


def check(config: Config) -> None:
    """Refuse corpora without a name, twice the same name, fewer than three, and names that are not among them."""
    names = [spec.partition("=")[0] for spec in config.corpora]
    wrong = [s for s, n in zip(config.corpora, names, strict=True) if not n or "=" not in s or names.count(n) > 1]
    if wrong:
        raise ConfigError(
            f"corpora={wrong[0]!r} is not name=PATH with a name of its own. Scores are printed by it. Name each."
        )
    if names and len(names) < 3:
        raise ConfigError(
            f"There are {len(names)} corpora. A unit can look as if it meant one thing on each of them and another "
            "elsewhere. Give three at least, such as fiction, an encyclopedia and code=python."
        )
    strange = set(config.explained_on) - set(names)
    if config.corpora and strange:
        raise ConfigError(
            f"explained_on names {', '.join(sorted(strange))}, which is not among the corpora. Nothing could be searched there. "
            f"Choose from {', '.join(names)}."
        )


STUDY = Study(
    question="What does each neuron and head respond to, said as a small program, and how much of it does that explain?",
    paper="Bills et al., Language models can explain neurons in language models, 2023; OpenAI",
    config=Config,
    quick={
        "policy": "small",
        "tokens": 6_000,
        "each": 48,
        "twins": 2,
        "twin_units": 24,
        "latents": 32,
        "parts": (0.25,),
        "causal": 2,
        "windows": 8,
    },
    check=check,
)
