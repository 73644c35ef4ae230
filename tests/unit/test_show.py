"""What pages write: words of the product, and never markup of somebody else's."""

from tailrace.dashboard.show import code


def test_backticks_become_code_and_nothing_becomes_markup() -> None:
    assert code("see `tailrace <b>`; <i>") == ("see <code>tailrace &lt;b&gt;</code>; &lt;i&gt;")
