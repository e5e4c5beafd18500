"""Two runs of the same tests, one with our instrumentor: what differs, and what does not add up."""

from collections import Counter
from typing import Any

from tests.upstream.known import DIFFERENCES, NOT_REPEATABLE

_SHOWN = 20


class Comparison:
    """Reports of the plug-in, without ours and with it."""

    def __init__(self, without: dict[str, Any], ours: dict[str, Any]) -> None:
        self.without, self.ours = without, ours

    def newly_failing(self) -> list[str]:
        """Tests that fail with ours only."""
        return self._failing_only_in(self.ours, self.without)

    def newly_passing(self) -> list[str]:
        """Tests that fail without ours only."""
        return self._failing_only_in(self.without, self.ours)

    def otherwise_different(self) -> list[str]:
        """Tests that are skipped, or there, in one run only."""
        before, after = (
            {test: outcome for test, outcome in run["outcomes"].items() if outcome != "failed"}
            for run in (self.without, self.ours)
        )
        failed = {test for run in (self.without, self.ours) for test, o in run["outcomes"].items() if o == "failed"}
        return [t for t in {**before, **after} if t not in failed and before.get(t) != after.get(t)]

    def sent_differently(self) -> list[str]:
        """Tests that sent more or fewer statements with ours than without."""
        before, after = self.without["sent"], self.ours["sent"]
        differ = [test for test in {**before, **after} if before.get(test) != after.get(test)]
        return [test for test in differ if not test.startswith(NOT_REPEATABLE)]

    def unexplained(self) -> dict[str, list[Any]]:
        """Tests in which ours told of other statements than the witness saw, beyond what is known of them."""
        return {
            test: found
            for test, found in self.ours["differences"].items()
            if sorted(map(tuple, found)) != sorted(DIFFERENCES.get(_plain(test), ()))
        }

    def wrong(self) -> dict[str, Any]:
        """What is not as it should be; empty when all is well."""
        ours = self.ours
        ended = sum(ours["outcomes_of_units"].values())
        sessions = ours["orm_sessions"]
        checks: dict[str, Any] = {
            "tests that could not be read": [test for test in ours["outcomes"] if "::" not in test],
            "tests newly failing": self.newly_failing(),
            "tests with another outcome": self.otherwise_different(),
            "tests that sent more or fewer statements": self.sent_differently(),
            "statements told of otherwise": self.unexplained(),
            "spans not ended": _minus(ours["spans_started"], ours["spans_ended"]),
            "units of work not ended": ours["open_units"] or ended - ours["spans_ended"].get("unit", 0),
            "durations without a span": ours["durations"] - ours["spans_ended"].get("statement", 0),
            "ORM sessions not accounted for": sessions["made"] - sessions["ended"] - sessions["active"],
            "tests that left a span current": ours["left_current"],
            "complaints": ours["complaints"],
        }
        return {name: found for name, found in checks.items() if found}

    def table(self) -> str:
        """For a person to read."""
        without, ours = Counter(self.without["outcomes"].values()), Counter(self.ours["outcomes"].values())
        rows = [
            ("", "without", "with ours"),
            *((outcome, without[outcome], ours[outcome]) for outcome in ("passed", "skipped", "failed")),
            ("newly failing", "", len(self.newly_failing())),
            ("statements of dialects, witnessed", self.without["statements"], self.ours["statements"]),
            ("statements told of", "", self.ours["spans_ended"].get("statement", 0)),
            ("by raw cursors", sum(self.without["raw"].values()), sum(self.ours["raw"].values())),
            ("by dialects without a context", self.without["without_context"], self.ours["without_context"]),
            ("tests with a known difference", "", len(self.ours["differences"]) - len(self.unexplained())),
            ("spans started", "", sum(self.ours["spans_started"].values())),
            ("spans ended", "", sum(self.ours["spans_ended"].values())),
            ("of them leaves, written at their end", "", self.ours["leaves"]),
            ("units of work begun as spans", "", self.ours["spans_started"].get("unit", 0)),
            *((f"units of work ended by {how}", "", n) for how, n in sorted(self.ours["outcomes_of_units"].items())),
        ]
        title = f"SQLAlchemy {self.ours['sqlalchemy']}{'' if self.ours['greenlet'] else ' without greenlet'}"
        lines = [title, *(f"{name:40}{before!s:>10}{after!s:>10}" for name, before, after in rows)]
        lines += [f"  raw: {place:60}{n:>8}" for place, n in list(self.ours["raw"].items())[:_SHOWN]]
        for name, found in self.wrong().items():
            lines += [f"{name}:", *_listed(found)]
        for test in self.newly_failing()[:_SHOWN]:
            lines += [test, self.ours["reasons"].get(test, "")]
        return "\n".join(lines)

    @staticmethod
    def _failing_only_in(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
        failed = [test for test, outcome in one["outcomes"].items() if outcome == "failed"]
        return [test for test in failed if other["outcomes"].get(test) != "failed"]


def _plain(test: str) -> str:
    """A test's id without the database's name and version, which SQLAlchemy puts behind the class."""
    path, *rest = test.split("::")
    return "::".join((path, *(part.partition("_sqlite+")[0] for part in rest[:1]), *rest[1:]))


def _minus(started: dict[str, int], ended: dict[str, int]) -> dict[str, int]:
    return {kind: count - ended.get(kind, 0) for kind, count in started.items() if count != ended.get(kind, 0)}


def _listed(found: Any) -> list[str]:
    if isinstance(found, dict):
        return [f"  {key}: {value}" for key, value in list(found.items())[:_SHOWN]]
    return [f"  {one}" for one in found[:_SHOWN]] if isinstance(found, list) else [f"  {found}"]
