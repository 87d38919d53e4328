import superalign.stats


def test_public_names_are_listed_sorted_and_there() -> None:
    names = superalign.stats.__all__
    assert names == sorted(names)
    assert all(hasattr(superalign.stats, name) for name in names)
    public = {n for n, v in vars(superalign.stats).items() if not n.startswith("_") and not hasattr(v, "__spec__")}
    assert public == set(names)
