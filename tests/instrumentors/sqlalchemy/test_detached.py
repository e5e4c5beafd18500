"""Detached instances: a table of cases, what the application sees in each mode, the same on SQLAlchemy 1.4 to 2.1."""

import functools
import json
import pathlib
import subprocess
from typing import Any

import pytest
from sqlalchemy import Column, Integer, String, create_engine
from sqlalchemy.orm import Session, declarative_base, sessionmaker
from sqlalchemy.orm.exc import DetachedInstanceError

import otel_session
from otel_session import ConfigError, testing
from otel_session.instrumentors.sqlalchemy import detached
from tests.environments import python_with
from tests.instrumentors.sqlalchemy.test_versions import ENVIRONMENTS, VERSIONS

SCENARIO = pathlib.Path(__file__).with_name("detached_scenario.py")
ERROR = "DetachedInstanceError"
REASONS = ["modified", "conflict", "attached", "transient"]
EXPIRED, LAZY, DEFERRED = "expired", "lazy_relationship", "deferred"

# Case -> what is got without recovery, what with it; what was read; outcome without, and with.
TABLE: dict[str, tuple[Any, Any, Any, str, str]] = {
    "expired_column": (ERROR, "ann", ["Owner", "name", EXPIRED], "raised", "recovered"),
    "one_to_many": (ERROR, ["a", "b", True, True], ["Owner", "deals", LAZY], "raised", "recovered"),
    "many_to_one": (ERROR, "ann", ["Deal", "owner", LAZY], "raised", "recovered"),
    "deferred_column": (ERROR, "n1", ["Owner", "note", DEFERRED], "raised", "recovered"),
    "polymorphic": (ERROR, 7, ["Firm", "number", EXPIRED], "raised", "recovered"),
    "deleted_row": (ERROR, "ObjectDeletedError", ["Owner", "note", DEFERRED], "raised", "deleted"),
    "pending_change": (
        [ERROR, "changed", "ann", True],
        ["n1", "changed", "ann", True],
        ["Owner", "note", DEFERRED],
        "raised",
        "recovered",
    ),
    "transient_child": (
        [ERROR, 2, True],
        [["a", "b", "new"], 2, True],
        ["Owner", "deals", LAZY],
        "raised",
        "recovered",
    ),
    "changed_foreign_key": (ERROR, "firm", ["Deal", "owner", LAZY], "raised", "recovered"),
    "pickled": (ERROR, ["a", "b"], ["Owner", "deals", LAZY], "raised", "recovered"),
    "collected": (ERROR, "n1", ["Owner", "note", DEFERRED], "raised", "recovered"),
    "eight_threads": ([8, 1, ERROR], [8, 1, "one collection"], ["Owner", "deals", LAZY], "raised", "recovered"),
    "dynamic_rows": (0, 0, ["Owner", "visits", "dynamic"], "empty", "empty"),
    "dynamic_query": (ERROR, ERROR, ["Owner", "visits", "dynamic"], "raised", "raised"),
    "attached": (2, 2, None, "", ""),
    "asynchronous": ("MissingGreenlet", "MissingGreenlet", ["Owner", "deals", LAZY], "raised", "raised"),
    "reattach_clean": (2, 2, None, "", ""),
    "reattach_refused": (REASONS, REASONS, None, "", ""),
}
ENDS = {"pickled": "expunged", "collected": "garbage_collected", "asynchronous": "open"}
SUGGESTED = {
    EXPIRED: ("expire_on_commit=False", "selectin_polymorphic(Owner, [Firm])"),
    LAZY: ("selectinload(Owner.deals)", "selectinload(Deal.owner)"),
    DEFERRED: ("undefer(Owner.note)",),
    "dynamic": ("while the ORM session is open",),
}


@functools.cache
def _found(version: str, mode: str) -> Any:
    command = [str(python_with(*ENVIRONMENTS[version])), "-I", str(SCENARIO), mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["version"].startswith(version)
    return found["cases"]


@pytest.mark.parametrize("case", TABLE)
@pytest.mark.parametrize("version", VERSIONS)
def test_observed(version: str, case: str) -> None:
    """By default the application gets what it gets without us, and each read is told once, explained."""
    got, _, read, outcome, _ = TABLE[case]
    found = _found(version, "observe")[case]
    assert found["got"] == got == _found(version, "off")[case]["got"]
    threads = 8 if case == "eight_threads" else 1
    assert found["events"] == ([[*read, outcome]] * threads if read else [])
    assert found["spans"] == []
    assert found["ids"]
    if read:
        assert set(found["ends"]) == {ENDS.get(case, "closed")}
        for body in found["bodies"]:
            assert body.startswith(f"{read[0]}.{read[1]} ({read[2].replace('_', ' ')}) was read ")
            assert any(words in body for words in SUGGESTED[read[2]])


@pytest.mark.parametrize("case", TABLE)
@pytest.mark.parametrize("version", VERSIONS)
def test_recovered(version: str, case: str) -> None:
    """With `load_only` what can be loaded is, once, in a span whose status stays unset; nothing is written."""
    _, got, read, _, outcome = TABLE[case]
    found = _found(version, "load_only")[case]
    assert found["got"] == got
    times = len(found["events"]) if case == "eight_threads" else 1  # of eight at once, several may load it
    assert 1 <= times <= 8
    assert found["events"] == ([[*read, outcome]] * times if read else [])
    attempted = outcome in ("recovered", "deleted")
    assert found["spans"] == ([["UNSET", outcome]] * times if attempted else [])


@pytest.mark.parametrize("version", VERSIONS)
def test_where_the_orm_session_ended(version: str) -> None:
    """The explanation names the line at which the ORM session was closed."""
    (body,) = _found(version, "observe")["deferred_column"]["bodies"]
    assert f"{SCENARIO.name}:" in body
    assert " in _detached" in body


@pytest.mark.parametrize("case", TABLE)
def test_switched_off(case: str) -> None:
    """`off` tells nothing."""
    found = _found("2.1", "off")[case]
    assert (found["events"], found["spans"]) == ([], [])


Base: Any = declarative_base()


class Deal(Base):
    """A deal."""

    __tablename__ = "deal"
    id = Column(Integer, primary_key=True)
    title = Column(String(40))


def _expired(engine: Any) -> Any:
    with Session(engine) as orm:
        deal = Deal(title="a")
        orm.add(deal)
        orm.commit()
    return deal


@pytest.fixture
def engine(tmp_path: pathlib.Path) -> Any:
    """A database with the table."""
    engine = create_engine(f"sqlite:///{tmp_path}/deals.db")
    Base.metadata.create_all(engine)
    return engine


@pytest.mark.parametrize("provider", [None, 7])
def test_a_provider_that_is_none_is_refused_at_once(provider: Any, telemetry: testing.Captured) -> None:
    """What cannot be called gives nobody an ORM session, and is told where it is named."""
    with pytest.raises(ConfigError, match="ORM session"):
        otel_session.recover_detached(provider)


@pytest.mark.parametrize("given", [None, "text", object()])
def test_a_provider_of_something_else_leaves_the_error(given: Any, engine: Any, telemetry: testing.Captured) -> None:
    """It is refused at set-up; where it comes later, the application gets its own exception, unchanged."""
    with pytest.raises(ConfigError, match="expected an ORM session"):
        otel_session.recover_detached(lambda: given)
    gives = iter([Session(engine)])
    otel_session.recover_detached(lambda: next(gives, given))
    deal = _expired(engine)
    with pytest.raises(DetachedInstanceError):
        _ = deal.title


@pytest.mark.parametrize(
    "settings",
    [{"detached": "sometimes"}, {"detached": "load_only"}, {"detached_budget": 0}, {"detached_provider": "nonsense"}],
)
def test_bad_settings(settings: dict[str, Any]) -> None:
    """An unknown mode, a mode without its provider, no budget: a clear error at set-up."""
    with pytest.raises(ConfigError, match=r"(?i)detached"):
        otel_session.instrument(**settings)
    otel_session.uninstrument()


def test_the_budget_ends_recoveries(engine: Any, telemetry: testing.Captured) -> None:
    """A trace recovers no more than it may; from then on the application gets its own exception, explained."""
    otel_session.recover_detached(sessionmaker(engine), budget=2)
    deals = [_expired(engine) for _ in range(3)]
    tracer = telemetry.providers["tracer_provider"].get_tracer("app")
    with tracer.start_as_current_span("request"):
        assert [deals[0].title, deals[1].title] == ["a", "a"]
        with pytest.raises(DetachedInstanceError):
            _ = deals[2].title
    bodies = [str(r.log_record.body) for r in telemetry.logs() if r.log_record.event_name]
    assert "as many as it may" in bodies[-1]


def test_uninstrument_leaves_no_trace(engine: Any) -> None:
    """What was wrapped is what it was before."""
    from sqlalchemy.orm import attributes
    from sqlalchemy.orm.exc import DetachedInstanceError as Error

    def now() -> list[Any]:
        kind = getattr(attributes, "_AttributeImpl", None) or attributes.AttributeImpl
        appender = detached._APPENDER.__dict__
        return [kind._fire_loader_callables, Error.__init__, Session.expunge_all, dict(appender)]

    before = now()
    otel_session.instrument()
    assert now()[0] is not before[0]
    otel_session.uninstrument()
    after = now()
    assert after[1:3] == before[1:3]
    assert after[0] is before[0]
    assert after[3] == before[3]
