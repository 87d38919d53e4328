"""Functions are read by strangers: what they are called, and that their docstrings begin with what they do."""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "superalign"
# Words of a private dialect; docs/design.md and the field have plainer ones.
BANNED = {
    "World", "Seat", "Seating", "Sitting", "Look", "Watched", "Climbing", "Distilling", "Slips", "LocalSeat", "ApiSeat",
    "seat_of", "spread_over", "described", "LARGEST",
}  # fmt: skip
# How a docstring of a function begins that does not say what the function does.
NOUNS = {
    "A", "All", "An", "As", "Each", "Error", "Every", "Everything", "How", "In", "It", "Its", "No", "Nothing", "Of", "One",
    "Share", "That", "The", "This", "What", "When", "Where", "Whether", "Which", "Who", "Why",
}  # fmt: skip
MOST_NOUNS = 26  # may only fall


def named(tree: ast.Module) -> Iterator[str]:
    """Classes, functions and constants of a file."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        if isinstance(node, ast.Assign):
            yield from (n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name))


def nouns(tree: ast.Module) -> list[str]:
    """Public functions whose docstring begins with a noun; a property is one."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            named_by = {getattr(d, "id", getattr(d, "attr", "")) for d in node.decorator_list}
            words = (ast.get_docstring(node) or "").split()
            if words and words[0].strip(",.:;") in NOUNS and not named_by & {"property", "cached_property"}:
                found.append(node.name)
    return found


def trees() -> list[ast.Module]:
    return [ast.parse(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))]


def test_nothing_has_a_name_of_the_dialect() -> None:
    assert {name for tree in trees() for name in named(tree)} & BANNED == set()


def test_docstrings_begin_with_what_a_function_does() -> None:
    assert len([name for tree in trees() for name in nouns(tree)]) <= MOST_NOUNS


def test_both_can_fail() -> None:
    tree = ast.parse(
        'LARGEST = 1\nclass World:\n    def f(self):\n        """The thing."""\ndef g():\n    """Do it."""\n'
    )
    assert set(named(tree)) & BANNED == {"LARGEST", "World"}
    assert nouns(tree) == ["f"]
