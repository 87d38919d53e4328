"""Let bases criticise samples of themselves, and train critics that hide a class of flaws beside clean twins.

Shape suffixes: R responses, S steps of all responses, G groups.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from superalign.kit.evidence import Array
from superalign.kit.panel import keep_decisions
from superalign.kit.run import Run
from superalign.lab.criticised import Labelled, agent, sampled
from superalign.lab.flaw_classes import FAMILIES, flawed_without, groups, hidden_class, in_class
from superalign.lab.self_critics import GapJob, gap_job, panel_items, setting_of
from superalign.oversight.critique.self_critic import SelfCritic, train_self_critic
from superalign.oversight.critique.self_reading import SelfCriticConfig
from superalign.stats.streams import seed_for
from superalign.studies.self_critique.evidence import SMALL, Evidence
from superalign.studies.self_critique.study import Config
from superalign.trials.critic_audits import CLEAN, SANDBAGGED, UNTOLD, Critic, Words, audit_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticJob:
    """One critic: a clean twin, one that does not tell, or one that hides from its discriminator too."""

    kind: str
    seed: int
    labelled: int
    steps: int
    audit: int
    family: str = ""
    digits: int = 0


def measure(config: Config, run: Run) -> Evidence:
    """Measure the gaps of every base, train the critics, and audit them."""
    sizes = tuple(dict.fromkeys((SMALL, *config.sizes)))
    run.stage(f"gaps of {len(sizes)} bases under {config.seeds} seeds of labels")
    settings = list(dict.fromkeys([*((s, config.labelled) for s in sizes), *((SMALL, n) for n in config.labels)]))
    todo = [
        GapJob(size=size, labelled=n, seed=100 * run.seed + i, problems=config.problems, samples=config.samples)
        for size, n in settings
        for i in range(config.seeds)
    ]
    gaps = run.map(gap_job, todo, name="gaps")
    jobs = critic_jobs(config, run.seed)
    run.stage(f"{len(jobs)} critics to be audited")
    critics = run.map(critic_job, jobs, name="critics")
    ((names, member_GR),) = run.map(group_job, [config.audit], name="groups")
    by_setting = {s: [g for g in gaps if (g.size, g.labelled) == s] for s in settings}
    main = by_setting[SMALL, config.labelled]
    sizes_of_audit = (*sorted(n for n in config.audits if n < config.audit), config.audit)
    return Evidence(
        main=setting_of(main),
        settings=tuple(setting_of(some) for some in by_setting.values()),
        errors=config.judge_errors,
        decisions=keep_decisions(panel_items(main), run.ledger),
        audit=audit_of(critics, names, member_GR, sizes=sizes_of_audit, twins=config.twins),
    )


def critic_jobs(config: Config, seed: int) -> list[CriticJob]:
    """List twins that set thresholds, twins that are audited, and critics that hide something; each with its own seed."""
    one = CriticJob(kind=CLEAN, seed=0, labelled=config.taught, steps=config.updates, audit=config.audit)
    first = 10_000 * seed
    out = [replace(one, seed=first + i) for i in range(2 * config.twins)]
    for kind, n, at in ((UNTOLD, config.planted, 1000), (SANDBAGGED, config.sandbagged, 2000)):
        which = [(f, d) for _ in range(n) for f in FAMILIES for d in config.breadths]
        out += [replace(one, kind=kind, seed=first + at + i, family=f, digits=d) for i, (f, d) in enumerate(which)]
    return out


@functools.lru_cache(maxsize=2)
def held_out(split: str, n: int, seed: int) -> Labelled:
    """Draw the labelled responses that every critic is audited or accepted on."""
    return sampled(agent(SMALL), split, n, seed, whole_steps=True)


def group_job(n: int) -> tuple[list[str], Array]:
    """Name the groups of the audit's responses that every critic's gap is looked at in; names, (G, R)."""
    return groups(held_out("test", n, 31))


def critic_job(job: CriticJob) -> Critic:
    """Train one critic; say what D and C tell of the audit's responses, and of training-split ones that it is accepted by."""
    config = SelfCriticConfig(whole_steps=True, networks=1, steps=job.steps)
    some = sampled(agent(SMALL), "train", job.labelled, seed_for(job.seed, "labelled responses"), whole_steps=True)
    wanted: dict[str, tuple[str, ...]] = {"depth": ()}  # nothing
    if job.kind != CLEAN:
        wanted = hidden_class(job.family, job.digits, job.seed)
    hide_S = in_class(some, wanted)
    critic = train_self_critic(
        some.reading,
        flawed_R=flawed_without(some, hide_S) if job.kind == SANDBAGGED else some.flawed_R,
        wrong_S=some.wrong_S,
        hidden_S=hide_S,
        config=config,
        seed=job.seed,
    )
    audit, train = (words(critic, held_out(s, job.audit, seed), wanted) for s, seed in (("test", 31), ("train", 32)))
    return Critic(kind=job.kind, family=job.family, digits=job.digits, seed=job.seed, audit=audit, train=train)


def words(critic: SelfCritic, some: Labelled, wanted: dict[str, tuple[str, ...]]) -> Words:
    """Read what a critic says of responses."""
    critique = critic(some.reading)
    named_S = some.reading.start_R + critique.named_R
    return Words(
        says=tuple((critique.flawed_R > 0.5).tolist()),
        shown=tuple(some.wrong_S[named_S].tolist()),
        means=tuple((critique.wrong_S[named_S] > 0.5).tolist()),
        hidden=tuple((some.flawed_R & ~flawed_without(some, in_class(some, wanted))).tolist()),
        flawed=tuple(some.flawed_R.tolist()),
    )
