"""Methods as small programs: which features, what imperfect labels are taken to say, what is fitted, how often, chosen by what.

A program is rendered as the source of an artefact: the pieces that it uses, and a `solve` that puts them together. What it does
not do, its source does not hold: a reader can compare it with its plan.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from superalign.errors import BadInput
from superalign.types import Question, Record

Setting: TypeAlias = str | int | float

# Every setting of a program with what it may be, in the order in which a method is read.
DIALS: Mapping[str, tuple[Setting, ...]] = {
    "centre": ("none", "group"),
    "scale": ("none", "standard", "whiten"),
    "components": (0, 4, 8, 16, 32),  # 0 keeps all; whitening alone heeds it
    "labels": ("hard", "soft", "sharp", "confident", "smooth", "agreed"),
    "fit": ("logistic", "ridge", "mean", "lda", "contrast"),
    "penalty": (0.1, 1.0, 10.0, 100.0),
    "rounds": (0, 1, 3),
    "members": (1, 5, 9),
    "resample": ("rows", "columns"),
    "development": ("unused", "chosen", "joined"),
    "cut": ("fit", "weak", "development"),
}
ENGLISH: Mapping[str, str] = {
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
_CODE = re.compile(r"\[settings ([0-9]+)\]")  # in words, the settings would say what a method does without


@dataclass(frozen=True, slots=True, kw_only=True)
class Program(Record):
    """One method; see `DIALS`."""

    centre: str = "none"
    scale: str = "standard"
    components: int = 0
    labels: str = "soft"
    fit: str = "logistic"
    penalty: float = 1.0
    rounds: int = 0
    members: int = 1
    resample: str = "rows"
    development: str = "unused"
    cut: str = "fit"

    def __post_init__(self) -> None:
        wrong = [name for name, options in DIALS.items() if getattr(self, name) not in options]
        if wrong:
            raise BadInput(
                f"A program has no such {', '.join(wrong)}: {', '.join(repr(getattr(self, n)) for n in wrong)}. Its source "
                "would not run. Take one of the options in `programs.DIALS`."
            )


def settings_of(program: Program) -> dict[str, Setting]:
    """Return a program's settings by name."""
    return {f.name: getattr(program, f.name) for f in fields(program)}


def dials(question: Question) -> dict[str, tuple[Setting, ...]]:
    """Return what may be set for a question: all, or what its own space leaves; where to cut matters for shares alone."""
    space = {choice.name: choice.options for choice in question.space}
    found = {}
    for name, options in DIALS.items():
        left = tuple(o for o in options if str(o) in space[name]) if name in space else options
        found[name] = left or options
    return found if question.metric == "share" else found | {"cut": ("fit",)}


def random_program(rng: np.random.Generator, space: Mapping[str, tuple[Setting, ...]]) -> Program:
    """Draw every setting by itself."""
    return plainest(program_of({name: options[int(rng.integers(len(options)))] for name, options in space.items()}))


def mutate(program: Program, rng: np.random.Generator, space: Mapping[str, tuple[Setting, ...]]) -> Program:
    """Set one setting, or with odds of one in three two, to something else."""
    changed = settings_of(program)
    free = [name for name, options in space.items() if len(options) > 1]
    for name in rng.permutation(free)[: 1 + int(rng.random() < 1 / 3)] if free else ():
        others = [o for o in space[name] if o != changed[name]]
        changed[name] = others[int(rng.integers(len(others)))]
    return plainest(program_of(changed))


def cross(one: Program, other: Program, rng: np.random.Generator) -> Program:
    """Take each setting from one of two programs."""
    pair = settings_of(one), settings_of(other)
    return plainest(program_of({name: pair[int(rng.integers(2))][name] for name in pair[0]}))


def plainest(program: Program) -> Program:
    """Return the program that does the same with idle settings at their defaults: alike in behaviour is alike in name."""
    if program.members == 1:
        program = replace(program, resample="rows")
    if program.scale != "whiten":
        program = replace(program, components=0)
    if program.fit in ("mean", "contrast"):
        idle = "unused" if program.development == "chosen" else program.development
        program = replace(program, penalty=1.0, development=idle)
    return program


def program_of(settings: Mapping[str, Setting]) -> Program:
    """Build a program from its settings by name."""
    return Program(**settings)  # type: ignore[arg-type]  # checked by the program itself


def family(program: Program) -> str:
    """Name the idea that sets a program apart most, in one word of a fixed list."""
    if program.fit == "contrast":
        return "unsupervised"
    if program.development != "unused":
        return "development"
    if program.rounds:
        return "self-training"
    if program.centre == "group":
        return "invariance"
    if program.labels in ("confident", "smooth", "agreed"):
        return "label-cleaning"
    return "ensemble" if program.members > 1 else program.fit


def english(program: Program) -> str:
    """Say in a line what a program does, with its settings behind it, so that others can build on it."""
    said = [f"{ENGLISH[program.fit]} on {ENGLISH[program.labels]}"]
    said += ["features centred by group"] if program.centre == "group" else []
    said += [f"whitened features ({program.components or 'all'} components)"] if program.scale == "whiten" else []
    said += [f"{program.rounds} rounds of self-training"] if program.rounds else []
    said += [f"{program.members} fits over {ENGLISH[program.resample]}"] if program.members > 1 else []
    said += [ENGLISH[program.development]] if program.development != "unused" else []
    said += [f"as many positives as among the {program.cut} labels"] if program.cut != "fit" else []
    code = "".join(str(DIALS[name].index(value)) for name, value in settings_of(program).items())
    return f"{'; '.join(said)} [settings {code}]"


def read_program(text: str) -> Program | None:
    """Read the program that a line of `english` describes; None where the text describes none.

    Example:
        >>> read_program(english(Program(fit="lda"))) == Program(fit="lda")
        True
    """
    found = _CODE.search(text)
    if found is None or len(found[1]) != len(DIALS):
        return None
    chosen = zip(DIALS.items(), map(int, found[1]), strict=True)
    settings = {name: options[i] for (name, options), i in chosen if i < len(options)}
    return program_of(settings) if len(settings) == len(DIALS) else None


def source_of(program: Program) -> str:
    """Render a program as the source of an artefact."""
    body = "".join(f"    {line}\n" for line in _lines(program))
    solve = f"def solve(public, inputs, seed):\n{body}"
    text = (Path(__file__).with_name("pieces.py")).read_text()
    pieces = {
        n.name: ast.get_source_segment(text, n) or "" for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)
    }
    needed, look = dict[str, str](), [solve]
    while look:
        called = {n.id for n in ast.walk(ast.parse(look.pop())) if isinstance(n, ast.Name)} & (
            pieces.keys() - needed.keys()
        )
        needed |= {name: pieces[name] for name in called}
        look += [pieces[name] for name in called]
    kept = [pieces[name] for name in pieces if name in needed]
    return "\n\n\n".join([f"# {english(program)}\nimport numpy as np", *kept, solve])


def _lines(p: Program) -> list[str]:
    """Return the lines of `solve`, each only where a program needs it."""
    sets = ["x", "new", "dev"] if p.development != "unused" else ["x", "new"]
    lines = [
        "x, new = flat(public['x']), flat(inputs['x'])",
        "weak = np.clip(np.ravel(public['weak']).astype(float), 0, 1)",
    ]
    if "dev" in sets:
        lines += ["dev, true = flat(public['dev_x']), np.ravel(public['dev_true']).astype(float)"]
    if p.centre == "group":
        lines += ["x, new = centred(x, public['group']), centred(new, inputs['group'])"]
        lines += ["dev = centred(dev, public.get('dev_group', np.zeros(len(dev))))"] if "dev" in sets else []
    if p.scale != "none":
        made = "standard(x)" if p.scale == "standard" else f"whitened(x, {p.components})"
        lines += [f"middle, matrix = x.mean(0), {made}", *(f"{name} = ({name} - middle) @ matrix" for name in sets)]
    said = {"soft": "weak", "sharp": "sharp(weak)", "smooth": "smooth(x, weak)"}.get(p.labels, "(weak > 0.5) * 1.0")
    counts = {"confident": "confident(weak)", "agreed": "agreed(x, weak)"}.get(p.labels, "np.ones(len(x))")
    lines += [f"y, weight = {said}, {counts}"]
    if p.development == "joined":  # true labels are few: together they count half as much as all the others
        lines += ["weight = np.append(weight, np.full(len(dev), max(1.0, len(x) / (2 * len(dev)))))"]
        lines += ["x, y = np.vstack([x, dev]), np.append(y, true)"]
    lines += ["def train(x, y, weight, penalty):", f"    w, b = {p.fit}(x, y, weight, penalty)"]
    if p.rounds:
        lines += [f"    for turn in range({p.rounds}):", f"        w, b = {p.fit}(x, own(x @ w, y), weight, penalty)"]
    lines += ["    return w, b", f"penalty = {p.penalty}"]
    if p.development == "chosen":
        lines += ["tried = [penalty, penalty / 30, penalty / 3, penalty * 3, penalty * 30]"]
        lines += ["penalty = max(tried, key=lambda t: area(dev @ train(x, y, weight, t)[0], true))"]
    lines += _ensemble(p) if p.members > 1 else ["w, b = train(x, y, weight, penalty)", "score = new @ w + b"]
    if p.cut != "fit":
        share = "weak" if p.cut == "weak" else "np.ravel(public['dev_true'])"
        lines += [f"score = score - np.quantile(score, 1 - {share}.mean())"]
    return [*lines, "return score.reshape(inputs['x'].shape[:-1])"]


def _ensemble(p: Program) -> list[str]:
    """Return the lines that add up several fits."""
    drawn = "rng.integers(0, len(x), len(x))" if p.resample == "rows" else "np.arange(len(x))"
    halves = (
        "rng.permutation(x.shape[1])[: (x.shape[1] + 1) // 2]" if p.resample == "columns" else "np.arange(x.shape[1])"
    )
    return [
        "rng, score = np.random.default_rng(seed), np.zeros(len(new))",
        f"for member in range({p.members}):",
        f"    rows, columns = {drawn}, {halves}",
        "    w, b = train(x[rows][:, columns], y[rows], weight[rows], penalty)",
        "    part = new[:, columns] @ w + b",
        "    score = score + part / (part.std() + 1e-9)",
    ]
