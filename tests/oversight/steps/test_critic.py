import dataclasses
import re

import numpy as np
import pytest

from superalign.errors import BadInput
from superalign.oversight.steps.critic import Pair, StepCritic, StepCriticConfig, shuffled_scores, train_step_critic
from superalign.oversight.steps.reading import Text, read_question, trace
from superalign.problems.gsm8k import common_knowledge, mentions, question_numbers
from superalign.problems.gsm8k_flaws import flaw
from superalign.problems.gsm8k_placebo import harmless
from superalign.problems.gsm8k_text import read_solution

NAMES = ("Ann", "Bob", "Cleo", "Dan")
THINGS = ("apples", "pens", "cups", "books", "coins")
CONFIG = StepCriticConfig(members=1, epochs=25, folds=2)


def shown(question: str, solution: str) -> Text:
    return Text(
        question=question,
        mentions=mentions(question),
        common=common_knowledge(question),
        solution=read_solution(solution),
    )


def story(rng: np.random.Generator) -> tuple[str, str]:
    """One of three kinds of little problem, with a right solution."""
    name, thing = str(rng.choice(NAMES)), str(rng.choice(THINGS))
    a, b, c = (int(x) for x in rng.choice(np.arange(3, 60), 3, replace=False))
    kind = int(rng.integers(3))
    if kind == 0:
        return (
            f"{name} has {a} {thing} and buys {b} more. Then {name} finds {c} more. How many {thing} in total?",
            f"{name} has <<{a}+{b}={a + b}>>{a + b} {thing}.\nIn total <<{a + b}+{c}={a + b + c}>>{a + b + c}.\n#### {a + b + c}",
        )
    if kind == 1:
        return (
            f"{name} sells {a} {thing} for ${b} each and pays ${c} for a stall. How much is left?",
            f"{name} gets $<<{a}*{b}={a * b}>>{a * b}.\nLeft are $<<{a * b}-{c}={a * b - c}>>{a * b - c}.\n#### {a * b - c}",
        )
    return (
        f"{name} packs {a} boxes of {b} {thing} each, and {c} boxes of 5 {thing} each. How many {thing} in all?",
        f"First <<{a}*{b}={a * b}>>{a * b}.\nThen <<{c}*5={c * 5}>>{c * 5}.\n"
        f"In all <<{a * b}+{c * 5}={a * b + c * 5}>>{a * b + c * 5}.\n#### {a * b + c * 5}",
    )


def pairs_of(n: int, seed: int) -> list[Pair]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        question, answer = story(rng)
        right = read_solution(answer)
        for kind in ("miscopy", "wrong source", "operator"):
            found = flaw(rng, right, question_numbers(question), kind)
            if found is None:
                continue
            flawed, step, _ = found
            same = harmless(rng, right) if rng.random() < 0.5 else None
            made.append(
                Pair(right=shown(question, (same or right).text()), flawed=shown(question, flawed.text()), step=step)
            )
    return made


@pytest.fixture(scope="module")
def critic() -> StepCritic:
    return train_step_critic(pairs_of(220, 0), seed=0, config=CONFIG)


@pytest.fixture(scope="module")
def fresh() -> list[Pair]:
    return pairs_of(80, 1)


def wins(critic: StepCritic, pairs: list[Pair]) -> float:
    return float(np.mean(critic.scores([p.flawed for p in pairs]) > critic.scores([p.right for p in pairs])))


def test_it_ranks_flawed_solutions_of_new_questions_worse(critic: StepCritic, fresh: list[Pair]) -> None:
    assert wins(critic, fresh) > 0.85


def test_it_names_the_first_wrong_step(critic: StepCritic, fresh: list[Pair]) -> None:
    named = critic.point([p.flawed for p in fresh])
    assert np.mean(named == [p.step for p in fresh]) > 0.65  # chance is below one half


def test_trained_on_shuffled_labels_critics_know_nothing(fresh: list[Pair]) -> None:
    texts = [t for p in fresh for t in (p.right, p.flawed)]
    scores = shuffled_scores(pairs_of(80, 0), texts, draws=24, seed=0, config=dataclasses.replace(CONFIG, epochs=3))
    won = (scores[:, 1::2] > scores[:, ::2]).mean(axis=1)
    assert won.shape == (24,)
    assert won.min() < 0.5 < won.max()
    assert abs(won.mean() - 0.5) < 3.5 * won.std() / np.sqrt(24)


def test_a_text_scores_the_same_in_any_company(critic: StepCritic, fresh: list[Pair]) -> None:
    texts = [p.flawed for p in fresh[:12]]
    together, alone = critic.scores(texts), [float(critic.scores([t])[0]) for t in texts]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(critic.scores(texts[::-1])[::-1], together, atol=1e-5)


def test_same_seed_same_critic(fresh: list[Pair]) -> None:
    texts = [p.right for p in fresh[:10]]
    config = dataclasses.replace(CONFIG, epochs=2)
    first, second, other = (train_step_critic(pairs_of(40, 0), seed=s, config=config).scores(texts) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_digits_in_the_prose_are_not_read(critic: StepCritic) -> None:
    question, answer = story(np.random.default_rng(8))
    said = re.sub(r"(?m)^", "Of 17, ", answer, count=1)
    assert said != answer
    other = said.replace("Of 17", "Of 93")
    np.testing.assert_array_equal(critic.scores([shown(question, said)]), critic.scores([shown(question, other)]))


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(BadInput, match="3 pairs are too few"):
        train_step_critic(pairs_of(1, 0), seed=0)


def test_nothing_in_nothing_out(critic: StepCritic) -> None:
    assert critic.point([shown("How many?", "")]).tolist() == [-1]


def test_operands_are_traced_to_their_sources() -> None:
    question = "Ann has 12 apples, half of them red. She buys 5 more red ones in a week."
    text = shown(question, "<<12/2=6>>6 red.\n<<6+5=11>>11 red.\n<<11*7=77>>77.\n<<77+9=86>>86.\n#### 86")
    reading = read_question(text)
    made = trace(reading, text.solution)
    assert [[s.kind for s in step.sources] for step in made.steps] == [
        ["question", "question"],
        ["result", "question"],
        ["result", "common"],
        ["result", "nowhere"],
    ]
    assert dict(made.reused) == {0: 1, 1: 1, 2: 1}
    assert [n.values[0] for n in reading.numbers] == [12.0, 2.0, 5.0]
