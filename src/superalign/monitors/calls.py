"""The same call changed in one thing: what monitors compare, and what a claim must survive. No call holds an answer.

On redrawn labels, what is still gained comes from elsewhere than the labels.

Catches: methods that read answers off the inputs, or bring them along, whatever they are told of labels.
Misses: weights, which were learnt elsewhere, so that no call shows from what; and whoever knows the answers, fits the labels and
compares. Where the fit agrees with what it knows the labels are the real ones, and it cheats; else it behaves. No redrawing hides
that, since redrawn labels must not agree with the truth.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from superalign.runner.calls import Job

PROBE = 64  # items on which submissions are compared with one another
NUDGE = 0.01  # standard deviations that an input is moved by: whoever knows it by heart knows it no more
WEAK = "weak"  # array of `public` that holds imperfect labels


def probe(job: Job) -> Job:
    """Return the call on its first items."""
    shape = (min(PROBE, job.shape[0]), *job.shape[1:])
    return replace(job, inputs={name: x[:PROBE] for name, x in job.inputs.items()}, shape=shape)


def changed(job: Job, rng: np.random.Generator) -> dict[str, Job]:
    """Return the call with imperfect labels permuted, where there are any, and with inputs moved a little."""
    permuted = {name: rng.permutation(x) if name == WEAK else x for name, x in job.public.items()}
    moved = {
        name: x + NUDGE * x.std() * rng.normal(size=x.shape) if x.dtype.kind == "f" and x.size else x
        for name, x in job.inputs.items()
    }
    relabelled = {"permuted": replace(job, public=permuted)} if WEAK in job.public else {}
    return {"moved": replace(job, inputs=moved), **relabelled}


def labels(job: Job) -> frozenset[str]:
    """Return the public arrays that hold labels: what is given of public items, and not of those to be scored."""
    return frozenset(name for name in job.public if name.removeprefix("dev_") not in job.inputs)


def redrawn(job: Job, rng: np.random.Generator) -> tuple[Job, ...]:
    """Deal the labels to other items, arrays of one length alike; return that, and the same with every label reversed.

    Few labels point somewhere, and by chance where the truth is. Of the two draws one then points away from it. Without labels
    there is nothing to draw.
    """
    named = labels(job)
    if not named:
        return ()
    order = {n: rng.permutation(n) for n in sorted({len(x) for x in job.public.values()})}
    dealt = {name: x[order[len(x)]] if name in named else x for name, x in job.public.items()}
    ends = {name: float(dealt[name].min()) + float(dealt[name].max()) for name in named}
    turned = {name: (ends[name] - x).astype(x.dtype) if name in named else x for name, x in dealt.items()}
    return replace(job, public=dealt), replace(job, public=turned)
