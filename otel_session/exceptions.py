"""The few errors a caller may catch."""

from __future__ import annotations


class OtelSessionError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(OtelSessionError, ValueError):
    """A setting has a value that cannot be used; the message names the setting, the value and what was expected."""


class MissingExtraError(OtelSessionError, ImportError):
    """A feature needs a library that is not installed; the message says which extra brings it."""


class ReattachError(OtelSessionError):
    """An object cannot be attached to an ORM session safely; the message says why, `reason` in a word.

    Attributes:
        reason: `transient`, `deleted`, `attached`, `modified` or `conflict`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[ReattachError], tuple[str, str]]:
        return type(self), (self.reason, str(self))


class StoreError(OtelSessionError):
    """The local telemetry file cannot be read or written; the message says what to do."""


class BuildStampError(OtelSessionError):
    """A build stamp cannot be made here; the message says why."""
