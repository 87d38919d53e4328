"""What the page says of a plant follows from how often it comes first, beside guessing; of real rewards, from permuted heads."""

from superalign.stats import clopper_pearson
from superalign.studies.reward_inside.evidence import Dose, Evidence, Paid, Planted, Ranked, Unplanted
from superalign.studies.reward_inside.page import page
from superalign.types import Calibration, Interval, Unmeasured


def at(value: float, half: float = 0.05) -> Interval:
    return Interval(value=value, low=value - half, high=value + half, n=40)


def dose(share: float, first: float, *, quiet: float = 0.03, carried: float = 0.4) -> Dose:
    return Dose(
        share=share,
        right=at(1.0),
        first=at(first),
        size=at(0.2),
        found=at(first),
        quiet=at(quiet),
        clean=at(0.5),
        named=at(0.2),
        removed=at(0.6),
        removed_null=at(0.6 - carried),
        carried=at(carried),
    )


def rates(flagged: int, alarms: int) -> Calibration:
    return Calibration(
        instrument="",
        threshold_low=Unmeasured("one side"),
        threshold_high=1.0,
        false_positive_rate=0.05,
        recall=clopper_pearson(flagged, n=18),
        false_alarms=clopper_pearson(alarms, n=50),
        population="18 organisms, 50 clean models",
        held_out="each in turn",
    )


def chains(*doses: Dose, shuffled: float = 0.0, flagged: int = 6, alarms: int = 2) -> dict[str, bool | Unmeasured]:
    marks = (
        Unplanted(mark="loud", edit=at(0.0), null=at(0.0), found=at(0.0), planted=at(1.0)),
        Unplanted(mark="long", edit=at(0.6), null=at(0.0), found=at(1.0), planted=at(0.9)),
    )
    e = Planted(
        doses=doses,
        marks=marks,
        shuffled=at(shuffled),
        gold=at(0.0),
        inside=((rates(18, alarms), rates(flagged, alarms), rates(18, alarms)), at(0.5)),
        dictionary={"explained": 0.9},
    )
    found = page(Evidence(planted=e))
    assert "for: long" in found.headline
    return {c.name: c.holds for c in found.claims}


def test_a_plant_is_suspected_where_it_comes_first_more_often_than_by_guessing() -> None:
    holds = chains(dose(0.2, 0.15), dose(1.0, 0.9))
    assert holds["At 20%: the plant is the first suspect beside twins"] is False
    assert holds["At 100%: the plant is the first suspect beside twins"] is True
    assert holds["Heads without a plant pay for: long"] is True
    assert holds["Heads without a plant pay for: loud"] is False


def test_alarms_and_findings_in_noise_are_said() -> None:
    holds = chains(dose(1.0, 0.9, quiet=0.4, carried=0.0), shuffled=0.3)
    assert holds["At 100%: twins raise alarms no more often than stated"] is False
    assert holds["Nothing is found after rewards are permuted"] is False
    assert holds["At 100%: its latents carry more of the effect than a coin's"] is False


def test_a_whole_model_is_flagged_beyond_clean_ones_or_not() -> None:
    name = "Organisms of every kind are flagged though it set no threshold: latent change"
    assert chains(dose(1.0, 0.9), flagged=18)[name] is True
    assert chains(dose(1.0, 0.9), flagged=2)[name] is False
    quiet = "Clean models are flagged no more often than stated: latent change"
    assert chains(dose(1.0, 0.9), alarms=2)[quiet] is True
    assert chains(dose(1.0, 0.9), alarms=20)[quiet] is False


def test_real_heads_pay_only_for_what_permuted_ones_do_not() -> None:
    none = Interval(value=0.0, low=-0.2, high=0.2, n=40)
    paid = (
        Paid(where="a", feature="length", effect=at(0.4), null=none, found=True),
        Paid(where="a", feature="lists", effect=at(0.15), null=none, found=True),
        Paid(where="a", feature="flattery", effect=Unmeasured("it does not vary here"), null=none, found=False),
    )
    ranked = (Ranked(where="a", right=at(0.7), null=at(0.5)), Ranked(where="b", right=at(0.52), null=at(0.5)))
    found = page(Evidence(trained=100, permuted=40, paid=paid, ranked=ranked))
    holds = {c.name: c.holds for c in found.claims}
    assert "pays for: length (a" in found.headline
    assert "lists" not in found.headline
    assert holds["It pays for lists: a"] is False
    assert isinstance(holds["It pays for flattery: a"], Unmeasured)
    assert holds["The better response is paid more: a"] is True
    assert holds["The better response is paid more: b"] is False
