"""What a user typed, checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_VALUE_EUR = 100_000_000
MAX_NOTE_CHARS = 2000


@dataclass(frozen=True)
class DealForm:
    """A new deal as typed; ``errors`` has one sentence per field that is wrong."""

    title: str = ""
    client: str = ""
    value: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def value_eur(self) -> int:
        return int(self.value)


def read_field(form: Mapping[str, str], name: str) -> str:
    """The field without spaces around it; empty when missing."""
    # PostgreSQL refuses NUL in text.
    return form.get(name, "").replace("\x00", "").strip()


def read_deal(form: Mapping[str, str]) -> DealForm:
    title, client, value = (read_field(form, name) for name in ("title", "client", "value"))
    errors = {}
    if not 3 <= len(title) <= 120:
        errors["title"] = "A title has 3 to 120 characters."
    if not 2 <= len(client) <= 120:
        errors["client"] = "A client has 2 to 120 characters."
    if not _is_amount(value):
        errors["value"] = f"A value is a whole number of euros from 1 to {MAX_VALUE_EUR:,}."
    return DealForm(title, client, value, errors)


def _is_amount(text: str) -> bool:
    try:
        return 1 <= int(text) <= MAX_VALUE_EUR
    except ValueError:
        return False
