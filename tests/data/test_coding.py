"""Label codings: every code has its class, and no other code is ever taken for one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rsseg.data.coding import LabelCoding

codes = st.integers(0, 2**24 - 1)


@given(
    st.dictionaries(codes, st.integers(0, 255), min_size=1, max_size=12),
    st.lists(codes, min_size=1, max_size=30),
)
def test_codes_are_looked_up_as_in_the_table(table: dict[int, int], values: list[int]) -> None:
    values = [*values, *table]

    ids, known = LabelCoding.of("segment", table).decode(np.array(values))

    assert known.tolist() == [v in table for v in values]
    assert [i for i, k in zip(ids.tolist(), known, strict=True) if k] == [
        table[v] for v in values if v in table
    ]


def test_no_code_is_known_where_there_is_none() -> None:
    ids, known = LabelCoding.of("segment", {}).decode(np.array([[0, 1]]))

    assert (ids.tolist(), known.tolist()) == ([[255, 255]], [[False, False]])


def test_a_colour_is_described_as_red_green_blue() -> None:
    coding = LabelCoding.of_colors({(1, 2, 3): 0})

    assert coding.describe(int(coding.codes[0])) == "(1, 2, 3)"
