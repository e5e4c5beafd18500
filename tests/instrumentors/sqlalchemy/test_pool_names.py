"""Names of pools: nobody else's, and as cheap for the thousandth as for the first."""

import gc

from otel_session.instrumentors.sqlalchemy.existing import existing
from otel_session.instrumentors.sqlalchemy.pool_names import Name, Names


def test_the_lowest_number_that_is_free() -> None:
    """A name is given out again when its owner is gone, and to one at a time."""
    names = Names()
    held = {name.text: name for name in (names.take("shop") for _ in range(4))}
    assert list(held) == ["shop", "shop#2", "shop#3", "shop#4"]
    del held["shop#3"], held["shop"]
    gc.collect()
    again = [names.take("shop") for _ in range(3)]
    assert [name.text for name in again] == ["shop", "shop#3", "shop#5"]
    assert names.take("other").text == "other"


def test_an_application_that_numbers_its_pools_itself() -> None:
    """A name that looks like one of ours is not given twice."""
    names = Names()
    own = names.take("shop#2")
    held: list[Name] = [names.take("shop") for _ in range(3)]
    assert [own.text, *(name.text for name in held)] == ["shop#2", "shop", "shop#3", "shop#4"]
    assert names.take("shop#2").text == "shop#2#2"


def test_nothing_is_kept_of_names_that_are_gone() -> None:
    """A thousand pools, one after the other or all at once, leave nothing."""
    names = Names()
    for _ in range(1_000):
        names.take("one after the other")
    held = [names.take(f"base {number % 7}") for number in range(1_000)]
    assert len({name.text for name in held}) == 1_000
    del held
    gc.collect()
    last = names.take("last")
    assert last.text == "last"
    assert (names._taken, names._free, list(names._next)) == ({"last"}, {}, ["last"])


def test_what_is_there_already() -> None:
    """Engines and what is out of their pools are found; what only pretends to be one is not."""
    from sqlalchemy import create_engine
    from sqlalchemy.engine import Engine

    class Pretender:
        __class__ = Engine  # type: ignore[assignment]

    pretender = Pretender()
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        found = existing()
        assert any(one is engine for one in found.engines)
        assert any(one is connection.connection for one in found.proxies)
        assert not any(one is pretender for one in found.engines)
