"""What must not leave, masked in metadata, `extra=` fields and the span attributes made of them (feature B8).

Whatever is given becomes plain data that JSON can hold: masked by key at any depth, secrets found in texts masked too,
long texts cut, depth and number of items bounded. Nothing here raises.
"""

from otel_session.masking._attributes import flat_attributes
from otel_session.masking._keys import is_sensitive_key
from otel_session.masking._rules import current as current_rules
from otel_session.masking._rules import max_chars
from otel_session.masking._texts import CUT_NOTE, UNREADABLE, clean_text, text_of
from otel_session.masking._values import mask, mask_mapping
from otel_session.scrub import MASK

__all__ = [
    "CUT_NOTE",
    "MASK",
    "UNREADABLE",
    "clean_text",
    "current_rules",
    "flat_attributes",
    "is_sensitive_key",
    "mask",
    "mask_mapping",
    "max_chars",
    "text_of",
]
