"""The version of this package, from its installed metadata."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("otel-session")
except PackageNotFoundError:  # run from a copied folder
    __version__ = "0+unknown"
