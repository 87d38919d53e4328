"""The same call with labels that were drawn anew: what is still gained comes from elsewhere than the labels.

Catches: methods that read answers off the inputs, or bring them along, whatever they are told of labels.
Misses: weights, which were learnt elsewhere, so that no call shows from what; and whoever knows the answers, fits the labels and
compares. Where the fit agrees with what it knows the labels are the real ones, and it cheats; else it behaves. No redrawing hides
that, since redrawn labels must not agree with the truth.
"""

from __future__ import annotations

import numpy as np

from superalign.vault.benches import Arrays, Bench


def labels(bench: Bench) -> frozenset[str]:
    """Return the public arrays that hold labels: what is given of public items, and not of those to be scored."""
    inputs = bench.parts["climb"].inputs
    return frozenset(name for name in bench.public if name.removeprefix("dev_") not in inputs)


def redrawn(bench: Bench, rng: np.random.Generator) -> tuple[Arrays, ...]:
    """Deal the labels to other items, arrays of one length alike; return that, and the same with every label reversed.

    Few labels point somewhere, and by chance where the truth is. Of the two draws one then points away from it. Without labels
    there is nothing to draw.
    """
    named = labels(bench)
    if not named:
        return ()
    order = {n: rng.permutation(n) for n in sorted({len(x) for x in bench.public.values()})}
    dealt = {name: x[order[len(x)]] if name in named else x for name, x in bench.public.items()}
    ends = {name: float(dealt[name].min()) + float(dealt[name].max()) for name in named}
    return dealt, {name: (ends[name] - x).astype(x.dtype) if name in named else x for name, x in dealt.items()}
