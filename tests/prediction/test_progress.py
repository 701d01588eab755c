import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg.prediction.progress import split_progress


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=5).filter(any))
def test_stages_follow_one_another_and_end_at_one(costs: list[float]) -> None:
    told: list[float] = []

    for stage in split_progress(told.append, costs):
        for share in (0.0, 0.5, 1.0):
            stage(share)

    assert told == sorted(told)
    assert told[0] == pytest.approx(0, abs=1e-9)
    assert told[-1] == 1.0


def test_a_stage_takes_the_share_that_it_costs() -> None:
    told: list[float] = []
    first, nothing, last = split_progress(told.append, [1, 0, 3])

    first(0.5)
    first(1)
    nothing(0.3)
    last(0.5)

    assert told == [0.125, 0.25, 0.25, 0.625]
