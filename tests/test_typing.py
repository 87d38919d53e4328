"""The package's annotations are checked while the tests run: the checks are on, they can fail, and users pay nothing."""

import doctest
import importlib.util
import inspect
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import TypeCheckError

from superalign.canonical import rebuild
from superalign.interp import Probe
from superalign.stats import auroc, ranking
from superalign.stats.resampling import interval_from_draws
from superalign.train.losses import kl_k3
from superalign.types import Interval, Rollouts

SOURCE = Path(__file__).parents[1] / "src"
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in SOURCE.rglob("*.py")
}
WHOLE = torch.zeros(2, dtype=torch.long)

# Every call is wrong, and yet gives an answer where nothing is checked.
WRONG_SHAPES: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (kl_k3, {"new_N": torch.zeros(2), "reference_N": torch.zeros(1)}),  # sizes that differ, and broadcast
    (kl_k3, {"new_N": torch.zeros(2, 2), "reference_N": torch.zeros(2, 2)}),  # one dimension too many
    (kl_k3, {"new_N": WHOLE, "reference_N": WHOLE}),  # whole numbers for log-probs
    (interval_from_draws, {"draws_B": np.zeros((2, 10)), "value": 0.0, "n": 20}),
]
WRONG_RECORDS: list[tuple[type[Any], dict[str, Any]]] = [
    (Probe, {"mean_D": np.zeros(2), "scale_D": np.ones(3), "weight_D": np.zeros(2), "bias": 0.0}),
    (Rollouts, {"problems": (), "problem_R": np.zeros(2), "text_R": ("a", "b")}),  # an index that is no whole number
]


@pytest.mark.parametrize(("function", "given"), WRONG_SHAPES)
def test_a_wrong_shape_or_dtype_is_refused(function: Callable[..., Any], given: dict[str, Any]) -> None:
    with pytest.raises(TypeCheckError, match=f"checking the parameters of .*{function.__name__}") as caught:
        function(**given)
    assert isinstance(root_cause(caught.value), BeartypeCallHintViolation)
    inspect.unwrap(function)(**given)


@pytest.mark.parametrize(("record", "given"), WRONG_RECORDS)
def test_a_record_of_wrong_shapes_is_refused(record: type[Any], given: dict[str, Any]) -> None:
    with pytest.raises(TypeCheckError, match=rf"{record.__name__}\.__init__"):
        record(**given)
    inspect.unwrap(record.__init__)(object.__new__(record), **given)


def test_a_wrong_return_is_refused(tmp_path: Path) -> None:
    (tmp_path / "made_up.py").write_text(
        "import numpy as np\n"
        "from jaxtyping import Float\n\n"
        'def halves(x_R: Float[np.ndarray, " R"]) -> Float[np.ndarray, " R"]:\n'
        "    return x_R[: len(x_R) // 2]\n"
    )
    spec = type(finder())("made_up").find_spec("made_up", [str(tmp_path)])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(TypeCheckError, match=r"checking the return value of made_up\.halves"):
        module.halves(np.zeros(4))


def finder() -> Any:
    """What loads the package with its checks."""
    return next(f for f in sys.meta_path if type(f).__name__ == "_Finder")


def root_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def test_functions_and_records_without_arrays_are_checked_too() -> None:
    with pytest.raises(BeartypeCallHintViolation, match="parameter nouns="):
        rebuild([], None)  # type: ignore[arg-type]
    assert inspect.unwrap(rebuild)([], None) == ()
    with pytest.raises(BeartypeCallHintViolation, match="parameter n="):
        Interval(value=0.5, low=0.0, high=1.0, n="3")  # type: ignore[arg-type]
    assert Interval(value=1, low=0, high=1, n=3).value == 1  # a whole number will do for a float


def test_every_module_is_checked() -> None:
    assert len(MODULES) > 50
    for name, path in MODULES.items():
        folder = path.parents[1] if path.name == "__init__.py" else path.parent
        assert type(finder().find_spec(name, [str(folder)]).loader).__name__ == "_Loader", name


def shaped() -> Iterator[tuple[ModuleType, str, Callable[..., Any]]]:
    """Every function, method and record that names shapes."""
    for name, path in MODULES.items():
        if "from jaxtyping import" in path.read_text():
            module = importlib.import_module(name)
            for what in vars(module).values():
                if getattr(what, "__module__", None) == name:
                    members = vars(what).values() if isinstance(what, type) else [what]
                    for member in filter(inspect.isfunction, members):
                        if "[np.ndarray, " in str(member.__annotations__) or "[Tensor, " in str(member.__annotations__):
                            yield module, member.__qualname__, member


def test_every_shape_is_one_that_can_be_read() -> None:
    found = list(shaped())
    assert len(found) > 40
    for module, name, function in found:
        # A name that is not there while the tests run would be taken for `Any`, without a word.
        hints = typing.get_type_hints(inspect.unwrap(function), vars(module), include_extras=True)
        assert "jaxtyping" in str(hints), name
        assert inspect.unwrap(function) is not function, f"{name} is not checked"


def test_doctests_are_found_through_the_checks() -> None:
    assert inspect.unwrap(auroc) is not auroc
    assert "superalign.stats.ranking.auroc" in {t.name for t in doctest.DocTestFinder().find(ranking) if t.examples}


def test_users_do_not_pay() -> None:
    code = (
        "import sys, numpy as np; from superalign.stats.resampling import interval_from_draws as f;"
        "assert f(np.zeros((2, 10)), value=0.0, n=20).n == 20; assert 'beartype' not in sys.modules"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
