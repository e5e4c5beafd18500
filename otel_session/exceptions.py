"""The few errors a caller may catch."""


class OtelSessionError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(OtelSessionError, ValueError):
    """A setting has a value that cannot be used; the message names the setting, the value and what was expected."""


class MissingExtraError(OtelSessionError, ImportError):
    """A feature needs a library that is not installed; the message says which extra brings it."""


class StoreError(OtelSessionError):
    """The local telemetry file cannot be read or written; the message says what to do."""


class BuildStampError(OtelSessionError):
    """A build stamp cannot be made here; the message says why."""
