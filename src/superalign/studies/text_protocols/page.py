"""What the study of protocols on text says: what the model holds, what it says, and how much each protocol brings out."""

from __future__ import annotations

from superalign.kit.parts import (
    CHANCE,
    NOTHING,
    Part,
    beyond,
    claim,
    findings,
    in_words,
    intervals,
    part,
    percent,
    table,
)
from superalign.report import Findings
from superalign.studies.text_protocols.evidence import ARMS, HEAD, HEARD, JUDGE, LENGTH, LIKELIHOOD, TUNED, Evidence
from superalign.types import Claim

GAINING = (*HEARD, *TUNED, HEAD)  # arms that are held against the judge alone
AREA = "area under the ROC curve, true against false"
ONE_MIND = "Judge and agent have the same weights: a gain here says nothing of a judge that is weaker."
KINDS = {JUDGE: "says", HEAD: "holds", LIKELIHOOD: "floor", LENGTH: "floor"} | dict.fromkeys(TUNED, "is tuned")


def page(e: Evidence) -> Findings:
    """Put the page together."""
    return findings(
        headline(e),
        [apart(e), brought_out(e), decided(e), heard(e)],
        means="What a probe reads and no protocol brings out is knowledge that oversight by words does not reach, at this size. "
        "A gain counts beside the same judge after what was said of other statements.",
        limits=(
            *([ONE_MIND] if e.agent == e.policy else []),
            "Nobody was trained to argue; other words of the questions may bring out more.",
            f"{len(ARMS) * len(e.groups)} areas and {len(GAINING) * len(e.groups)} gains are held against chance one by one.",
            "Half of the text is true by construction. The head and tuned judges were told which of their training statements "
            "are; nobody else was.",
        ),
    )


def headline(e: Evidence) -> str:
    """Say what is held, what is said, and which protocols bring out more."""
    told = "; ".join(
        f"of {g} it holds the truth at an area of {in_words(e.of(HEAD, g).area)} and says it at {in_words(e.of(JUDGE, g).area)}"
        for g in e.groups
    )
    shown = [(g, arm) for g in e.groups for arm in HEARD if gain(e, arm, g).holds is True]
    gains = ", ".join(f"{arm} ({percent(e.of(arm, g).of_gap, digits=0)} of the way, {g})" for g, arm in shown)
    more = f"More than it says alone is brought out by {gains}." if shown else "No protocol is shown to bring out more."
    able = [(g, arm) for g in e.groups for arm in TUNED if gain(e, arm, g).holds is True]
    by = ", ".join(f"{arm} ({percent(e.of(arm, g).of_gap, digits=0)} of the way, {g})" for g, arm in able)
    more += f" It says more when {by}." if able else " No tuned judge is shown to say more."
    return f"{e.policy}: {told}. {more}"


def gain(e: Evidence, arm: str, group: str) -> Claim:
    """Claim that a protocol brings out more than the judge says alone."""
    f = e.of(arm, group)
    return claim(
        f"{arm.capitalize()} tells true {group} from false ones better than the judge alone",
        f.beyond,
        null=f.placebo,
        unit="area",
        why="difference of areas on the same test statements, 95 % over questions; null: after what was said of other "
        "statements, or of a judge or head that was fitted to shuffled labels",
    )


def apart(e: Evidence) -> Part:
    """Show every arm's area beside shuffled labels."""
    asked = [(g, a, e.of(a, g)) for g in e.groups for a in ARMS]
    return part(
        "What is held, and what is said",
        "The judge alone answers True or False; its log-odds are its score. The agent first thinks in a sentence; voting "
        "is the mean after several thoughts. In sandwiching the judge hears the first of them as an assistant's. Before "
        "it answers again, it hears a critic who says why the statement may be false, a debate of this sentence and one "
        "that says why it may be true, or one of the two as a coin falls (consultancy). The trained head is a linear "
        f"probe of the model's states, fitted to {e.fitted_to} training statements of the same topics. Tuned judges answer "
        f"alone, after {e.updates} updates on the same training statements: on their labels, or by the reward that is "
        "expected of a right answer. Likelihood and length ask nobody.\n\nEvery score is taken beyond its mean on "
        "training statements of the same topic and polarity, so that no arm gains or loses by a leaning of a topic.",
        *beyond(
            {f"{a.capitalize()} tells true {g} from false ones": (x.area, x.shuffled) for g, a, x in asked},
            bar=0.5,
            unit="area",
            why="test statements, 95 % over questions; null: 95 % of shuffles of the labels, of a head its training labels; "
            "holds above them and above 0.5",
        ),
        *(
            intervals(
                f"True {g} against false ones",
                {arm: e.of(arm, g).area for arm in ARMS},
                nulls={arm: e.of(arm, g).shuffled for arm in ARMS},
                groups={arm: KINDS.get(arm, "hears or thinks first") for arm in ARMS},
                x=AREA,
                reference=CHANCE,
                caption="95 % intervals over questions. Grey: 95 % of shuffles of the labels.",
            )
            for g in e.groups
        ),
    )


def brought_out(e: Evidence) -> Part:
    """Show what each protocol adds to the judge, and how far that goes towards the head."""
    return part(
        "What each protocol brings out",
        "Area minus the judge's alone, on the same statements. The placebo is the same judge after what was said of another "
        "statement; of tuned judges and the head, ones that were fitted to shuffled labels; of voting, the agent's.",
        *(gain(e, arm, g) for g in e.groups for arm in GAINING),
        *(
            intervals(
                f"Beyond the judge alone, {g}",
                {arm: e.of(arm, g).beyond for arm in GAINING},
                nulls={arm: e.of(arm, g).placebo for arm in GAINING},
                x="area beyond the judge's",
                reference=NOTHING,
                caption="95 % intervals over questions. Grey: the placebo.",
            )
            for g in e.groups
        ),
        table(
            "How much of what is held",
            ("of", "arm", "area beyond the judge's", "placebo", "share of the way from judge to head"),
            [
                (g, arm, e.of(arm, g).beyond, e.of(arm, g).placebo, e.of(arm, g).of_gap)
                for g in e.groups
                for arm in (*HEARD, *TUNED)
            ],
        ),
    )


def decided(e: Evidence) -> Part:
    """Show shares of right decisions."""
    rows = [(g, f.arm, f.area, f.said, f.fitted) for g in e.groups for f in (e.of(arm, g) for arm in ARMS)]
    return part(
        "Decisions",
        f"As it is said, and at a threshold that is right most often on {e.train} training statements and is applied once to the "
        f"{e.test} test statements. A judge with a leaning to True says little of statements and much to their negations.",
        table(
            "Areas and decisions", ("of", "arm", AREA, "right, as it is said", "right, at the fitted threshold"), rows
        ),
    )


def heard(e: Evidence) -> Part:
    """Show what was said of one test statement of each set."""
    columns = ("statement", "is", "thought", "argued that it is true", "argued that it is false")
    rows = [(x.text, x.right, *x.said) for x in e.examples]
    return part(
        "What was said",
        f"The first test statement of every set, not chosen. {e.agent} wrote {e.written:,} tokens in all.",
        table("Thoughts and arguments", columns, rows),
    )
