"""What is known of SQLAlchemy's tests, each with its reason: nothing else may differ."""

DIFFERENCES: dict[str, tuple[tuple[int, str, int], ...]] = {}
"""Statements that ours tells of otherwise than the witness saw, by test: how many more (or fewer) were told of, the
text, and the number of parameter sets. There are none."""

NOT_REPEATABLE = (
    # What has no order is flushed, created or reflected by addresses in memory: other tests before them change it.
    "test/orm/test_unitofworkv2.py::SingleCycleM2MTest::test_many_to_many_one",
    "test/ext/declarative/test_reflection.py::DeferredReflectionTest::",
    "test/orm/declarative/test_basic.py::DeclarativeMultiBaseTest_",
    "test/orm/declarative/test_reflection.py::DeclarativeReflectionTest::",
)
"""Beginnings of the ids of tests that send more or fewer statements from one run to the next, without ours too.

More of them send the same number of others (columns in another order); what ours tells is compared with what was sent
in the same run."""
