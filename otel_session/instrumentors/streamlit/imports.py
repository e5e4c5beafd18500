"""Call a function when a module has been imported: who does not use Streamlit must not pay for its import."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from threading import get_ident
from types import ModuleType
from typing import Any

from otel_session._guard import report

Hook = Callable[[ModuleType], None]


class ImportWatch(MetaPathFinder):
    """Stands in front of `sys.meta_path` until it is removed, and finds nothing itself."""

    def __init__(self, hooks: dict[str, Hook]) -> None:
        self._hooks = hooks
        self._asking: set[tuple[str, int]] = set()

    def begin(self) -> None:
        """Watch; modules that are there already are handed over at once."""
        sys.meta_path.insert(0, self)
        for name in self._hooks:
            module = sys.modules.get(name)
            # One whose import goes on in this moment is handed over when that is done.
            if module is not None and not getattr(module.__spec__, "_initializing", False):
                self._hand_over(module)

    def remove(self) -> None:
        """Watch no more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec that the other finders give, its loader told to call us once."""
        asked = (fullname, get_ident())
        if fullname not in self._hooks or asked in self._asking:
            return None
        self._asking.add(asked)
        try:
            spec = find_spec(fullname)
        finally:
            self._asking.discard(asked)
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader, fullname)
        return spec

    def _follow(self, loader: Loader, name: str) -> None:
        run = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            if module.__name__ == name:
                vars(loader).pop("exec_module", None)
            run(module)
            if module.__name__ == name:
                self._hand_over(module)

        try:
            any_loader: Any = loader
            any_loader.exec_module = exec_module
        except AttributeError:  # a loader that takes no attributes: its module is not seen
            report(f"following the import of {name}")

    def _hand_over(self, module: ModuleType) -> None:
        if self not in sys.meta_path:  # removed meanwhile
            return
        try:
            self._hooks[module.__name__](module)
        except Exception:
            report(f"hooking {module.__name__}")
