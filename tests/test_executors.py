"""The seam between what is computed and where: who gets the work, who keeps values, and what a cluster may not do in silence."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import pickle
import platform
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from superalign import inputs
from superalign.errors import BadInput
from superalign.jobs import Executor, Memo, Processes, cluster, executor_named, executors, run, using
from superalign.jobs.cluster import Ray
from superalign.jobs.work import ONE_THREAD, Origin


def length(path: str) -> int:
    return len(Path(path).read_text())


def memo(folder: Path) -> Memo[Any]:
    return Memo(
        folder=folder / "work" / "memo", version="1", encode=lambda v: json.dumps(v).encode(), decode=json.loads
    )


class Backwards:
    """An executor that does the last item first, and looks at what is kept meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen, self.kept = folder, [], []

    def cores(self) -> int:
        return 3

    def each(
        self, work: Callable[[int, Any], Any], items: Sequence[Any], todo: Sequence[int], *, workers: int
    ) -> Iterator[tuple[int, Any]]:
        self.seen.append((list(todo), workers))
        for i in reversed(todo):
            yield i, work(i, items[i])
            self.kept.append(len(list(self.folder.glob("work/memo/*"))))


def test_an_executor_gives_values_back_in_any_order_and_only_the_caller_keeps_them(tmp_path: Path) -> None:
    over = Backwards(tmp_path)
    with using(over):
        assert run(abs, [-1, 2, -3], workers=3, memo=memo(tmp_path)) == [1, 2, 3]
        assert run(abs, [-4, 2, -1, -3], workers=2, memo=memo(tmp_path)) == [4, 2, 1, 3]
        assert over.seen == [([0, 1, 2], 3), ([0], 2)], "what was kept went out again"
        assert over.kept == [1, 2, 3, 4]
        assert run(abs, [-1]) == [1], "one worker stays in this process"
        assert len(over.seen) == 2


def test_an_executor_is_used_for_the_time_of_a_block(tmp_path: Path) -> None:
    outer, inner = Backwards(tmp_path), Backwards(tmp_path)
    assert executors.current() == Processes()
    with using(outer):
        with contextlib.suppress(KeyError), using(inner):
            assert executors.current() is inner
            raise KeyError
        assert executors.current() is outer
    assert executors.current() == Processes()


@pytest.mark.parametrize("executor", [Processes(), Ray("10.0.0.1:6379")])
def test_both_are_executors(executor: Any) -> None:
    assert isinstance(executor, Executor)


@pytest.mark.parametrize(
    ("name", "address"), [("ray", "local"), ("ray:auto", "auto"), ("ray:ray://10.0.0.1:10001", "ray://10.0.0.1:10001")]
)
def test_executors_have_names(monkeypatch: pytest.MonkeyPatch, name: str, address: str) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert executor_named(name) == Ray(address)
    assert executor_named("local") == Processes()


def test_an_address_where_nobody_listens_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert executor_named(f"ray:{address}") == Ray(address)
    for silent in (address, "127.0.0.1:port"):
        with pytest.raises(BadInput, match=f"No Ray cluster answers at {silent} .* Nothing was run. Start one"):
            executor_named(f"ray:{silent}")


@pytest.mark.parametrize("name", ["", "slurm", "ray:", "rays", "local:1"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match=r"no executor .* Nothing was run. Choose local, ray, or ray:ADDRESS"):
        executor_named(name)


WITHOUT_RAY = """
import sys
sys.modules["ray"] = None
sys.argv = ["superalign", *{words!r}]
try:
    from superalign.cli import main
    main()
finally:
    print(sorted({{"torch", "transformers"}} & set(sys.modules)))
"""


@pytest.mark.parametrize("words", [("run", "loop"), ("audit",), ("plant",), ("redteam",)])
def test_without_ray_a_command_says_what_to_install_before_anything_heavy_is_imported(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    script = WITHOUT_RAY.format(words=[*words, "--executor", "ray", "--out", str(tmp_path / "run")])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr == (
        "superalign: Ray is not installed. --executor ray hands work to it, and superalign comes without. "
        "Install it with: pip install 'superalign[cluster]'\n"
    )
    assert done.stdout == "[]\n"
    assert not (tmp_path / "run").exists()


def origin(own: Path, **changes: Any) -> Origin:
    here = {"host": platform.node(), "code": inputs.code(), "stamp": inputs.stamp()}
    return Origin(**{**here, "named": {0: {}}, "own": own, **changes})


def test_a_worker_on_this_machine_looks_at_the_code_alone(tmp_path: Path) -> None:
    origin(tmp_path / "nowhere", named={0: {str(tmp_path): "another digest"}}).check(0)
    origin(tmp_path, stamp="another").check(0)
    with pytest.raises(BadInput, match="code of superalign changed while"):
        origin(tmp_path, stamp="another", code="another").check(0)


def test_a_worker_on_another_machine_refuses_other_code_folders_and_inputs(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_text("weights")
    named = {0: inputs.digests([str(path)], run=tmp_path / "run"), 1: {str(tmp_path / "gone"): "its digest"}}
    own = tmp_path / "run" / "work"
    own.mkdir(parents=True)
    there = functools.partial(origin, host="elsewhere", named=named)
    there(own, stamp="another").check(0)
    with pytest.raises(
        BadInput, match="has other code of superalign, or other versions of its libraries, than elsewhere"
    ):
        there(own, stamp="another", code="another").check(0)
    with pytest.raises(BadInput, match=r"does not see .*run/gone.* --out that all machines"):
        there(tmp_path / "run" / "gone").check(0)
    with pytest.raises(BadInput, match=f"gone is not the same on {platform.node()} as on elsewhere"):
        there(own).check(1)
    path.write_text("other weights")
    with pytest.raises(BadInput, match=f"model is not the same on {platform.node()} as on elsewhere"):
        there(own).check(0)
    inside = own / "made"
    inside.write_text("1")
    there(own, named={0: {str(inside): "another digest"}}).check(0)


def test_what_is_kept_says_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text"
    path.write_text("abc")
    asked: list[tuple[Origin, int]] = []
    monkeypatch.setattr(Origin, "check", lambda self, i: asked.append((self, i)))
    with using(Backwards(tmp_path)):
        assert run(length, [str(path)], workers=2, memo=memo(tmp_path / "run")) == [3]
        assert run(abs, [-1], workers=2) == [1]
    assert [(o.host, o.named, o.own.is_dir(), i) for o, i in asked] == [
        (platform.node(), {0: {str(path): inputs.digest_at(path)}}, True, 0)
    ]


class FakeRay(ModuleType):
    """As much of Ray as the executor uses; tasks run when their values are fetched, and workers are lost on demand."""

    class RayError(Exception):
        pass

    class RayTaskError(RayError):
        cause = ModuleNotFoundError("No module named 'superalign'")

    def __init__(self, lost: Sequence[Any]) -> None:
        super().__init__("ray")
        self.exceptions = SimpleNamespace(RayError=self.RayError, RayTaskError=self.RayTaskError)
        self.cloudpickle, self.lost = pickle, list(lost)
        self.given: list[int] = []  # how many tasks were out whenever one was waited for
        self.addresses: list[Any] = []
        self.cancelled: list[Any] = []

    def is_initialized(self) -> bool:
        return bool(self.addresses)

    def init(self, address: str | None, **_: Any) -> None:
        if address == "nobody:1":
            raise ConnectionError("no answer")
        self.addresses.append(address)

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 12.0, "memory": 1e9}

    def remote(self, **options: Any) -> Callable[[Any], Any]:
        assert options == {"num_cpus": 1, "max_retries": 0}
        return lambda function: SimpleNamespace(remote=lambda *given: functools.partial(function, *given))

    def put(self, value: Any) -> Any:
        return value

    def wait(self, refs: list[Any]) -> tuple[list[Any], list[Any]]:
        self.given.append(len(refs))
        return refs[-1:], refs[:-1]

    def get(self, ref: Any) -> Any:
        item = pickle.loads(ref.args[-1])
        if item in self.lost:
            self.lost.remove(item)
            raise (self.RayTaskError if item == "no code" else self.RayError)("The worker\n died.")
        return ref()

    def cancel(self, ref: Any, *, force: bool) -> None:
        assert force
        self.cancelled.append(pickle.loads(ref.args[-1]))


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeRay]:
    for name in ONE_THREAD:
        monkeypatch.setenv(name, os.environ.get(name, "1"))  # so that it is put back
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")

    def install(*lost: Any) -> FakeRay:
        fake = FakeRay(lost)
        monkeypatch.setitem(sys.modules, "ray", fake)
        return fake

    return install


def over(function: Callable[[Any], Any], items: Sequence[Any], *, workers: int = 2) -> list[Any]:
    with using(Ray("10.0.0.1:6379")):
        return run(function, items, workers=workers)


def starve(x: int) -> int:
    if x == 2:
        raise MemoryError("no room")
    return x


def folder(x: int) -> str:
    return os.getcwd()


def test_a_cluster_does_what_processes_do(ray: Callable[..., FakeRay]) -> None:
    fake = ray()
    assert over(abs, [-1, 2, -3, 4, -5]) == [1, 2, 3, 4, 5]
    assert fake.given == [2, 2, 2, 2, 1], "two at a time"
    assert fake.addresses == ["10.0.0.1:6379"], "connected once"
    assert Ray("10.0.0.1:6379").cores() == 12


def test_an_item_whose_worker_was_lost_is_done_again_and_given_up_after_three(ray: Callable[..., FakeRay]) -> None:
    ray(-3)
    with pytest.warns(
        UserWarning, match=r"lost while working on item 2 \(-3\) \(The worker died.\). The item is done again"
    ):
        assert over(abs, [-1, 2, -3, 4]) == [1, 2, 3, 4]
    fake = ray(-3, -3, -3)
    with (
        pytest.warns(UserWarning, match="done again"),
        pytest.raises(
            BadInput, match=r"lost while working on item 2 \(-3\), as were 2 before, .*what was finished is kept"
        ),
    ):
        over(abs, [-1, 2, -3, 4])
    assert fake.cancelled == [-1], "what is under way is stopped"


def test_an_item_without_memory_is_done_again_alone(ray: Callable[..., FakeRay]) -> None:
    fake = ray()
    with pytest.warns(UserWarning, match="found no memory.*Going on with 1 at a time"), pytest.raises(MemoryError):
        over(starve, [1, 2, 3])
    assert fake.given[-1] == 1


def test_an_exception_comes_through_a_cluster_with_its_item(ray: Callable[..., FakeRay]) -> None:
    ray()
    with pytest.raises(FileNotFoundError) as caught:
        over(length, ["/nowhere"])
    assert "while working on item 0 ('/nowhere')" in "".join(caught.value.__notes__)


def test_a_machine_without_our_code_is_told(ray: Callable[..., FakeRay]) -> None:
    ray("no code")
    with pytest.raises(BadInput, match=r"cannot do the work \(No module named 'superalign'\).*the same versions"):
        over(length, ["no code"])


def test_a_worker_works_in_the_folder_of_the_command_or_not_at_all(
    ray: Callable[..., FakeRay], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray()
    monkeypatch.chdir(tmp_path)
    task = functools.partial(cluster._serve, pickle.dumps(where), (str(tmp_path), ()))
    os.chdir("/")
    assert pickle.loads(task(0, pickle.dumps(1))) == (True, str(tmp_path))
    good, error = pickle.loads(cluster._serve(pickle.dumps(where), (str(tmp_path / "gone"), ()), 0, pickle.dumps(1)))
    assert not good
    assert isinstance(error, BadInput)
    assert "no working directory" in str(error)


def where(i: int, item: Any) -> str:
    return folder(item)


def test_a_cluster_that_does_not_answer_is_named(ray: Callable[..., FakeRay]) -> None:
    ray()
    with pytest.raises(BadInput, match=r"No Ray cluster answers at nobody:1 \(no answer\). Nothing was run. Start one"):
        Ray("nobody:1").cores()
