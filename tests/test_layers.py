"""The house stands: who imports whom, read from the import lines themselves, lazy ones included."""

import ast
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from otel_session import attributes

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "otel_session"

# Part -> floor. A part is a module or a package right under `otel_session`. One floor up means: may import all below.
FLOORS = {
    "attributes": 0,
    "exceptions": 0,
    "environment_variables": 0,
    "_version": 0,
    "_checks": 1,
    "_limits": 1,
    "config": 1,
    "ids": 1,
    "visits": 1,
    "cookies": 1,
    "kept_visits": 1,
    "recent_ids": 1,
    "context": 1,
    "events": 1,
    "tallies": 1,
    "observed": 1,
    "connections": 1,
    "scrub": 1,
    "masking": 1,
    "messages": 1,
    "sql_errors": 1,
    "failures": 1,
    "_by_identity": 1,
    "_clock": 1,
    "_guard": 1,
    "_heap": 1,
    "_patterns": 0,
    "build_stamp": 2,
    "propagation": 2,
    "propagators": 2,
    "processors": 2,
    "instruments": 2,
    "logs": 2,
    "wire": 2,
    "store": 2,
    "testing": 2,
    "instrumentors": 3,
    "exporters": 3,
    "operations": 3,
    "detached": 4,
    "pipeline": 4,
    "termination": 4,
    "activation": 4,
    "destinations": 4,
    "distro": 4,
    "streamlit": 5,
    "cli": 5,
    "__main__": 5,
    "": 5,  # otel_session/__init__.py
}
ONE_PART = [{"propagation", "propagators"}]
MAY_ASK = {("logs", "build_stamp")}  # a log line names the commit
FRAMEWORKS = {"flask", "werkzeug", "sqlalchemy", "streamlit", "redis", "flask_session", "flask_login", "django"}
SDK_FREE_FLOORS = {0, 1}
STDLIB_ONLY_FLOOR = 0


@dataclass(frozen=True)
class Import:
    """One imported module, where it stands, and whether it is carried out at run time only (`TYPE_CHECKING` not)."""

    importer: str
    imported: str
    line: int
    for_types: bool


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        yield name, ast.parse(path.read_text(), str(path))


def imports_of(name: str, tree: ast.Module, *, is_package: bool) -> Iterator[Import]:
    for_types = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for statement in node.body
        for child in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, alias.name, node.lineno, id(node) in for_types)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                anchor = name.split(".")[: len(name.split(".")) - node.level + (1 if is_package else 0)]
                base = ".".join([*anchor, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(name, f"{base}.{alias.name}", node.lineno, id(node) in for_types)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            yield Import(name, _literal_start(node.args[0]), node.lineno, False)


def _literal_start(argument: ast.expr) -> str:
    """The beginning of a dynamic import's name that is known from the source."""
    if isinstance(argument, ast.Constant):
        return str(argument.value)
    if isinstance(argument, ast.JoinedStr) and argument.values and isinstance(argument.values[0], ast.Constant):
        return str(argument.values[0].value).rstrip(".")
    return ""


def all_imports() -> list[Import]:
    packages = {".".join(p.parent.relative_to(ROOT).parts) for p in PACKAGE.rglob("__init__.py")}
    return [found for name, tree in modules() for found in imports_of(name, tree, is_package=name in packages)]


def part_of(module: str) -> str:
    words = module.split(".")
    return words[1] if len(words) > 1 and words[1] in FLOORS else ""


IMPORTS = all_imports()


def test_every_part_has_a_floor() -> None:
    """Each module and package of the library is in the table, and the table names nothing that is gone."""
    names = {
        p.stem if p.suffix else p.name for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()
    }
    assert (names - {"__init__"}) | {""} == set(FLOORS)


def test_lazy_and_dynamic_imports_are_seen() -> None:
    """The reader of imports finds those inside functions and those by importlib, so the rules below cover them."""
    seen = {(i.importer, i.imported) for i in IMPORTS}
    assert ("otel_session.cli.run", "opentelemetry.instrumentation.auto_instrumentation.run") in seen
    assert ("otel_session.distro", "otel_session.instrumentors") in seen
    assert ("otel_session.cli", "otel_session.cli") in seen


def test_arrows_point_down() -> None:
    """No part imports from a floor above its own."""
    wrong = [
        i
        for i in IMPORTS
        if i.imported.startswith("otel_session.")
        and part_of(i.imported) != part_of(i.importer)
        and FLOORS[part_of(i.imported)] > FLOORS[part_of(i.importer)]
    ]
    assert wrong == []


def test_parts_of_floor_two_do_not_know_each_other() -> None:
    """Build stamp, propagation, processors, wire, store and testing are separate."""
    wrong = []
    for i in IMPORTS:
        importer, imported = part_of(i.importer), part_of(i.imported)
        both_there = i.imported.startswith("otel_session.") and FLOORS[importer] == FLOORS[imported] == 2
        apart = importer != imported and not any({importer, imported} <= one for one in ONE_PART)
        if both_there and apart and (importer, imported) not in MAY_ASK:
            wrong.append(i)
    assert wrong == []


def test_instrumentors_and_exporters_do_not_know_each_other() -> None:
    """Doors to the world: none goes through another."""
    doors = {"instrumentors", "exporters"}
    wrong = [
        i
        for i in IMPORTS
        if i.imported.startswith("otel_session.") and {part_of(i.importer), part_of(i.imported)} == doors
    ]
    rooms = [
        i
        for i in IMPORTS
        if i.importer.startswith("otel_session.instrumentors.")
        and i.imported.startswith("otel_session.instrumentors.")
        and i.imported.split(".")[2] not in ("_base", i.importer.split(".")[2])
    ]
    assert wrong == []
    assert rooms == []


def test_no_import_cycle_between_parts() -> None:
    """Also on one floor, whoever imports is not imported back."""
    edges = {
        (part_of(i.importer), part_of(i.imported))
        for i in IMPORTS
        if i.imported.startswith("otel_session.") and not i.for_types
    }
    reached = {a: {y for x, y in edges if x == a and y != a} for a, _ in edges}
    for _ in FLOORS:
        for found in reached.values():
            found.update(*(reached.get(b, set()) for b in list(found)))
            found.discard("")
    cycles = sorted(a for a, found in reached.items() if a and a in found and FLOORS[a] < 5)
    assert cycles == []


def test_frameworks_only_in_instrumentors() -> None:
    """Flask, SQLAlchemy and the like are imported in `instrumentors/` only, each in its own room."""
    found = [i for i in IMPORTS if i.imported.split(".")[0] in FRAMEWORKS]
    assert {part_of(i.importer) for i in found} == {"instrumentors"}
    flask_room = {i.imported.split(".")[0] for i in found if i.importer.startswith("otel_session.instrumentors.flask")}
    assert flask_room <= {"flask", "werkzeug"}


def test_lower_floors_stay_small() -> None:
    """Floor 0 takes the standard library only; floor 1 adds the OpenTelemetry API, and not the SDK."""
    for i in IMPORTS:
        top = i.imported.split(".")[0]
        floor = FLOORS[part_of(i.importer)]
        if floor == STDLIB_ONLY_FLOOR:
            assert top in sys.stdlib_module_names or top in ("otel_session", "__future__"), i
        if floor in SDK_FREE_FLOORS:
            assert not i.imported.startswith(("opentelemetry.sdk", "opentelemetry.instrumentation")), i


def test_no_unstable_conventions() -> None:
    """Nobody imports `opentelemetry.semconv`, `_semconv` or `_incubating`: their names move between releases."""
    wrong = [i for i in IMPORTS if "semconv" in i.imported or "_incubating" in i.imported]
    assert wrong == []


def test_store_knows_no_web_and_no_opentelemetry_sdk() -> None:
    """The store takes rows of bytes: neither spans nor the web are known there."""
    found = {i.imported for i in IMPORTS if part_of(i.importer) == "store"}
    assert not [
        name for name in found if name.startswith(("opentelemetry.sdk", "opentelemetry.instrumentation", "http"))
    ]


def test_only_config_reads_the_environment() -> None:
    """`os.environ` and `os.getenv` stand in config.py and nowhere else."""
    touching = set()
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv", "os.environb"):
                touching.add(name)
            if isinstance(node, ast.ImportFrom) and node.module == "os":
                assert not {a.name for a in node.names} & {"environ", "getenv"}, name
    assert touching == {"otel_session.config"}


def fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_no_framework() -> None:
    """`import otel_session` in a fresh interpreter loads no framework, no transport and no instrumentor."""
    loaded = set(fresh("import otel_session, sys; print('\\n'.join(sys.modules))").split())
    tops = {name.split(".")[0] for name in loaded}
    assert not tops & (FRAMEWORKS | {"grpc", "requests", "google", "urllib3"})
    assert not {name for name in loaded if name.startswith("otel_session.instrumentors")}


def test_nothing_is_patched_at_import() -> None:
    """Importing every module of ours changes nothing of the standard library, Flask or SQLAlchemy, and no global."""
    printed = fresh(
        "import logging, threading, signal, os, pkgutil, importlib, flask, sqlalchemy\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from sqlalchemy.engine import Engine, Connection\n"
        "from sqlalchemy.engine.interfaces import Dialect\n"
        "from sqlalchemy.engine.default import DefaultDialect\n"
        "from opentelemetry import propagate, trace\n"
        "def state():\n"
        "    classes = [logging.Logger, logging.LogRecord, threading.Thread, ThreadPoolExecutor, flask.Flask, Engine,\n"
        "               Connection, Dialect, DefaultDialect]\n"
        "    return [dict(vars(c)) for c in classes] + [dict(os.environ), signal.getsignal(signal.SIGTERM),\n"
        "            logging.getLogger().handlers[:], propagate.get_global_textmap(), trace.get_tracer_provider(),\n"
        "            threading.active_count()]\n"
        "before = state()\n"
        "import otel_session\n"
        "for found in pkgutil.walk_packages(otel_session.__path__, 'otel_session.'):\n"
        "    if found.name != 'otel_session.__main__':\n"
        "        importlib.import_module(found.name)\n"
        "print(before == state())\n"
    )
    assert printed == "True\n"


KNOWN_NAMES = {
    value for name, value in vars(attributes).items() if name.isupper() and isinstance(value, str) and "." in value
}
# What these names begin with is ours or the conventions': a literal like it is a name that was not put into the table.
PREFIXES = (
    "session.",
    "otel_session.",
    "session_store.",
    "sqlalchemy.",
    "db.",
    "http.server.",
    "http.request.",
    "vcs.",
)


def literals(tree: ast.Module) -> Iterator[tuple[str, int]]:
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    after_assignment = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings | after_assignment
        ):
            yield node.value, node.lineno


@pytest.mark.parametrize(
    ("name", "tree"),
    [m for m in modules() if m[0] != "otel_session.attributes"],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_names_come_from_attributes(name: str, tree: ast.Module) -> None:
    """No span, metric, event or attribute name is written out anywhere but in attributes.py."""
    wrong = [(text, line) for text, line in literals(tree) if text in KNOWN_NAMES]
    assert wrong == []


def test_the_check_of_names_can_fail() -> None:
    """A name written out is found, and one in a docstring is not taken for one."""
    tree = ast.parse('"""session.id"""\nspan.set_attribute("session.id", 1)\n')
    assert [text for text, _ in literals(tree) if text in KNOWN_NAMES] == ["session.id"]


def test_no_unknown_name_of_ours() -> None:
    """Whatever looks like a name of ours or of the conventions is in attributes.py."""
    allowed = KNOWN_NAMES | {v.rstrip(".") for v in KNOWN_NAMES}
    scopes = {
        "otel_session.flask",
        "otel_session.operations",
        "otel_session.perf",
        "otel_session.sqlalchemy",
        "otel_session.streamlit",
    }
    modules_of_others = {"sqlalchemy.exc", "sqlalchemy.orm.exc"}
    keys = {
        "otel_session.identity",
        "otel_session.operation",
        "otel_session.quiet",
        "otel_session.request",
        "otel_session.transport",
    }
    wrong = set()
    for name, tree in modules():
        if name == "otel_session.attributes":
            continue
        for text, line in literals(tree):
            shaped = (
                text.startswith(PREFIXES)
                and text.replace(".", "").replace("_", "").isalnum()
                and text.islower()
                and not text.endswith(".")
            )
            module = (
                text.startswith("otel_session.")
                and (PACKAGE / pathlib.Path(*text.split(".")[1:])).with_suffix(".py").exists()
            )
            if shaped and text not in allowed | scopes | keys | modules_of_others and not module:
                wrong.add((name, line, text))
    assert wrong == set()
