"""What zero-code start-up calls, and the same in code.

`opentelemetry-instrument` takes our distribution and configurator when no other is installed or when they are named
(`OTEL_PYTHON_DISTRO=otel_session`); beside another one, `pre_instrument` adds the ids to the pipeline that one made.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]  # its package has no types
from opentelemetry.sdk._configuration import _initialize_components, _OTelSDKConfigurator
from opentelemetry.util._importlib_metadata import entry_points

from otel_session import _heap, activation, config, destinations, instruments, termination
from otel_session import attributes as names
from otel_session._guard import report
from otel_session._version import __version__
from otel_session.config import Config
from otel_session.exceptions import MissingExtraError

_log = logging.getLogger("otel_session")
_NAME = "otel_session"
_DISTRO = "OTEL_PYTHON_DISTRO"
_CONFIGURATOR = "OTEL_PYTHON_CONFIGURATOR"


def _others(group: str) -> list[Any]:
    return [found for found in entry_points(group=group) if found.name != _NAME]


def _named(variable: str) -> bool:
    return config.environment().get(variable) == _NAME


class Distribution(BaseDistro):  # type: ignore[misc]
    """Our distribution. Hands over to another one that is installed, unless ours was named."""

    _other: Any = None

    def _configure(self, **kwargs: Any) -> None:
        if _named(_DISTRO):
            config.set_default(_CONFIGURATOR, _NAME)  # else the loader might take another one first
            return
        for found in _others("opentelemetry_distro"):
            other = found.load()()
            if isinstance(other, BaseDistro):
                self._other = other
                other.configure(**kwargs)
                return

    def load_instrumentor(self, entry_point: Any, **kwargs: Any) -> None:
        """Switch an instrumentor on, the way of the distribution in charge."""
        if self._other is not None:
            self._other.load_instrumentor(entry_point, **kwargs)
        else:
            with _heap.undisturbed():
                super().load_instrumentor(entry_point, **kwargs)


class Configurator(_OTelSDKConfigurator):
    """Makes the SDK's providers: what `OTEL_*_EXPORTER` says, else OTLP when an endpoint is set, else the local store.

    Hands over to another configurator that is installed, unless ours was named.
    """

    made_resource = False

    def _configure(self, **kwargs: Any) -> None:
        others = _others("opentelemetry_configurator")
        if others and not _named(_DISTRO) and not _named(_CONFIGURATOR):
            others[0].load()().configure(**kwargs)
        else:
            _heap.look()
            with _heap.undisturbed():
                self.make_pipeline(**kwargs)

    def make_pipeline(self, **kwargs: Any) -> None:
        """Make the providers ourselves, whoever else is installed."""
        settings = config.active_or_report()
        if config.sdk_disabled() or settings is None:
            return
        if config.environment().get("OTEL_CONFIG_FILE"):
            _read_config_file(super()._configure)
            return
        # With the pipeline come the encoders; a program that only asks who is here needs none.
        from otel_session.pipeline import Pipeline

        pipeline = Pipeline()
        processors = _processors(pipeline)
        made = {**destinations.exporters(settings), **processors, "resource_attributes": _our_name(), **kwargs}
        with config.overridden({**destinations.silenced(), **_detectors()}), pipeline.transport(made):
            super()._configure(**made)  # type: ignore[no-untyped-call]
        instruments.use_tallies(pipeline.take_metrics(metrics.get_meter_provider()))
        self.made_resource = True
        if settings.gc_freeze:
            _heap.begin()
        termination.flush_on_sigterm()


def _processors(pipeline: Any) -> dict[str, Any]:
    """Our pipeline's processors, as far as this SDK's configurator lets them be given."""
    known = inspect.signature(_initialize_components).parameters
    wanted = {
        "export_span_processor": pipeline.span_processor,
        "export_log_record_processor": pipeline.log_processor,
    }
    return {name: made for name, made in wanted.items() if name in known}


def _read_config_file(configure: Callable[[], None]) -> None:
    if find_spec("opentelemetry.configuration") is None:
        _log.error(
            "otel-session is off. OTEL_CONFIG_FILE is set, and the package that reads such a file is not installed. "
            "Install it with: pip install opentelemetry-configuration"
        )
        return
    _log.info(
        "OTEL_CONFIG_FILE is set: exporters, samplers and the resource come from that file alone. Name the "
        "detector otel_session_build and the exporter otel_session_local there to have them."
    )
    configure()
    termination.flush_on_sigterm()


_DETECTORS = "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"
_BUILD_DETECTOR = "otel_session_build"


def _detectors() -> dict[str, str]:
    """The build stamp's detector before those named: of two that say the same, the later one wins."""
    named = [name.strip() for name in config.environment().get(_DETECTORS, "").split(",") if name.strip()]
    if _BUILD_DETECTOR in named or "*" in named:
        return {}
    return {_DETECTORS: ",".join([_BUILD_DETECTOR, *named])}


def _our_name() -> dict[str, str]:
    return {names.TELEMETRY_DISTRO_NAME: "otel-session", names.TELEMETRY_DISTRO_VERSION: __version__}


def pre_instrument() -> None:
    """The `opentelemetry_pre_instrument` hook: ids onto everything, whoever made the pipeline. Never raises."""
    try:
        if config.disabled_instrumentations() & {"*", _NAME} or config.sdk_disabled():
            return
        if config.active_or_report() is None:
            return
        activation.activate()
        if not Configurator().made_resource:  # type: ignore[no-untyped-call]
            activation.mention_build_stamp()
    except Exception:
        _log.warning("otel-session could not add its ids to the telemetry", exc_info=True)


def post_instrument() -> None:
    """The `opentelemetry_post_instrument` hook: the application is next. Never raises."""
    try:
        _heap.set_aside()
    except Exception:
        _log.warning("otel-session could not put what start-up loaded aside", exc_info=True)


def instrument(
    *,
    app: Any = None,
    engine: Any = None,
    tracer_provider: Any = None,
    meter_provider: Any = None,
    logger_provider: Any = None,
    **settings: Any,
) -> None:
    """Switch everything on, in code. A second call adds the app or engine it names; otherwise it changes nothing.

    Args:
        app: A Flask application; with an app or an engine given, only those are instrumented.
        engine: A SQLAlchemy engine, sync or async.
        tracer_provider: Use this provider instead of the global one; the same for the two below. Without a provider
            of the SDK anywhere, one is made as at zero-code start-up.
        meter_provider: See above.
        logger_provider: See above.
        **settings: Fields of `Config`, which win over the environment.

    Raises:
        ConfigError: A setting or variable cannot be used.
        MissingExtraError: The app or engine given needs a library that is not installed.
    """
    if config.sdk_disabled():
        return
    providers = {
        "tracer_provider": tracer_provider,
        "meter_provider": meter_provider,
        "logger_provider": logger_provider,
    }
    with _switching:
        if providers == _everything_on and not settings and app is None and engine is None:
            activation.activate(**providers)
        else:
            _instrument(app, engine, providers, settings)


_everything_on: dict[str, Any] | None = None
"""With which providers all instrumentors are on: a script of Streamlit's says it again on each of its runs."""
_switching = threading.RLock()
"""Streamlit runs a script, and a call in it, for several users at once."""


def _instrument(app: Any, engine: Any, providers: dict[str, Any], settings: dict[str, Any]) -> None:
    global _everything_on
    config.HttpConfig.load()
    _settle(settings)
    if providers["tracer_provider"] is None and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        Configurator().make_pipeline()  # type: ignore[no-untyped-call]
    activation.activate(**providers)
    everything = app is None and engine is None
    _switch_on("logging", "LoggingInstrumentor", providers)
    _switch_on("threading", "ThreadingInstrumentor", providers)
    if everything:
        _switch_on("streamlit", "StreamlitInstrumentor", providers)
    if app is not None or (everything and _may_be_used("flask")):
        _switch_on("flask", "FlaskInstrumentor", {**providers, "app": app}, needed=app is not None)
    if engine is not None or (everything and _may_be_used("sqlalchemy")):
        _switch_on("sqlalchemy", "SQLAlchemyInstrumentor", {**providers, "engine": engine}, needed=engine is not None)
    if everything and _may_be_used("flask") and _may_be_used("sqlalchemy"):
        _everything_on = providers


def _may_be_used(library: str) -> bool:
    """Whether to load a library so as to watch it.

    A script that Streamlit runs calls `instrument()` on each run: what it has loaded by then is watched from then on,
    and of what it never loads there is nothing that each of Streamlit's collections of garbage would go through.
    """
    return library in sys.modules or "streamlit.runtime.scriptrunner" not in sys.modules


def _settle(arguments: dict[str, Any]) -> None:
    wanted = Config.load(**arguments) if arguments or not config.is_active() else config.active()
    if not activation.is_on():
        config.activate(wanted)
    elif wanted != config.active():
        _log.warning(
            "otel_session.instrument() was called with other settings than those it is on with already; they are "
            "ignored. Call otel_session.uninstrument() first, or set the variables before the program starts."
        )


def uninstrument() -> None:
    """Switch everything off and put back what was changed.

    A provider that was made for the process stays (OpenTelemetry has no way to unset one), without our processors.
    """
    global _everything_on
    with _switching:
        _everything_on = None
        for room, name in _ROOMS:
            module = _loaded(room)
            if module is not None:
                getattr(module, name)().uninstrument()
        activation.deactivate()
        config.activate(None)
        _heap.take_back()


_ROOMS = (
    ("streamlit", "StreamlitInstrumentor"),
    ("flask", "FlaskInstrumentor"),
    ("sqlalchemy", "SQLAlchemyInstrumentor"),
    ("threading", "ThreadingInstrumentor"),
    ("logging", "LoggingInstrumentor"),
)


def _switch_on(room: str, name: str, arguments: dict[str, Any], *, needed: bool = False) -> None:
    try:
        module = importlib.import_module(f"otel_session.instrumentors.{room}")
    except ModuleNotFoundError as error:
        if not needed:
            return
        raise MissingExtraError(
            f"The {room} instrumentor needs {error.name}. Install it with: pip install 'otel-session[{room}]'"
        ) from error
    try:
        getattr(module, name)().instrument(skip_dep_check=True, **arguments)
    except Exception:
        if needed:  # what was given cannot be used: the caller is told
            raise
        report(f"instrument: {room}")


def _loaded(room: str) -> Any:
    return sys.modules.get(f"otel_session.instrumentors.{room}")
