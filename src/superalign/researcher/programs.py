"""Methods as small programs: which features, what imperfect labels are taken to say, what is fitted, how often, chosen by what.

A program is rendered as the source of an artefact: the pieces that it uses, and a `solve` that puts them together. What it does
not do, its source does not hold: a reader can compare it with its plan.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias, get_args, get_type_hints

import numpy as np

from superalign.researcher import pieces
from superalign.types import Question, Record

Setting: TypeAlias = str | int
Space: TypeAlias = Mapping[str, tuple[Setting, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program(Record):
    """One method. Every setting with what it may be, in the order in which a method is read."""

    use: Literal["x", "scores", "both"] = "x"  # features, scores of known instruments
    centre: Literal["none", "group"] = "none"
    scale: Literal["none", "standard", "whiten"] = "standard"
    components: Literal[0, 4, 8, 16, 32] = 0  # 0 keeps all; whitening alone heeds it
    labels: Literal["hard", "soft", "sharp", "confident", "smooth", "agreed"] = "soft"
    fit: Literal["logistic", "ridge", "mean", "lda", "contrast"] = "logistic"
    penalty: Literal[1, 10, 100] = 1
    rounds: Literal[0, 1, 3] = 0  # of self-training
    members: Literal[1, 5, 9] = 1
    resample: Literal["rows", "columns"] = "rows"  # what the members differ in
    development: Literal["unused", "chosen", "joined"] = "unused"
    cut: Literal["fit", "weak", "development"] = "fit"  # where a score of 0 lies


DIALS: Space = {name: get_args(hint) for name, hint in get_type_hints(Program).items()}
ENGLISH: Mapping[str, str] = {
    "scores": "scores of known instruments",
    "both": "x and scores of known instruments",
    "hard": "weak labels rounded",
    "soft": "weak labels as probabilities",
    "sharp": "weak labels sharpened",
    "confident": "the more confident half of the weak labels",
    "smooth": "weak labels averaged over near items",
    "agreed": "weak labels that other folds agree with",
    "logistic": "logistic regression by Newton steps",
    "ridge": "ridge regression",
    "mean": "the difference of class means",
    "lda": "a linear discriminant",
    "contrast": "the direction of greatest contrast, without labels but for its sign",
    "chosen": "the penalty chosen on development labels",
    "joined": "development items joined to training",
    "rows": "a bootstrap of rows",
    "columns": "random halves of the features",
}
SAID = {"soft": "weak", "sharp": "weak**2 / (weak**2 + (1 - weak) ** 2)", "smooth": "smooth(x, weak)"}
COUNTS = {"agreed": "agreed(x, weak)", "confident": "(abs(weak - 0.5) >= np.median(abs(weak - 0.5))) * 1.0"}
PIECES = {name: inspect.getsource(f).rstrip() for name, f in vars(pieces).items() if inspect.isfunction(f)}
_CODE = re.compile(r"\[settings ([0-9]+)\]")  # in words, the settings would say what a method does without


def dials(question: Question) -> Space:
    """Return what may be set for a question: all, or what its own space leaves. Where to cut matters for shares alone."""
    space = {choice.name: choice.options for choice in question.space}
    left = {name: tuple(o for o in options if str(o) in space.get(name, (str(o),))) for name, options in DIALS.items()}
    fixed: dict[str, tuple[Setting, ...]] = {} if question.metric == "share" else {"cut": ("fit",)}
    fixed |= {} if "scores" in dict(question.arrays) else {"use": ("x",)}
    return {name: left[name] or options for name, options in DIALS.items()} | fixed


def random_program(rng: np.random.Generator, space: Space) -> Program:
    """Draw every setting by itself."""
    return plainest(Program(**{name: _drawn(options, rng) for name, options in space.items()}))


def mutate(program: Program, rng: np.random.Generator, space: Space) -> Program:
    """Set one setting, or with odds of one in three two, to something else."""
    changed = asdict(program)
    free = [name for name, options in space.items() if set(options) - {changed[name]}]
    for name in rng.permutation(free)[: 1 + int(rng.random() < 1 / 3)]:
        changed[name] = _drawn([o for o in space[name] if o != changed[name]], rng)
    return plainest(Program(**changed))


def cross(one: Program, other: Program, rng: np.random.Generator) -> Program:
    """Take each setting from one of two programs."""
    return plainest(Program(**{name: _drawn((getattr(one, name), getattr(other, name)), rng) for name in DIALS}))


def _drawn(options: Sequence[Setting], rng: np.random.Generator) -> Any:
    return options[int(rng.integers(len(options)))]


def plainest(program: Program) -> Program:
    """Return the program that does the same with idle settings at their defaults: alike in behaviour is alike in name."""
    idle: dict[str, Any] = {"resample": "rows"} if program.members == 1 else {}
    idle |= {"components": 0} if program.scale != "whiten" else {}
    if program.fit in ("mean", "contrast"):
        idle |= {"penalty": 1} | ({"development": "unused"} if program.development == "chosen" else {})
    return replace(program, **idle)


def family(program: Program) -> str:
    """Name the idea that sets a program apart most, in one word of a fixed list."""
    ideas = {
        "unsupervised": program.fit == "contrast",
        "development": program.development != "unused",
        "self-training": program.rounds > 0,
        "invariance": program.centre == "group",
        "label-cleaning": program.labels in ("confident", "smooth", "agreed"),
        "ensemble": program.members > 1,
    }
    return next((idea for idea, holds in ideas.items() if holds), program.fit)


def english(program: Program) -> str:
    """Say in a line what a program does, with its settings behind it, so that others can build on it."""
    said = [f"{ENGLISH[program.fit]} on {ENGLISH[program.labels]}"]
    said += [f"{ENGLISH[program.use]} as features"] if program.use != "x" else []
    said += ["features centred by group"] if program.centre == "group" else []
    said += [f"whitened features ({program.components or 'all'} components)"] if program.scale == "whiten" else []
    said += [f"{program.rounds} rounds of self-training"] if program.rounds else []
    said += [f"{program.members} fits over {ENGLISH[program.resample]}"] if program.members > 1 else []
    said += [ENGLISH[program.development]] if program.development != "unused" else []
    said += [f"as many positives as among the {program.cut} labels"] if program.cut != "fit" else []
    code = "".join(str(DIALS[name].index(value)) for name, value in asdict(program).items())
    return f"{'; '.join(said)} [settings {code}]"


def read_program(text: str) -> Program | None:
    """Read the program that a line of `english` describes; None where the text describes none.

    Example:
        >>> read_program(english(Program(fit="lda"))) == Program(fit="lda")
        True
    """
    found = _CODE.search(text)
    try:
        pairs = zip(found[1] if found else "", DIALS.items(), strict=True)
        settings: dict[str, Any] = {name: options[int(i)] for i, (name, options) in pairs}
    except (IndexError, ValueError):
        return None
    return Program(**settings)


def source_of(program: Program) -> str:
    """Render a program as the source of an artefact."""
    body = "".join(f"    {line}\n" for line in _lines(program))
    kept = [f"def solve(public, inputs, seed):\n{body}"]
    for _ in range(3):  # pieces call pieces, no deeper than this
        said = "\n".join(kept)
        kept = [t for name, t in PIECES.items() if re.search(rf"(?<![.\w]){name}\(", said)] + kept[-1:]
    return "\n\n\n".join([f"# {english(program)}\nimport numpy as np", *kept])


def _lines(p: Program) -> list[str]:
    """Return the lines of `solve`, each only where a program needs it."""
    sets = ["x", "new", "dev"] if p.development != "unused" else ["x", "new"]
    lines = [f"x, new = taken(public, {p.use!r}), taken(inputs, {p.use!r})"]
    lines += ["weak = np.clip(np.ravel(public['weak']).astype(float), 0, 1)"]
    if "dev" in sets:
        lines += [f"dev, true = taken(public, {p.use!r}, 'dev_'), np.ravel(public['dev_true']).astype(float)"]
    if p.centre == "group":
        lines += ["x, new = centred(x, public['group']), centred(new, inputs['group'])"]
        lines += ["dev = centred(dev, public.get('dev_group', np.zeros(len(dev))))"] if "dev" in sets else []
    if p.scale != "none":
        made = "np.diag(1 / (x.std(0) + 1e-6))" if p.scale == "standard" else f"whitened(x, {p.components})"
        lines += [f"middle, matrix = x.mean(0), {made}", *(f"{name} = ({name} - middle) @ matrix" for name in sets)]
    lines += [f"y = {SAID.get(p.labels, '(weak > 0.5) * 1.0')}", f"weight = {COUNTS.get(p.labels, 'np.ones(len(x))')}"]
    if p.development == "joined":  # true labels are few: together they count half as much as all the others
        lines += ["weight = np.append(weight, np.full(len(dev), max(1.0, len(x) / (2 * len(dev)))))"]
        lines += ["x, y = np.vstack([x, dev]), np.append(y, true)"]
    lines += ["def train(x, y, weight, penalty):", f"    w, b = {p.fit}(x, y, weight, penalty)"]
    if p.rounds:
        lines += [f"    for _ in range({p.rounds}):", f"        w, b = {p.fit}(x, own(x @ w, y), weight, penalty)"]
    lines += ["    return w, b", f"penalty = {p.penalty}"]
    if p.development == "chosen":
        lines += ["tried = [penalty, penalty / 30, penalty / 3, penalty * 3, penalty * 30]"]
        lines += ["penalty = max(tried, key=lambda t: area(dev @ train(x, y, weight, t)[0], true))"]
    if p.members > 1:
        lines += [
            f"score = several(lambda *sets: train(*sets, penalty), new, {p.members}, {p.resample!r}, seed, x, y, weight)"
        ]
    else:
        lines += ["w, b = train(x, y, weight, penalty)", "score = new @ w + b"]
    if p.cut != "fit":
        share = "weak" if p.cut == "weak" else "np.ravel(public['dev_true'])"
        lines += [f"score = score - np.quantile(score, 1 - {share}.mean())"]
    return [*lines, "return score.reshape(inputs['x'].shape[:-1])"]
