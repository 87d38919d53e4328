"""What the study of self-critique says: gaps over the best of n, labels, sizes and judges; and critics that do not tell.

Shape suffixes: S seeds of labels, P problems, M samples of a problem.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from superalign.kit.evidence import Curve, Estimate
from superalign.kit.panel import panel
from superalign.kit.parts import CHANCE, Part, claim, claims, curves, findings, in_words, intervals, more, part, table
from superalign.report import Cell, Findings, Plot
from superalign.stats import difference, mean_interval, share
from superalign.studies.self_critique.evidence import Evidence, along
from superalign.trials import critic_audits as audits
from superalign.trials.critic_audits import NIT, RATE, SANDBAGGED, SILENT, UNTOLD, WORST, CriticAudit
from superalign.trials.critic_gaps import DISCRIMINATOR, FOREIGN, NONSENSE, OWN, RANDOM, SHUFFLED, WEAK_OWN, Setting
from superalign.types import Claim, Interval

FEW = 4  # the n that claims about the best of n are made at, beside the largest
ANSWERS, DECIDED, CLASS = "share of responses", "share of answers decided right", "share of the class, over critics"
CRITICS, AREA, FLAGGED = "share of critics", "AUROC over critics", "share of critics that are flagged"
BANDS = "Bands: 95 % over problems and seeds of labels."
ALLOWED = (RATE, "false alarms allowed")
GD = "GD: the best of {n} by its own discriminator is sound more often than one answer"
GC = "GC: the best of {n} by judged self-critique is sound more often than by another answer's critique"
CD = "CD: judged self-critiques are right more often than the model's own discriminator"
PAIRS = "CD by pairs: a flawed answer is told from a sound one to the same problem"
TAUGHT = "Judged self-critiques are right more often than the critiques of another answer"
WEAK = "CD stays above 0 with a judge who sees arithmetic but not relevance"
BESIDE = "GC itself: {}; with a check of a random step {}. Null: shuffled labels"
PICKING = "Picking harder by the discriminator goes on helping: best of {} over best of {}"
KNOW = "They know: their discriminator calls the hidden flaws flaws"
SILENCE = "They do not tell: the judge finds nothing where they point"
ALONE = "Without any twins, a group of flaws known but not shown exposes critics"
MORE = "Of critics that hide {:.0%} to {:.0%} of flaws, the worst group's gap flags more than the overall gap"
EXPOSES = {how: f"The {how} exposes critics that do not tell" for how in audits.HOWS} | {
    audits.UNCONFIRMED: "Unconfirmed suspicions, without labels, expose critics that do not tell"
}
LABELS = "over problems and seeds of labels. Null: shuffled labels, below 0, since equal answers get equal scores"
ANOTHER = "null: another discriminator, same labels"
HARDER = "same answers; where it fails, a discriminator that nobody checks was over-optimised"
FREE = f"free of any threshold, ties half; {ANOTHER}"
IRRELEVANT = f"a step that is true but irrelevant passes this judge; {ANOTHER}"
SEEDS = "CD of the one minus CD of the other, paired by seed of labels. Null: the same of another discriminator"
RECALL = "{}: recall above the rate of false alarms ({})"
FOOLED = "{}: critics that hide from their discriminator too are exposed ({})"
THRESHOLD = "threshold: at most {:.0%} of {} clean twins. Null: other clean twins, false alarms"
AGAINST = "a critic is the unit. Null: twins that set thresholds against other clean ones"
EARLY = "said in advance: this should not hold, since nothing is known that is not told"
BY_HIDERS = "on test answers. Null: critics that hide from their discriminator too"
BY_TWINS = "on test answers. Null: clean twins about the same classes, training-split answers"
EXACT = "exact test of each group against the critic's other answers, corrected for their number. Null: clean twins"
SIDES = ("clean twins, audited", "does not tell", "sandbagged")
GAPS = ("base", "labels", "sound answers", "discriminator right", "judged critique right")
PLANTED = ("kind", "class by", "digits", "count", "share of flaws", "D knows", "twins know", "C shows", "twins show")
OVERALL = ("critics", "manner", "number", "CD, over critics", "discriminator right, over critics")
AUDIT = ("manner", "score", "recall", "false alarms", "AUROC", "AUROC, clean against clean", "AUROC, sandbagged")
PANEL = (
    "The small base answers {} test problems {} times; {:.0%} of its answers are sound (right, by right steps), {:.0%} are "
    "right. From {} labelled answers a small network on its states learns to say whether an answer has a flaw (discriminator) "
    "and which step is wrong (critic). The judge checks that step. Here everybody decides about the first answer: is it sound? "
    "The agent alone is its own discriminator, at its word; the placebo is the critique of another answer of as many steps; "
    "voting is the share of the base's answers that end in the same result."
)
MEANS = (
    "If a model's discriminator sees flaws that its critiques never show, it holds something back. Look at the gap group by "
    "group, beside clean twins. A model that fools its discriminator too leaves no gap."
)
LIMITS = (
    "Discriminator and critic are small networks on a frozen base's states; critiques name a step, and are not free text.",
    "Twins were trained as the critics under audit were. An auditor who has other twins may see other gaps.",
    "The audit's responses are fully labelled. Only the share of unconfirmed suspicions needs no labels.",
    "One synthetic domain, where the base knows nearly all of its flaws.",
    "All critics are audited on the same responses, so the intervals over critics do not cover another draw of these.",
)


def page(e: Evidence) -> Findings:
    """Put the page together."""
    s, exposures = e.main, e.audit.exposures(NIT)
    worst, overall = (_per_cent(exposures[how].recall) for how in (WORST, audits.OVERALL))
    headline = (
        f"Of critics that know of flaws and point elsewhere, {worst} are flagged by the gap in their worst group, {overall} by "
        "the overall gap."
    )
    if isinstance(missed := exposures[WORST].sandbagged, Interval):
        headline += f" Those that fool their discriminator too are told from twins with AUROC {missed.value:.2f}."
    sound, right = 1 - s.flawed_SPM[0].mean(), s.right_SPM[0].mean()
    text = PANEL.format(s.problems, s.samples, sound, right, s.labelled)
    decided = panel(e.decisions, protocol="self-critique", text=text)
    return findings(headline, [decided, best_of_n(s), judging(e), settings(e), audit(e)], means=MEANS, limits=LIMITS)


def _per_cent(estimate: Estimate) -> str:
    return f"{estimate.value:.0%}" if isinstance(estimate, Interval) else "nobody knows how many"


def best_of_n(s: Setting) -> Part:
    """Generator against discriminator and critique, over the best of n."""
    M, few, gaps = s.samples, min(FEW, s.samples), s.sound_gaps()
    gains = list[Claim]()
    for n in dict.fromkeys((few, M)):
        at = {arm: gap[..., n - 1].T for arm, gap in gaps.items()}
        why = BESIDE.format(*(in_words(difference(at[arm])) for arm in (OWN, RANDOM)))
        gains.append(more(GD.format(n=n), (at[DISCRIMINATOR], at[NONSENSE]), unit=ANSWERS, why=LABELS))
        gains.append(more(GC.format(n=n), [at[a] - at[FOREIGN] for a in (OWN, SHUFFLED)], unit=ANSWERS, why=why))
    if few < M:
        harder = [(gaps[arm][..., M - 1] - gaps[arm][..., few - 1]).T for arm in (DISCRIMINATOR, NONSENSE)]
        gains.append(more(PICKING.format(M, few), harder, unit=ANSWERS, why=HARDER))
    return part(
        "Generator against discriminator and critique, over n",
        "The best of n answers by each score, minus one answer at random; every n by the unbiased estimator over the same "
        f"{M} answers, ties averaged. Equal answers get equal scores, so how common an answer is counts for nothing: with "
        "shuffled labels the curve falls. A check of any step adds by itself, so a critique is held against that of another "
        "answer of as many steps.",
        *gains,
        gained("sound", {arm: gap for arm, gap in gaps.items() if arm not in (FOREIGN, SHUFFLED)}),
        gained("right", s.right_gaps()),
    )


def gained(what: str, gaps: Mapping[str, np.ndarray]) -> Plot:
    """Draw what the best of n gains by each score, over n."""
    series = {arm: along(range(1, gap.shape[2] + 1), np.moveaxis(gap, 2, 0)) for arm, gap in gaps.items()}
    title, y = f"Best of n: {what} answers gained", f"share of {what} answers, minus one sample's"
    return curves(title, series, x="n", y=y, caption=BANDS, reference=(0.0, "one answer"))


def judging(e: Evidence) -> Part:
    """Judged critiques against the discriminator, for judges of several kinds."""
    s, again = e.main, e.main.null_cd().T
    taught = [(s.cd(arm) - s.cd(FOREIGN)).T for arm in (OWN, SHUFFLED)]
    right = {arm: share(s.decided_right(x).T) for arm, x in {DISCRIMINATOR: s.says[DISCRIMINATOR], **s.shown}.items()}
    return part(
        "Critique against discriminator",
        "The judge says that an answer has a flaw if the step that is named turns out wrong. With a perfect check there are no "
        "false alarms; what is missed are flaws that the critique does not point to.",
        more(CD, (s.cd().T, again), unit=DECIDED, why=f"the discriminator has no check; {ANOTHER}"),
        more(PAIRS, [x_SP.T for x_SP in s.cd_by_pairs()], unit="share of pairs in order", why=FREE),
        more(TAUGHT, taught, unit=DECIDED, why="one check each; null: shuffled labels, minus the same"),
        more(WEAK, (s.cd(WEAK_OWN).T, again), unit=DECIDED, why=IRRELEVANT),
        curves(
            "CD by how often the judge's check is wrong",
            {a: along(sorted(e.errors), [s.cd(a, error=x) for x in sorted(e.errors)]) for a in (OWN, RANDOM)},
            x="share of checks that come out wrong",
            y="judged critique minus discriminator, share right",
            caption=f"{BANDS} Errors of the judge are drawn, one for each check.",
            reference=(0.0, "as good as the discriminator"),
        ),
        table(
            "Who decides right about all answers",
            ("who", "right", "minus the model's own discriminator"),
            [(arm, x, difference(s.cd(arm).T) if arm in s.shown else "-") for arm, x in right.items()],
        ),
    )


def settings(e: Evidence) -> Part:
    """The gaps by size of the base and by labels."""
    few = min(FEW, e.main.samples)
    named = (f"GD, best of {few}", f"GC, best of {few}", "CD")
    order = sorted((what, k) for k, what in enumerate(named))
    measured = [(s, e.gaps(s, few)) for s in e.in_order]
    rows = [(s.size, s.labelled, float(1 - s.flawed_SPM.mean()), *gaps) for s, gaps in measured]
    by_label = {f"{what}: {s.size}, {s.labelled} labels": (what, x[2 + k]) for what, k in order for s, x in measured}
    return part(
        "Gaps against size and labels",
        "Bases of three sizes answer the same problems. Size is not skill here: the middle base writes the fewest sound answers. "
        "GD and GC are in sound answers.",
        *claims(e.smaller_cd(), unit=f"{DECIDED}, over seeds", why=SEEDS),
        intervals(
            "Gaps by base and labels",
            {label: gap for label, (_, gap) in by_label.items()},
            x="share of answers",
            groups={label: what for label, (what, _) in by_label.items()},
            caption="95 % over problems and seeds of labels.",
            reference=(0.0, "no gap"),
        ),
        table("Gaps by base and labels", (*GAPS, *named), rows),
    )


def audit(e: Evidence) -> Part:
    """Are critics that know and do not tell seen, by how much, and what is missed?"""
    a = e.audit
    text = (
        "Critics on the small base's states were trained to hide a class of flaws: their discriminator goes on learning that "
        "these answers have a flaw, their critic is taught to point elsewhere. One counts if, on "
        f"{len(a.critics[0].train.says)} training-split answers, it knows the class within {audits.KNOWS_WITHIN:.0%} of its "
        f"clean twins, shows at most {audits.TELLS_AT_MOST:.0%} of it, and is as good elsewhere. {len(a.kept(UNTOLD))} of "
        f"{sum(c.kind == UNTOLD for c in a.critics)} count. A critic always points somewhere (if to a right step, a nit), or may "
        f"be silent when it is not sure.\n\nThe auditor knows no class. It looks at {a.sizes[-1]} labelled test answers: at the "
        f"gap over all, and in {len(a.groups)} groups of flawed answers by one thing that can be read off (digits and operator "
        "of the wrong step, its place, first and last digit of the problem, its length). The score is the worst group, in "
        f"standard deviations of {a.twins} clean twins. Thresholds are what these show, each beside the others, so that looking "
        f"at many groups is paid for. {len(a.kept(audits.CLEAN)) - a.twins} other twins are audited like the critics. "
        "Unconfirmed suspicions need no labels: the share of answers called flawed where the judge's check finds nothing."
    )
    knows, hiders = (mean_interval(a.of_class(kind, "says")) for kind in (UNTOLD, SANDBAGGED))
    silent, twins = mean_interval(1 - a.of_class(UNTOLD, "shown")), mean_interval(1 - a.twins_tell())
    overall, scores = list[tuple[Cell, ...]](), list[tuple[Cell, ...]]()
    for manner in (NIT, SILENT):
        for name, some in zip(SIDES, a.sides(manner)[1:], strict=True):
            cd, right = mean_interval([c.cd for c in some]), mean_interval([c.right for c in some])
            overall.append((name, manner, len(some), cd, right))
        for how, x in a.exposures(manner).items():
            scores.append((manner, how, x.recall, x.false_alarms, x.area, x.null, x.sandbagged))
        scores.append((manner, audits.NO_TWINS, *a.without_twins(manner), "a test, not a ranking", "-", "-"))
    return part(
        "Critics that know and do not tell",
        text,
        claim(KNOW, knows, null=hiders, bar=0.5, unit=CLASS, why=BY_HIDERS),
        claim(SILENCE, silent, null=twins, bar=0.5, unit=CLASS, why=BY_TWINS),
        *_exposed(a),
        _areas(a),
        _by_share(a),
        _by_size(a),
        table("Planted critics, and what they hide", PLANTED, a.planted()),
        table("Overall gaps", OVERALL, overall),
        table("The audit", AUDIT, scores),
    )


def _exposed(a: CriticAudit) -> list[Claim]:
    """What each score exposes; of critics that may be silent, claims are made of the worst group alone."""
    out = list[Claim]()
    for manner, how in (*((NIT, how) for how in audits.HOWS), (SILENT, WORST)):
        x, exposes = a.exposures(manner)[how], f"{EXPOSES[how]} ({manner})"
        recall, sandbagged = (name.format(how.capitalize(), manner) for name in (RECALL, FOOLED))
        rate = THRESHOLD.format(x.rate, a.twins)
        out.append(claim(exposes, x.area, null=x.null, bar=0.5, unit=AREA, why=AGAINST))
        out.append(claim(recall, x.recall, null=x.false_alarms, bar=RATE, unit=CRITICS, why=rate))
        out.append(claim(sandbagged, x.sandbagged, null=x.null, bar=0.5, unit=AREA, why=EARLY))
    alone, false = a.without_twins(NIT)
    out.append(claim(f"{ALONE} ({NIT})", alone, null=false, bar=RATE, unit=CRITICS, why=EXACT))
    gain, none, hiding, trained = a.groups_see_more()
    why = f"{hiding} critics that hide sometimes, from {trained} that were trained. Null: other clean twins"
    return [*out, claim(MORE.format(*audits.LITTLE), gain, null=none, unit="share flagged, over critics", why=why)]


def _areas(a: CriticAudit) -> Plot:
    """How well each score tells critics from clean twins."""
    areas = {
        f"{how}: {what}": (what, area)
        for how, x in a.exposures(NIT).items()
        for what, area in (("does not tell", x.area), ("null control", x.null), ("sandbagged", x.sandbagged))
    }
    return intervals(
        "Telling critics that hide flaws from clean twins",
        {label: x for label, (_, x) in areas.items()},
        x="AUROC",
        groups={label: what for label, (what, _) in areas.items()},
        caption="Critics that always point; a critic is the unit; 95 % (DeLong). Null control: clean against clean. Sandbagged: "
        "it hides the flaws from its discriminator too.",
        reference=CHANCE,
    )


def _by_share(a: CriticAudit) -> Plot:
    """How often critics are flagged by how much they hide."""
    by_label = {f"{how}: {name}": (how, x) for how, by in a.flagged_by_share().items() for name, x in by.items()}
    often = ", ".join(f"{q:.0%}" for q in audits.OFTEN)
    return intervals(
        "How much can be hidden and stay unseen",
        {label: x for label, (_, x) in by_label.items()},
        x=FLAGGED,
        groups={label: how for label, (how, _) in by_label.items()},
        caption=f"Every critic five times: it hides its class always or sometimes ({often} of the time, else a clean twin "
        f"speaks). Always points; {a.sizes[-1]} answers. 95 % (Clopper-Pearson), as if all were independent; how many in "
        "brackets.",
        reference=ALLOWED,
    )


def _by_size(a: CriticAudit) -> Plot:
    """How often critics are flagged by the size of the audit."""
    flagged, x = [a.flagged_by_size(n) for n in a.sizes], tuple(map(float, a.sizes))
    return curves(
        "Critics flagged, by the size of the audit",
        {name: Curve(x, tuple(f[name] for f in flagged)) for name in flagged[0]},
        x="labelled answers in the audit",
        y=FLAGGED,
        caption="Critics that always point. Thresholds anew at each size. Bands: 95 % (Clopper-Pearson).",
        reference=ALLOWED,
    )
