"""Labels: what somebody who knows the problems says of a policy's own training responses."""

from __future__ import annotations

from superalign.grants.setting import Setting
from superalign.models import Model
from superalign.types import Problem


def labelled_responses(
    setting: Setting, base: Model, *, n: int, seed: int
) -> tuple[list[Problem], list[str], list[list[bool]]]:
    """Sample a base on training problems and label every unit: what critics and supervised arms learn from.

    Args:
        setting: Problems, and what a label is.
        base: Who writes.
        n: Responses, one to a problem.
        seed: Of problems and responses.

    Returns:
        Problems, responses, and of each response which of its units are wrong.
    """
    asked = setting.problems("train", n, 10_000 + seed)
    texts = list(base.sample(asked, n=1, seed=10_000 + seed).text_R)
    return list(asked), texts, setting.wrong_units(asked, texts)
