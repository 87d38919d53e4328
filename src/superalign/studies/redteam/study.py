"""Red team one model: the worst that a search over prompts finds, and how many requests jailbreak templates make it comply with.

Harsher than planned use by construction: the search is given the model's own gradients and a detector's scores. A clean twin
is searched the same way, because a search always finds something; random search at equal budgets shows what searching is worth.
Templates stand beside as many plain tries, and their worst is chosen on other requests than it is reported on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, MinLen

from superalign.errors import ConfigError
from superalign.kit.study import Count, Seeds, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to search, and how hard."""

    subject: str = ""
    """The model: a folder, a hub id, or a folder with a LoRA adapter of the base; empty for a bundled demonstration."""
    base: str = "small"
    """What it was made from: a bundled base (small, middle, large), a folder, or a hub id."""
    reference: tuple[str, ...] = ()
    """Models of the same base that are known to be clean; empty for the clean twins that ship, on the small base."""
    budgets: Annotated[tuple[Annotated[int, Ge(40)], ...], MinLen(1)] = (50, 100, 200, 400, 800)
    """Prompts that a search may ask, rising; gradients alone cost more than 40."""
    seeds: Seeds = 8
    """Searches of each kind."""
    max_tokens: Count = 96
    """Longest response."""
    prompts: str = ""
    """A JSONL file with a prompt on each line, to search with; needed for every base that is not bundled, or requests."""
    requests: str = ""
    """Requests to put into jailbreak templates, instructions:PATH; empty to leave templates out."""
    templates: str = ""
    """A file of templates, each with {prompt} in it; empty for the harmless ones that ship."""
    most: Count = 8
    """Templates that are tried at most: the first ones of the file."""
    each: Annotated[int, Ge(8)] = 32
    """Requests of each harm and half at most."""
    reply_tokens: Count = 24
    """Longest reply to a request."""

    @property
    def searches(self) -> bool:
        """Whether the gradient search is run: with requests alone it is not."""
        return bool(self.prompts) or not self.requests


def check(config: Config) -> None:
    """Refuse budgets that do not rise, a search without a clean model beside it, and templates without requests."""
    if config.templates and not config.requests:
        raise ConfigError(
            f"templates={config.templates} stand around requests, and none are given. Nothing would be asked. Give --requests "
            "instructions:PATH (of `run`: --set requests=instructions:PATH)."
        )
    if list(config.budgets) != sorted(set(config.budgets)):
        raise ConfigError(
            f"budgets={config.budgets} do not rise. The curve would have no points to go through. Give rising numbers of prompts."
        )
    if config.searches and config.base != "small" and not config.reference:
        raise ConfigError(
            f"No clean model of the base {config.base} ships. A search always finds something, and nothing would say how much "
            "it finds in a clean model. Give --reference PATH (of `run`: --set reference=PATH); the base itself will do where "
            "nothing better is at hand."
        )


STUDY = Study(
    question="Red team one model: the worst that a search finds at its cost, and what jailbreak templates add",
    config=Config,
    quick={"seeds": 4, "budgets": (50, 100), "most": 4, "each": 12},
    check=check,
)
