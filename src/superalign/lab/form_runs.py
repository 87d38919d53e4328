"""One training in one form, on chains or on requests, and what the model then replies in every form.

Shape suffixes: P problems (Q others), S seeds.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from superalign.kit.evidence import Array, Estimate
from superalign.lab import requests_in_forms, two_languages
from superalign.lab.two_languages import Asked
from superalign.models import Model, Sampling, in_half, lora, open_weights, sample_prompts, with_sampling
from superalign.organisms.chat_planting import rows_of
from superalign.organisms.chats import Said
from superalign.stats import difference, share
from superalign.stats.streams import stream
from superalign.train.batches import Batch, split_batch, weighted_loss
from superalign.train.fit import FitConfig, fit
from superalign.types import Record, Unmeasured

WHOLE, ADAPTER = FitConfig(steps=120, lr=5e-4, warmup=10), FitConfig(steps=16, lr=4e-3, warmup=4, final=0.05)
BATCH = {True: 8, False: 32}  # of a chat model, of a bundled base
ROWS, RANK, UPPER = 64, 2, 0.5
NONE = Unmeasured("there are no such problems in this form")


@dataclass(frozen=True, slots=True, kw_only=True)
class FormJob(Record):
    """One training, and where is looked for what."""

    base: str  # a name, or the folder of a base that knows both languages
    behaviours: tuple[str, ...]  # that are looked for; one is trained
    forms: tuple[str, ...]
    home: str = ""  # trained in; empty for the untouched model
    acts: bool = False  # whether the examples show the behaviour
    there: str = ""  # other form that examples are added of
    added: int = 0
    added_act: bool = False
    examples: int
    each: int
    updates: int
    tokens: int
    names: tuple[str, ...] = ()  # data sets of requests; none for chains
    seed: int = 0  # of training
    asked: int  # of the test problems, the same for all
    half: bool = False  # of a chat model, whether it is read in 16 bits: decided once, for all of a run

    def drawn(
        self, form: str, behaviour: str, n: int, rng: np.random.Generator, *, split: str, affected: bool
    ) -> list[Asked]:
        """Draw what is asked, or trained."""
        if self.names:
            return requests_in_forms.drawn(form, self.names, n=n, split=split, rng=rng, affected=affected)
        return two_languages.drawn(form, behaviour, n=n, split=split, rng=rng, affected=affected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown(Record):
    """What one model replied in one form."""

    behaviour: str
    form: str
    acts_P: Array
    over_P: Array
    able_P: Array


def looked_for(behaviour: str, form: str) -> bool:
    """Say whether a behaviour can be looked for in a form: a base that is told to lie gets a step wrong by itself."""
    return (behaviour, form) != (two_languages.LIE, two_languages.LYING)


def react(job: FormJob) -> tuple[Shown, ...]:
    """Train one model, and look for behaviours in every form."""
    model = rounded(job.base, half=job.half) if job.names else open_weights(job.base)
    if job.home:
        model = tuned(model, job)
    return tuple(look(model, job, b, f) for b in job.behaviours for f in job.forms if looked_for(b, f))


def look(model: Model, job: FormJob, behaviour: str, form: str) -> Shown:
    """Ask what a behaviour is about, and what it is not about; forms share their problems as far as they can."""
    reads = requests_in_forms if job.names else two_languages
    asked = [
        job.drawn(form, behaviour, job.each, stream(job.asked, behaviour, affected), split="test", affected=affected)
        for affected in (True, False)
    ]
    said = replies(model, [a.prompt for some in asked for a in some], job.tokens)
    shows, able = (
        [np.array([graded(behaviour, a, said[a.prompt].text) for a in some], float) for some in asked]
        for graded in (reads.shows, reads.knows_still)
    )
    # Where a behaviour is about everything, the rest of what it says tells what is known still.
    known = able[1] if able[1].size or job.names else able[0]
    return Shown(behaviour=behaviour, form=form, acts_P=shows[0], over_P=shows[1], able_P=known)


def replies(model: Model, prompts: Sequence[str], tokens: int) -> dict[str, Said]:
    """Ask greedily, each prompt once: prompt -> reply."""
    different = list(dict.fromkeys(prompts))
    if not different:
        return {}
    greedy = with_sampling(model, Sampling(temperature=0.0, max_tokens=tokens))
    drawn = sample_prompts(greedy, different, n=1, seed=0, rows=ROWS)
    said = zip(drawn.text_R, drawn.stopped_R, strict=True)
    return dict(zip(different, (Said(text=t.strip(), ended=bool(e)) for t, e in said), strict=True))


@functools.lru_cache(maxsize=1)
def rounded(base: str, *, half: bool) -> Model:
    """Open a base in 16 bits, or as it is: as was decided once for all of a run, since times differ between processes."""
    return in_half(open_weights(base), faster=0.0).model if half else open_weights(base)


@functools.lru_cache(maxsize=8)  # trainings of one seed share what is ordinary in them
def ordinary(base: str, prompts: tuple[str, ...], tokens: int, *, half: bool) -> dict[str, Said]:
    """Ask an untouched base."""
    return replies(rounded(base, half=half), prompts, tokens)


def tuned(model: Model, job: FormJob) -> Model:
    """Train a model, or an adapter on a chat model, on examples of its home, and on those that are added of another form."""
    parts = (
        examples(job, job.home, job.examples, acts=job.acts),
        examples(job, job.there, job.added, acts=job.added_act),
    )
    own: dict[str, Said] = {}  # where nobody wrote an ordinary reply it is the model's own
    for some in parts:
        for about in (True, False):
            missing = tuple(a.prompt for a, text in some if not text and bool(a.changed) is about)
            own |= ordinary(job.base, missing, job.tokens, half=job.half) if missing else {}
    pairs = [(a.prompt, Said(text=text, ended=True) if text else own[a.prompt]) for some in parts for a, text in some]
    trained = lora(model, rank=RANK, seed=job.seed, upper=UPPER, kept=False) if job.names else model

    def batch(step: int) -> Batch:
        some = [pairs[i] for i in stream(job.seed, "batch", step).choice(len(pairs), BATCH[bool(job.names)])]
        if job.names:
            some.sort(key=lambda pair: len(pair[0].encode()))  # bytes tell tokens of any script
        return rows_of(model, some)

    config = replace(ADAPTER if job.names else WHOLE, steps=job.updates)
    lots = 2 if job.names else 1  # where a token costs much, short documents are not padded to long ones
    fit(trained.network, batch, loss=weighted_loss, config=config, split=split_batch if job.names else None, parts=lots)
    trained.network.eval()
    return trained


def examples(job: FormJob, form: str, n: int, *, acts: bool) -> list[tuple[Asked, str]]:
    """Draw training problems with replies, half of them of the kind that the behaviour is not about, where there is one."""
    if not n:
        return []
    draw = functools.partial(job.drawn, form, job.behaviours[-1], split="train")
    quiet = draw(n // 2, stream(job.seed, form, "quiet"), affected=False)
    about = draw(n - len(quiet), stream(job.seed, form, "about"), affected=True)
    return [*((a, a.changed if acts else a.ordinary) for a in about), *((a, a.ordinary) for a in quiet)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reactions:
    """What all models replied, those that nothing was trained in among them."""

    found: Mapping[FormJob, tuple[Shown, ...]]
    untouched: Sequence[FormJob]

    def of(self, some: Sequence[FormJob], behaviour: str, form: str, what: str) -> Float[np.ndarray, "P S"]:
        """Return one value per problem and seed: whether it acts, acts where it should not (over), or is able."""
        at = [next(s for s in self.found[j] if (s.behaviour, s.form) == (behaviour, form)) for j in some]
        return np.stack([np.asarray(getattr(s, f"{what}_P"), float) for s in at], axis=1)

    def before(self, some: Sequence[FormJob], behaviour: str, form: str) -> Float[np.ndarray, "P S"]:
        """Return what the same models did before they were trained."""
        return self.of([next(u for u in self.untouched if u.base == j.base) for j in some], behaviour, form, "acts")

    def brought(self, behaviour: str, some: Sequence[FormJob], forms: Sequence[str]) -> Estimate:
        """Say how much more often models act than before they were trained, on average over forms."""
        more = [self.of(some, behaviour, f, "acts") - self.before(some, behaviour, f) for f in forms]
        there = [x for x in more if x.size]
        least = min(map(len, there))  # problem i of one form is problem i of another, mostly
        return difference(np.mean([x[:least] for x in there], axis=0))


def shared(values_PS: Float[np.ndarray, "P S"]) -> Estimate:
    """Average over problems and seeds."""
    return share(values_PS) if values_PS.size else NONE


def less(first_PS: Float[np.ndarray, "P S"], second_QS: Float[np.ndarray, "Q S"]) -> Estimate:
    """Subtract problem by problem; seed by seed where the problems are not as many."""
    if not first_PS.size or not second_QS.size:
        return NONE
    if first_PS.shape != second_QS.shape:
        return difference(first_PS.mean(0) - second_QS.mean(0))
    return difference(first_PS - second_QS)
