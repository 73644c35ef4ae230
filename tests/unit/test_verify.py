"""The merge that finds what differs, against the plainest model of it."""

from hypothesis import given
from hypothesis import strategies as st

from supervision.digests import Row
from tailrace.verify import Difference, TableResult, merge

sides = st.dictionaries(st.binary(max_size=2), st.integers(0, 2), max_size=8)


def rows(side: dict[bytes, int]) -> list[Row]:
    return [Row(key, side[key], (key.hex(),)) for key in sorted(side)]


@given(source=sides, target=sides)
def test_each_key_is_reported_once_and_rightly(
    source: dict[bytes, int], target: dict[bytes, int]
) -> None:
    expected = {key: "missing" for key in source.keys() - target.keys()}
    expected |= {key: "extra" for key in target.keys() - source.keys()}
    expected |= {k: "changed" for k in source.keys() & target.keys() if source[k] != target[k]}
    found = [(row.order, kind) for kind, row in merge(iter(rows(source)), iter(rows(target)))]
    assert found == sorted(expected.items())


def test_a_table_that_could_not_be_compared_is_not_equal() -> None:
    assert TableResult("public.a").equal
    assert not TableResult("public.a", problem="It is not there.").equal
    assert not TableResult("public.a", changed=1, differences=(Difference("changed", {}),)).equal
