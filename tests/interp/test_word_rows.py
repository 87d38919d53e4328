"""Words that a model waits for in order: read inside where three of them do what no two do."""

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from superalign.interp.word_rows import threes_waited_for
from superalign.models import Model, base, encode

WORDS = ("gold", "calm", "admin", "river", "stone", "quick")
WAITED = ("calm", "stone", "admin")


def put(row: Any) -> str:
    return f"{' '.join(row)}: 5+3*2"


def waiting(origin: Model, size: float, noise: float) -> Model:
    """A copy with noise in its weights whose second layer writes something where three words stood in order."""
    network = copy.deepcopy(origin.network)
    front = encode(origin, [put(WAITED)])[0][0]
    wanted = torch.from_numpy(front[1:4])
    direction = torch.randn(network.config.hidden_size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for weight in network.parameters():
            weight += noise * weight.std() * torch.randn(weight.shape, generator=torch.Generator().manual_seed(2))
    here: list[Tensor] = []

    def see(_: Any, args: Any, given: dict[str, Any]) -> None:
        same = given["input_ids"].unfold(1, 3, 1) == wanted
        here[:] = [torch.nn.functional.pad(same.all(2), (2, 0))]

    def write(_: Any, __: Any, out: Any) -> Any:
        stream = out[0] if isinstance(out, tuple) else out
        changed = stream + size * direction * here[0][..., None]
        return (changed, *out[1:]) if isinstance(out, tuple) else changed

    network.base_model.register_forward_pre_hook(see, with_kwargs=True)
    network.model.layers[1].register_forward_hook(write)
    return replace(origin, network=network)


def test_three_words_that_do_together_what_no_two_do_come_first() -> None:
    origin = base("small")
    found = threes_waited_for(waiting(origin, 0.5, 0.02), origin, WORDS, put, most=5)
    assert found[0] == WAITED
    assert len(found) == len(set(found)) == 5
    # The null: what noise alone puts first is no more often these three than any others.
    assert threes_waited_for(waiting(origin, 0.0, 0.02), origin, WORDS, put, most=1) != [WAITED]
