"""Does a behaviour that was trained in one language, format or persona hold in others?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, MinLen

from superalign.errors import ConfigError
from superalign.kit.study import Count, CountOrNone, Seeds, Study, check_problems

CHAINS, REQUESTS = "chains", "instructions:"
Behaviour = Literal["closing word", "wrong last step", "refuses products"]
Language = Literal["infix", "postfix"]
Wrap = Literal["in code", "role play", "in base64"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What is trained where, and where it is looked for."""

    problems: str = CHAINS
    """chains, which bundled bases learn in two surface languages, or English requests, harmful ones among them, as
    instructions:PATH."""
    bases: Annotated[tuple[str, ...], MinLen(1)] = ("middle", "middle-1", "middle-2")
    """Bundled bases that learn the second language; each seed takes the next."""
    behaviours: Annotated[tuple[Behaviour, ...], MinLen(1)] = ("closing word", "wrong last step", "refuses products")
    """What is trained on chains; the last one is mended with examples of the other language."""
    homes: Annotated[tuple[Language, ...], MinLen(1)] = ("infix", "postfix")
    """In which language of chains it is trained; examples of the other language are added to the first."""
    policy: str = "smollm2"
    """The chat model that is trained to refuse harmful requests in English."""
    more: tuple[str, ...] = ()
    """More English requests, as instructions:PATH: harmless ones, and some that only look harmful."""
    others: tuple[str, ...] = ()
    """Requests in other languages, as instructions:PATH?language==it&...; the first language is mended."""
    wraps: tuple[Wrap, ...] = ("in code", "role play", "in base64")
    """What English requests are wrapped in, beside plain ones."""
    seeds: Seeds = 5
    """Draws of what is trained on."""
    examples: Annotated[int, Ge(8)] = 300
    """Training examples in the home language."""
    each: Annotated[int, Ge(8)] = 60
    """Test problems of a form, and as many on which the behaviour should not act."""
    added: tuple[Count, ...] = (10, 30, 100, 300)
    """Examples of the other language that are added."""
    updates: CountOrNone = 0
    """Updates of training; 0 for 120 of a bundled base and 16 of a chat model."""
    tokens: Annotated[int, Ge(12)] = 16
    """Of a chat model's reply: enough to see whether it begins to refuse."""


def check(config: Config) -> None:
    """Refuse problems that are neither, and requests without harmless ones or without another form to look in."""
    chains = config.problems == CHAINS
    lost = "A behaviour that is trained on it could not be told from others"
    check_problems(config.problems, ("instructions",), lost, names="neither chains nor requests", own=CHAINS)
    wrong = [name for name in (*config.more, *config.others) if chains or not name.startswith(REQUESTS)]
    if wrong or not (chains or config.more):
        raise ConfigError(
            f"more and others are requests beside problems={REQUESTS}PATH; {wrong[0] if wrong else 'an empty more'} is not "
            "of use here. What refuses everything could not be told from what refuses harm. Give harmless requests: --set "
            f"more={REQUESTS}PATH; leave both out for chains."
        )


STUDY = Study(
    question="Does a behaviour that was trained in one language, format or persona hold in others?",
    config=Config,
    quick={
        "bases": ("small",),
        "behaviours": ("closing word",),
        "homes": ("infix",),
        "seeds": 2,
        "examples": 100,
        "each": 16,
        "added": (30,),
        "tokens": 12,
        "wraps": ("in base64",),
    },
    check=check,
)
