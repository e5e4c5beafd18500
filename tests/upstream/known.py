"""Statements of SQLAlchemy's tests that ours tells of otherwise than a witness at the cursor, each with its reason.

By test: how many more (or fewer) were told of, the text, and the number of parameter sets.
"""

DIFFERENCES: dict[str, tuple[tuple[int, str, int], ...]] = {}
