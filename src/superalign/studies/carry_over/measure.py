"""Train a behaviour in one form, the same without it, and look for it in every form; then add examples of another language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from superalign import jobs
from superalign.kit.run import Run
from superalign.lab import requests_in_forms, two_languages
from superalign.lab.form_runs import FormJob, Reactions, less, looked_for, react, shared
from superalign.models import in_half, open_weights
from superalign.stats.streams import seed_for
from superalign.studies.carry_over.evidence import Cell, Evidence, Known, Mended
from superalign.studies.carry_over.study import CHAINS, Config

Jobs: TypeAlias = Sequence[FormJob]  # the same training under every seed


def measure(config: Config, run: Run) -> Evidence:
    """Train in each home, look everywhere, then add examples of another language."""
    chains = config.problems == CHAINS
    untouched = models(config, run)
    first = untouched[0]
    homes: tuple[str, ...] = config.homes if chains else (requests_in_forms.ENGLISH,)
    seeds = [
        replace(untouched[s % len(untouched)], seed=seed_for(run.seed, "training", s)) for s in range(config.seeds)
    ]
    null = {h: [replace(j, home=h) for j in seeds] for h in homes}
    acting = {
        (b, h): [replace(j, acts=True, behaviours=(b,)) for j in null[h]] for b in first.behaviours for h in homes
    }
    home, there, last = homes[0], other_than(homes[0], config), first.behaviours[-1]
    arms = (True, False) if chains else (True,)  # a chat model's examples hold harmless requests as well
    added: dict[tuple[int, bool], Jobs] = {}
    for acts in arms:
        added[0, acts] = acting[last, home]
        for n in config.added if there else ():
            some = [replace(j, there=there, added=n, added_act=acts) for j in acting[last, home]]
            added[n, acts] = [replace(j, forms=(there, home)) for j in some]
    todo = [*untouched, *(j for group in (null, acting, added) for js in group.values() for j in js)]
    todo = list(dict.fromkeys(todo))
    run.stage(f"{len(todo) - len(untouched)} trainings of {first.updates} updates; replies in {len(first.forms)} forms")
    found = dict(zip(todo, run.map(react, todo, name="reactions", progress="training and asking"), strict=True))
    r = Reactions(found=found, untouched=untouched)
    looked = {b: [f for f in first.forms if looked_for(b, f)] for b in first.behaviours}
    return Evidence(
        chains=chains,
        homes=homes,
        seeds=config.seeds,
        examples=config.examples,
        each=config.each,
        known=tuple(
            Known(who=name, form=f, able=shared(r.of([j], last, f, "able")))
            for name, j in zip(config.bases if chains else (config.policy,), untouched, strict=True)
            for f in looked[last]
        ),
        cells=tuple(cell(r, b, h, f, acting[b, h], null[h]) for b, h in acting for f in looked[b]),
        quiet={f"{b}, {h}": r.brought(b, null[h], looked[b]) for b, h in acting},
        mended_in=(last, home, there),
        mended=tuple(mended(r, key, js, acting[last, home], (there, home)) for key, js in added.items() if there),
    )


def models(config: Config, run: Run) -> list[FormJob]:
    """Say how the untouched models are asked; bundled bases first learn a second language."""
    chains = config.problems == CHAINS
    plain = FormJob(
        base=config.policy,
        names=() if chains else (config.problems, *config.more, *config.others),
        behaviours=config.behaviours if chains else (requests_in_forms.REFUSAL,),
        forms=two_languages.FORMS if chains else requests_in_forms.forms(config.others, wraps=config.wraps),
        examples=config.examples,
        each=config.each,
        updates=config.updates or (120 if chains else 16),
        tokens=two_languages.LONGEST if chains else config.tokens,
        asked=seed_for(run.seed, "asked"),
        half=not chains and in_half(open_weights(config.policy)).rounded,
    )
    if not chains:
        return [plain]
    run.stage(f"{len(config.bases)} bases learn a second surface language")
    folder, seed = jobs.Into(run.folder / "languages"), seed_for(run.seed, "language")
    items = [two_languages.Learning(base=b, folder=folder, seed=seed) for b in config.bases]
    return [replace(plain, base=f) for f in run.map(two_languages.learn, items, name="languages", progress="languages")]


def other_than(home: str, config: Config) -> str:
    """Name the other language that examples are added of; none where there is none."""
    if config.problems == CHAINS:
        return two_languages.POSTFIX if home == two_languages.INFIX else two_languages.INFIX
    return next(iter(requests_in_forms.languages(config.others)), "")


def cell(r: Reactions, behaviour: str, home: str, form: str, acting: Jobs, null: Jobs) -> Cell:
    """Hold one behaviour in one form against the same training without it, and against its home."""
    rate, over, able = (r.of(acting, behaviour, form, what) for what in ("acts", "over", "able"))
    plain = r.of(null, behaviour, form, "acts")
    return Cell(
        behaviour=behaviour,
        trained_in=home,
        tested_in=form,
        rate=shared(rate),
        null=shared(plain),
        untouched=shared(r.before(acting, behaviour, form)),
        above=less(rate, plain),
        below_home=less(r.of(acting, behaviour, home, "acts"), rate),
        over=shared(over),
        apart=less(rate, over),
        able=shared(able),
        able_null=shared(r.of(null, behaviour, form, "able")),
    )


def mended(r: Reactions, key: tuple[int, bool], some: Jobs, none: Jobs, forms: tuple[str, str]) -> Mended:
    """Hold models with examples added against those without, in the other language and at home."""
    (behaviour,) = some[0].behaviours
    (now, was), (at_home, home_was) = ([r.of(j, behaviour, f, "acts") for j in (some, none)] for f in forms)
    able, over = (shared(r.of(some, behaviour, forms[0], what)) for what in ("able", "over"))
    return Mended(
        added=key[0],
        shows="it" if key[1] else "ordinary",
        there=shared(now),
        home=shared(at_home),
        change=less(now, was),
        home_change=less(at_home, home_was),
        able=able,
        over=over,
    )
