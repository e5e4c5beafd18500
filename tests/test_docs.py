"""The documentation names everything a user can set, call, install or see; and names nothing that is not there."""

import argparse
import importlib
import pathlib
import re
from collections.abc import Iterator
from importlib.metadata import distribution, metadata

import pytest

from otel_session import attributes, cli, environment_variables

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)
EXTRAS = metadata("otel-session").get_all("Provides-Extra") or []
INSTRUMENTORS = sorted(
    found.name for found in distribution("otel-session").entry_points if found.group == "opentelemetry_instrumentor"
)
VARIABLES = sorted(name for name in dir(environment_variables) if name.startswith("OTEL_"))
OWN_NAMES = sorted(
    value
    for name, value in vars(attributes).items()
    if name.isupper()
    and isinstance(value, str)
    and (
        name.startswith(("METRIC_", "EVENT_", "SPAN_"))
        or value.startswith(("otel_session.", "session_store.", "sqlalchemy."))
    )
)


def commands() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command of `otel-session`."""
    made = {}
    for name in cli._COMMANDS:
        parser = argparse.ArgumentParser(prog=name)
        importlib.import_module(f"otel_session.cli.{name.replace('-', '_')}").add_arguments(parser)
        made[name] = parser
    return made


def options() -> Iterator[tuple[str, str]]:
    for name, parser in commands().items():
        for action in parser._actions:
            if not isinstance(action, argparse._HelpAction):
                yield from ((name, option) for option in action.option_strings if option.startswith("--"))


def mentions(word: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", TEXT) is not None


@pytest.mark.parametrize("variable", VARIABLES)
def test_variables(variable: str) -> None:
    """Every OTEL_SESSION_* variable is documented."""
    assert mentions(variable) or (
        variable.startswith("OTEL_SESSION_BUILD_") and mentions("_" + variable.removeprefix("OTEL_SESSION_BUILD_"))
    )


def test_no_variable_that_is_not_there() -> None:
    """No page names a variable of ours that does not exist."""
    named = set(re.findall(r"OTEL_SESSION_[A-Z_]*[A-Z]", TEXT))
    assert named - set(VARIABLES) - {"OTEL_SESSION_BUILD"} == set()


@pytest.mark.parametrize("command", list(cli._COMMANDS))
def test_commands(command: str) -> None:
    """Every command of `otel-session` is documented."""
    assert f"otel-session {command}" in TEXT


@pytest.mark.parametrize(("command", "option"), list(options()))
def test_options(command: str, option: str) -> None:
    """Every option of every command is documented."""
    assert mentions(option)


@pytest.mark.parametrize("extra", EXTRAS)
def test_extras(extra: str) -> None:
    """Every extra is documented, as it is typed."""
    assert mentions(extra)
    assert re.search(rf"\[[\w,-]*\b{re.escape(extra)}\b[\w,-]*\]|`{re.escape(extra)}`", TEXT)


def test_no_extra_that_is_not_there() -> None:
    """No page installs an extra that does not exist."""
    named = {extra for found in re.findall(r"otel-session\[([\w,-]+)\]", TEXT) for extra in found.split(",")}
    assert named
    assert named <= set(EXTRAS)


@pytest.mark.parametrize("name", OWN_NAMES)
def test_names_in_back_ends(name: str) -> None:
    """Every metric and event, and every name of our own that a back end shows, is documented."""
    assert mentions(name)


def test_entry_points() -> None:
    """The names that go into OpenTelemetry's own variables and files are documented."""
    for name in ("otel_session_local", "otel_session_build", "OTEL_PYTHON_DISTRO", "OTEL_CONFIG_FILE"):
        assert mentions(name)
    assert INSTRUMENTORS
    for name in INSTRUMENTORS:
        assert mentions(name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: pathlib.Path) -> None:
    """Every relative link of a page leads to a file that is there."""
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
