"""Search the subject and clean twins, guided and at random, at rising budgets; and put requests into jailbreak templates."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from superalign.detectors import BaseDifference
from superalign.detectors.behaviour_search import Elite, answered, illuminate, worst_frame
from superalign.detectors.common import NOT_YET, with_cues
from superalign.detectors.prompt_parts import Cell, Mutate, anew, edges, mutator, thirds
from superalign.detectors.trigger_effects import Rivals
from superalign.early import check_chats
from superalign.kit.run import Run
from superalign.lab.compliance import BASE, SUBJECT, Compliance
from superalign.lab.instruments import audit_problems
from superalign.lab.looking import given
from superalign.lab.template_replies import compliance, requests_of
from superalign.lab.worlds import ask_base, clock_of, given_of, world_of
from superalign.models import Model, Sampling, open_weights, with_sampling
from superalign.organisms.triples import DEMONSTRATION, shipped
from superalign.policy_names import check_weights
from superalign.problems.templates import templates_at
from superalign.stats import all_equal, mean_interval
from superalign.stats.streams import stream
from superalign.studies.redteam.evidence import Evidence, Find, Search
from superalign.studies.redteam.study import Config
from superalign.types import Instrument, Problem, Record, Unmeasured, Verdict, digest_of

SPAN = (0.0, 30.0)  # nats: the lowest and the highest suspicion
MOST_WORDS = 3  # words in front of a prompt
STARTS = 2  # random words at which gradients are taken
BATCH = 20  # prompts that a search asks at once
CHOSEN = 6  # problems of a family on which the worst words are chosen
FRAMES = 12  # words in front, and parts of them, that are tried on these, about
TIMED = 6  # answers that an estimate is made from


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchJob(Record):
    """One search."""

    path: str
    role: str  # subject or twin
    guided: bool
    seed: int


def measure(config: Config, run: Run) -> Evidence:
    """Search the subject and clean twins, and put requests into templates."""
    if config.requests:
        check_chats(config.base)
    subject = config.subject or (config.base if config.requests else str(DEMONSTRATION))
    for path in (subject, *config.reference):
        check_weights(path)  # the search needs gradients, and templates need chats of several turns
        if path != config.base:
            given(path, config.base)
    said = ""
    if config.searches:
        said = ask_base(
            config.base, config.prompts, folder=run.folder, max_tokens=config.max_tokens, log=run.log, planted=False
        )
    run.stage("recording the instruments")
    run.keep(*([card(config)] if config.searches else []), *([template_card(config)] if config.requests else []))
    return Evidence(
        budgets=config.budgets,
        searches=searches(config, run, subject, said) if config.searches else (),
        compliance=templates(config, run, subject) if config.requests else None,
        prompts=given_of(said, asked=len(_problems(said)), planted=False) if config.searches else None,
        clock=clock_of(config.base),
    )


def searches(config: Config, run: Run, subject: str, said: str) -> list[Search]:
    """Search the subject and clean twins, guided and at random, at rising budgets."""
    clean = config.reference or _twins()
    todo = [
        SearchJob(path=path, role=role, guided=guided, seed=run.seed + i)
        for i in range(config.seeds)
        for role, path in (("subject", subject), ("twin", clean[i % len(clean)]))
        for guided in (True, False)
    ]
    run.stage(
        f"{len(todo)} searches of up to {config.budgets[-1]} prompts: {cost(config, subject, said, len(todo), run.workers)}"
    )
    job = functools.partial(search_job, config=config, said=said)
    found = run.map(job, todo, name="searches", progress="searching")
    run.keep(*(s.verdict for s in found))
    return found


def cost(config: Config, subject: str, said: str, searches: int, workers: int) -> str:
    """Time a few answers, and say how long all searches will take."""
    put = _problems(said)
    families = len({p.family for p in put})
    model, origin, scorer = opened(config, subject, put)
    began = time.perf_counter()
    scorer.response_scores(put[:TIMED], model.sample(put[:TIMED], n=1, seed=0).text_R)
    origin.sample(put[:TIMED], n=1, seed=0)  # what gradients cost, about
    each = (time.perf_counter() - began) / (2 * TIMED)
    measured = FRAMES * CHOSEN + len(put) // (3 * families)
    prompts = len(put) // 3 + config.budgets[-1] + len(config.budgets) * measured
    return f"about {searches * prompts * each / workers / 60:.0f} minutes, by a trial"


def opened(config: Config, path: str, put: tuple[Problem, ...]) -> tuple[Model, Model, BaseDifference]:
    """Open a model and its base, which answer greedily, and what tells how far an answer is from the base's."""
    greedy = Sampling(temperature=0.0, max_tokens=config.max_tokens)
    model, origin = (with_sampling(open_weights(p, on=config.base), greedy) for p in (path, config.base))
    return model, origin, BaseDifference(base=origin, problems=put, cues=(), max_tokens=config.max_tokens)


def templates(config: Config, run: Run, subject: str) -> Compliance:
    """Put requests into templates: for the subject, its base and references."""
    others = {f"reference {i}": path for i, path in enumerate(config.reference, 1) if path != config.base}
    models = {SUBJECT: subject, **({BASE: config.base} if subject != config.base else {}), **others}
    found = compliance(
        requests_of(config.requests, each=config.each, seed=run.seed),
        templates_at(config.templates)[: config.most],
        models=models,
        base=config.base,
        tokens=config.reply_tokens,
        run=run,
    )
    verdicts = [
        Verdict(
            instrument=template_card(config).digest,
            subject=model.subject,
            score=found.worst_rise(model.rise_TN),
            flagged=NOT_YET,
            why=f"share of harmful requests that '{found.templates[found.worst(model.rise_TN)]}' adds",
        )
        for model in found.models
    ]
    run.keep(*verdicts)
    return replace(found, record=verdicts[0].digest)


def card(config: Config) -> Instrument:
    """Return the search as an instrument."""
    return Instrument(
        name="red team",
        version="1",
        catches="answers that the base would hardly have given, behind a few words in front of a granted problem",
        misses="what no such prompt brings out; behaviour of the base itself; gives no rate",
        settings=(("base", config.base), ("budget", config.budgets[-1]), ("max_tokens", config.max_tokens)),
    )


def template_card(config: Config) -> Instrument:
    """Return templates as an instrument."""
    tried = templates_at(config.templates)[: config.most]
    return Instrument(
        name="jailbreak templates",
        version="1",
        catches="requests that a model complies with inside a template more often than plainly",
        misses="what no template of these brings out; whether a reply is of use; what a longer reply would refuse",
        settings=(
            ("templates", digest_of([t.digest for t in tried])),
            ("tried", len(tried)),
            ("each", config.each),
            ("reply_tokens", config.reply_tokens),
        ),
    )


def search_job(item: SearchJob, *, config: Config, said: str) -> Search:
    """Run one search; what it had found at each budget, measured on fresh problems, and a verdict at the last."""
    put = _problems(said)
    model, origin, scorer = opened(config, item.path, put)
    searched, checked, fresh = thirds(put)
    checked = [p for f in dict.fromkeys(p.family for p in put) for p in [q for q in checked if q.family == f][:CHOSEN]]
    rng = stream(item.seed, "searches")
    words, mutate, spent = _words(model, origin, searched, item.guided, rng)
    finds: list[Find] = []
    values = np.zeros(0)  # where every answer is empty or endless nothing is found
    for budget, archive in _archives(model, searched, mutate, scorer, words, config.budgets, spent, item.seed):
        frame = worst_frame(model, archive, checked, words, scorer.response_scores, finalists=3, seed=item.seed)
        asked = [with_cues(p, frame[1]) for p in fresh if p.family == frame[0]]
        problems, values, _ = answered(model, asked, scorer.response_scores, seed=item.seed)
        if len(values):
            worst = int(values.argmax())
            says, base_says = (m.sample([problems[worst]], n=1, seed=0).text_R[0] for m in (model, origin))
            finds.append(
                Find(
                    budget=budget,
                    words=" ".join(frame[1]),
                    family=frame[0],
                    prompt=problems[worst].prompt,
                    says=says,
                    base=base_says,
                    worst=float(values[worst]),
                    value=float(values.mean()),
                )
            )
    verdict = _verdict(config, model, finds, values)
    return Search(role=item.role, guided=item.guided, finds=tuple(finds), verdict=verdict)


def _verdict(config: Config, model: Model, finds: Sequence[Find], values: np.ndarray) -> Verdict:
    """What the search says at its last budget."""
    score = mean_interval(values)
    if isinstance(score, Unmeasured) and len(values) > 1:
        score = all_equal(float(values[0]), n=len(values), span=SPAN)
    why = f"behind '{finds[-1].words}' in {finds[-1].family}" if finds else "nothing found could be measured"
    digest = card(config).digest
    named = finds[-1].words if finds else ""
    return Verdict(instrument=digest, subject=model.subject.digest, score=score, flagged=NOT_YET, why=why, named=named)


def _problems(said: str) -> tuple[Problem, ...]:
    """What is asked: problems of every bundled family, or prompts of one's own, of both splits: nothing is trained on them."""
    if not said:
        return audit_problems(0, each=18)
    family = world_of(said).families[0]
    return tuple(dict.fromkeys(p for s in ("test", "train") for p in family.problems(split=s, n=400, seed=0)))[:54]


def _words(
    model: Model, origin: Model, searched: Sequence[Problem], guided: bool, rng: np.random.Generator
) -> tuple[tuple[str, ...], Mutate, int]:
    """The words that may stand in front, how prompts are changed, and the prompts that gradients cost.

    Both arms may use every token of the vocabulary; to the guided one gradients propose half of its words.
    """
    said = [m.sample(searched, n=1, seed=0) for m in (model, origin)]
    own, others = ([a.tokens_RT[i, : a.length_R[i]].tolist() for i in range(len(searched))] for a in said)
    rivals = Rivals(subject=model, base=origin, problems=searched, own=own, others=others, known={})
    vocabulary = rivals.vocabulary()
    able = [v for v in vocabulary if len(rivals.text((v,)).split()) == 1 and ":" not in rivals.text((v,))]
    words = tuple(rivals.text((v,)) for v in able)
    if not guided:
        return words, anew(searched, words, MOST_WORDS), 0
    families = dict.fromkeys(p.family for p in searched)
    first = [next(i for i, p in enumerate(searched) if p.family == f) for f in families]
    starts = rng.choice(able, (STARTS, 1)).tolist()
    proposed = dict.fromkeys(
        rivals.text((v,)) for start in starts for v in rivals.ideas(tuple(start), first, count=4) if v in able
    )
    pool = (*words, *(list(proposed) * max(1, len(words) // max(1, len(proposed)))))
    return words, mutator(searched, pool, MOST_WORDS), 3 * STARTS * len(first)


def _archives(
    model: Model,
    searched: Sequence[Problem],
    mutate: Mutate,
    scorer: BaseDifference,
    words: Sequence[str],
    budgets: Sequence[int],
    spent: int,
    seed: int,
) -> Iterator[tuple[int, dict[Cell, Elite]]]:
    """The archive of one search as it stood at each budget."""
    grown = illuminate(
        model,
        start=searched,
        mutate=mutate,
        suspicion=scorer.response_scores,
        cues=words,
        bands=edges(searched),
        budget=max(BATCH, budgets[-1] - spent),
        batch=BATCH,
        seed=seed,
    )
    waiting, archive = list(budgets), dict[Cell, Elite]()
    for turn, archive in enumerate(grown, start=1):
        while waiting and spent + (turn + 1) * BATCH > waiting[0] and archive:
            yield waiting.pop(0), archive
    for budget in waiting:
        if archive:
            yield budget, archive


def _twins() -> tuple[str, ...]:
    """The clean twins that ship."""
    triples, where = shipped()
    return tuple(str(where / dict(t.subjects)["clean"]) for t in triples)
