"""Loading an attribute of a detached object without attaching the object: a double of it is loaded instead.

The double has the object's identity, its column values and its loader options, and SQLAlchemy's own loaders work on
it. So the object is in no unit of work at any time: nothing of it is flushed, nothing cascades from it.
"""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy.ext.mutable import MutableBase
from sqlalchemy.orm import Session, make_transient_to_detached
from sqlalchemy.orm.attributes import instance_dict, instance_state, set_committed_value
from sqlalchemy.orm.collections import collection_adapter
from sqlalchemy.orm.interfaces import MANYTOONE

_giving = threading.RLock()
"""Held while an object gets its values: of several threads that loaded the same, the first gives, and all see that."""


def load(state: Any, key: str, orm_session: Session, *, shared: bool) -> None:
    """Load an attribute of a detached object, and whatever columns come with it.

    Values that the object has, changed ones too, stay as they are.

    Args:
        state: The object's.
        key: The attribute.
        orm_session: Loads it, without a flush.
        shared: Others use the ORM session; what was loaded stays in it, and does not refer to the detached object.

    Raises:
        ObjectDeletedError: The row is gone; the error speaks of the double.
        Exception: Whatever loading raises.
    """
    instance = state.obj()
    double = _double_of(state)
    orm_session.add(double)
    try:
        with orm_session.no_autoflush:
            loaded = getattr(double, key)
        if key in state.mapper.relationships:
            values = _values(double, key, loaded)
            with _giving:
                _give_columns(state, instance, double)
                _give_related(state, instance, double, key, values, back=not shared)
        else:
            with _giving:
                _give_columns(state, instance, double)
    finally:
        for name in state.mapper.relationships.keys():  # noqa: SIM118 - it iterates over its values
            instance_dict(double).pop(name, None)  # else what was loaded would be expunged with it
        orm_session.expunge(double)


def _double_of(state: Any) -> Any:
    mapper = state.mapper
    double = mapper.class_manager.new_instance()
    for name in mapper.column_attrs.keys():  # noqa: SIM118 - likewise
        if name in state.dict:
            set_committed_value(double, name, state.dict[name])
    for column, value in zip(mapper.primary_key, state.key[1], strict=True):
        set_committed_value(double, mapper.get_property_by_column(column).key, value)
    twin: Any = instance_state(double)
    twin.identity_token = state.identity_token
    make_transient_to_detached(double)
    if state.load_options:
        twin.load_options, twin.load_path = state.load_options, state.load_path
    if state.callables:  # options of the query that loaded the object: defer, lazyload with criteria, raiseload
        twin.expired_attributes.difference_update(set(state.callables) - state.expired_attributes)
        twin.callables = dict(state.callables)
    return double


def _values(double: Any, key: str, loaded: Any) -> list[Any]:
    if instance_state(double).manager[key].impl.collection:
        return list(collection_adapter(loaded))  # also of a dictionary, its values
    return [loaded]


def _give_columns(state: Any, instance: Any, double: Any) -> None:
    found = instance_dict(double)
    for name in state.mapper.column_attrs.keys():  # noqa: SIM118 - likewise
        if name not in found or name in state.dict or name in state.committed_state:
            continue
        value = found[name]
        set_committed_value(instance, name, value)
        if isinstance(value, MutableBase):  # it tells its owner when it is changed
            value._parents[state] = name


def _give_related(state: Any, instance: Any, double: Any, key: str, values: list[Any], *, back: bool) -> None:
    if key in state.dict:
        return
    prop = state.mapper.relationships[key]
    values = [instance if value is double else value for value in values]
    if back:
        for reverse in prop._reverse_property:
            if reverse.direction is MANYTOONE:
                _refer_back(values, reverse.key, instance, double)
    set_committed_value(instance, key, values if state.manager[key].impl.collection else values[0])


def _refer_back(children: list[Any], name: str, instance: Any, double: Any) -> None:
    """As attached objects do, where the ORM session finds the parent that it has."""
    for child in children:
        if child is not None and instance_dict(child).get(name, double) is double:
            set_committed_value(child, name, instance)
