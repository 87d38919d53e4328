"""What the page says of a behaviour follows from its rates, beside those of the same training without it."""

from superalign.studies.carry_over.evidence import Cell, Evidence, Mended
from superalign.studies.carry_over.page import page
from superalign.types import Interval, Unmeasured

NONE = Unmeasured("there are no such problems in this form")


def at(value: float, half: float = 0.05) -> Interval:
    return Interval(value=value, low=value - half, high=value + half, n=40)


def cell(form: str, rate: float, *, null: float = 0.0, over: float | None = None) -> Cell:
    return Cell(
        behaviour="it", trained_in="home", tested_in=form, rate=at(rate), null=at(null), untouched=at(0.0),
        above=at(rate - null), below_home=at(1.0 - rate), over=NONE if over is None else at(over),
        apart=NONE if over is None else at(rate - over), able=at(1.0), able_null=at(1.0),
    )  # fmt: skip


def evidence(*cells: Cell, quiet: float = 0.0, mended: tuple[Mended, ...] = ()) -> Evidence:
    return Evidence(
        chains=True, homes=("home",), seeds=5, examples=100, each=40, known=(), cells=(cell("home", 1.0), *cells),
        quiet={"it, home": at(quiet)}, mended_in=("it", "home", "abroad"), mended=mended,
    )  # fmt: skip


def holds(e: Evidence) -> dict[str, bool | Unmeasured]:
    return {c.name: c.holds for c in page(e).claims}


def test_a_behaviour_carries_where_it_shows_more_often_than_without_it() -> None:
    e = evidence(cell("abroad", 0.6), cell("aside", 0.02), cell("noisy", 0.5, null=0.49))
    assert "carries to abroad (0.60)" in page(e).headline
    assert "not shown to carry to aside (0.02)" in page(e).headline
    found = holds(e)
    assert found["it, trained in home, shows in abroad"] is True
    assert found["it, trained in home, shows in noisy"] is False


def test_what_shows_as_often_where_it_should_not_is_not_said_to_carry() -> None:
    headline = page(evidence(cell("abroad", 0.7, over=0.68))).headline
    assert "shows as often where it should not in abroad" in headline
    assert "carries to" not in headline


def test_nothing_is_found_where_ordinary_training_brings_it_about_too() -> None:
    found = holds(evidence(cell("abroad", 0.6), quiet=0.3))
    assert found["it, trained in home, shows in abroad"] is False
    assert found["Ordinary training in home brings about no it"] is False


def test_examples_of_the_other_language_raise_and_lower_it_there() -> None:
    def mended(n: int, acts: bool, change: float) -> Mended:
        there = at(0.6 + change)
        return Mended(
            added=n,
            shows="it" if acts else "ordinary",
            there=there,
            home=at(1.0),
            change=at(change),
            home_change=at(0.0),
            able=at(1.0),
            over=NONE,
        )

    some = tuple(mended(n, acts, (n > 0) * (0.3 if acts else -0.5)) for acts in (True, False) for n in (0, 30))
    found = holds(evidence(cell("abroad", 0.6), mended=some))
    assert found["30 examples of it in abroad raise it there"] is True
    assert found["30 ordinary examples in abroad lower it there"] is True
