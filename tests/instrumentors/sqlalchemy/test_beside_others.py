"""What SQLAlchemy's own tests do to it, and others' may: an instrumentation has to live with that."""

import inspect
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

from otel_session import testing
from otel_session.instrumentors.sqlalchemy import SQLAlchemyInstrumentor
from otel_session.instrumentors.sqlalchemy.targets import target_of


def test_it_is_switched_off_where_somebody_has_cleared_all_listeners() -> None:
    """No error, nothing left: test suites clear the listeners of a class between tests."""
    before = Pool.connect, Session.close
    instrumentor = SQLAlchemyInstrumentor()
    with testing.captured() as captured:
        instrumentor.instrument(**captured.providers)
        for owner in (Engine, Pool, Session):
            dispatch: Any = owner.dispatch
            dispatch._clear()
        instrumentor.uninstrument()
    assert (Pool.connect, Session.close) == before


@pytest.mark.usefixtures("telemetry")
@pytest.mark.parametrize("name", ["close", "invalidate", "expunge_all"])
def test_an_orm_sessions_methods_look_as_before(name: str) -> None:
    """Also to those who do not follow `__wrapped__`."""
    found = inspect.getfullargspec(getattr(Session, name))
    assert (len(found.args), found.varargs, found.kwonlyargs) == (1, None, [])


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_mock_for_a_url_is_told_as_no_name(dialect: str) -> None:
    """Attributes are never of another type than text or numbers."""
    engine = Mock(dialect=Mock(), url=Mock(query={}))
    engine.dialect.name = dialect
    assert all(isinstance(value, str | int) for value in target_of(engine).values())
