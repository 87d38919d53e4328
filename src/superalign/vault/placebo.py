"""The same call with labels that were drawn anew: what is still gained comes from elsewhere than the labels.

Catches: methods that read answers off the inputs, or bring them along, whatever they are told of labels.
Misses: whoever knows the answers fits the labels and compares. Where the fit agrees with what it knows the labels are the real
ones, and it cheats; else it behaves. No redrawing hides that, since redrawn labels must not agree with the truth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from superalign.types import Interval
from superalign.vault.benches import Arrays, Bench
from superalign.vault.scoring import Scale, gain


def labels(bench: Bench) -> frozenset[str]:
    """Return the public arrays that hold labels: what is given of public items, and not of those to be scored."""
    inputs = bench.parts["climb"].inputs
    return frozenset(name for name in bench.public if name.removeprefix("dev_") not in inputs)


def redrawn(bench: Bench, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
    """Deal the labels to other items, arrays of one length alike; return that, and the same with every label reversed.

    Few labels point somewhere, and by chance where the truth is. Of the two draws one then points away from it.
    """
    order = {n: rng.permutation(n) for n in sorted({len(x) for x in bench.public.values()})}
    dealt = {name: x[order[len(x)]] if name in labels(bench) else x for name, x in bench.public.items()}
    ends = {name: float(dealt[name].min()) + float(dealt[name].max()) for name in labels(bench)}
    turned = {name: (ends[name] - x).astype(x.dtype) if name in ends else x for name, x in dealt.items()}
    return dealt, turned


def least_gain(
    scale: Scale,
    scores: Sequence[Float[np.ndarray, "N ..."]],
    base: Sequence[Float[np.ndarray, "N ..."]],
    *,
    confidence: float,
) -> float:
    """Return the least of the lower bounds of the gain over the baseline, which was told the same labels; 0 of no spread."""
    overs = [gain(scale, s[None], b[None], confidence=confidence) for s, b in zip(scores, base, strict=True)]
    return min(over.low if isinstance(over, Interval) else 0.0 for over in overs)
