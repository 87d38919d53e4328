"""Every annotation of the package, checked at each call while the tests run.

Functions that name the shapes of arrays go through jaxtyping, so that a letter means one size throughout a call; that costs
ten times as much as types alone, so all others go through beartype only. jaxtyping's own import hook and pytest option are
not used. They wrap every function at that price, and wrap functions inside functions anew whenever these are made: tests of
plain functions took three to four times as long. And processes of pytest-xdist never see the option where it stands in
addopts.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from beartype import BeartypeConf, FrozenDict, beartype
from jaxtyping import jaxtyped
from numpy.typing import ArrayLike

# A whole number will do for a float, as type checkers say too. What takes `ArrayLike` refuses wrong values itself, in words;
# checking that union of protocols took half the time of the statistics.
TYPES = beartype(conf=BeartypeConf(is_pep484_tower=True, hint_overrides=FrozenDict({ArrayLike: object})))
SHAPE = re.compile(r"\b(Bool|U?Int\d*|Float\d*|Num|Shaped)\[")
NAME = "_checked"


def checked(what: Callable[..., Any]) -> Callable[..., Any]:
    """Check what a function takes and returns, or what a dataclass is made of."""
    if isinstance(what, type):
        if dataclasses.is_dataclass(what) and "__init__" in vars(what):
            what.__init__ = checked(what.__init__)
        return what
    shapes = any(SHAPE.search(str(a)) for a in what.__annotations__.values())
    return jaxtyped(what, typechecker=TYPES) if shapes else TYPES(what)


class _Decorate(ast.NodeTransformer):
    """Puts the check around functions, under any other decorator, and around classes, above any other."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.decorator_list.append(ast.copy_location(ast.Name(NAME, ast.Load()), node))
        return node  # what is inside would be wrapped anew at each call

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        node.decorator_list.insert(0, ast.copy_location(ast.Name(NAME, ast.Load()), node))
        return self.generic_visit(node)


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        """Compile from source: compiled files on disk hold the code without checks, and must go on to."""
        path = self.get_filename(fullname)
        tree = ast.fix_missing_locations(_Decorate().visit(ast.parse(self.get_data(path), path)))
        return compile(tree, path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)[NAME] = checked
        super().exec_module(module)


class _Finder(MetaPathFinder):
    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name.split(".")[0] == self.package else None
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def install(package: str) -> None:
    """Check a package that nobody has imported yet."""
    assert package not in sys.modules, f"{package} was imported before its checks: they would not be made"
    sys.meta_path.insert(0, _Finder(package))
