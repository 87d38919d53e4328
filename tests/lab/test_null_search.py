"""A whole budget is searched before the vault's own desk: what can be gained is found, and on a twin nothing is."""

import pytest

from superalign.lab.null_search import NullJob, search_null
from superalign.vault import write_bench
from tests.researcher.standing_in import Bench as Planted
from tests.researcher.test_in_the_sandbox import bench


@pytest.mark.parametrize("twin", [False, True])
def test_a_search_ends_as_its_question_allows(twin, tmp_path):
    folder = write_bench(bench(Planted(100 if twin else 0, twin=twin, name="toy-q")), tmp_path)
    found = search_null(NullJob(bench=str(folder), submissions=12, seed=0, researchers=("evolution", "random")))
    assert found.question == "toy-q"
    assert found.submissions == 12
    assert found.twin is twin
    assert found.passed <= found.tried <= found.better
    assert found.found is not twin
