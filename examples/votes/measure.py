"""Sample every problem many times, and let the first responses vote."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from votes.evidence import Evidence, Voted
from votes.study import Config

from superalign.kit.run import Run
from superalign.models import Sampling, base, with_sampling
from superalign.problems.arithmetic import FAMILY
from superalign.stats.streams import stream
from superalign.types import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class VotingJob(Record):
    """One seed."""

    seed: int
    problems: int
    depth: int
    votes: tuple[int, ...]


def measure(config: Config, run: Run) -> Evidence:
    """Vote under every seed."""
    run.stage(f"sampling {max(config.votes)} responses to {config.problems} problems under {config.seeds} seeds")
    jobs = [
        VotingJob(seed=100 * run.seed + s, problems=config.problems, depth=config.depth, votes=config.votes)
        for s in range(config.seeds)
    ]
    return Evidence(votes=config.votes, voted=run.map(vote_job, jobs, name="votes"))


def vote_job(job: VotingJob) -> Voted:
    """Sample, and grade what the first response, the majority and one at random say."""
    model, most = with_sampling(base("small"), Sampling(max_tokens=6 * job.depth + 8)), max(job.votes)
    problems = FAMILY.problems(split="test", n=job.problems, seed=0, difficulty=job.depth)
    texts = model.sample(problems, n=most, seed=job.seed).text_R
    correct_PV = np.array([FAMILY.grade(problems[i // most], t).correct for i, t in enumerate(texts)]).reshape(-1, most)
    answers = [[t.partition("#")[2] for t in texts[i : i + most]] for i in range(0, len(texts), most)]
    winners = np.array([[some.index(Counter(some[:k]).most_common(1)[0][0]) for some in answers] for k in job.votes])
    rng = stream(job.seed, "one of the voters")
    drawn = np.array([rng.integers(0, k, job.problems) for k in job.votes])
    row_P = np.arange(job.problems)
    return Voted(one_P=correct_PV[:, 0], majority_KP=correct_PV[row_P, winners], random_KP=correct_PV[row_P, drawn])
