"""Clocks for what must not stand still or jump: ages, deadlines, how long a connection has been out.

Tests freeze time by replacing `time.monotonic` and its like wherever a module has them, as freezegun does: what waits
would be dropped as too old then, and a connection reported as leaked. These are the same clocks, under objects of our
own.
"""

from __future__ import annotations

import time
from functools import partial

monotonic = partial(time.monotonic)
"""Seconds, as `time.monotonic()`."""
perf_counter = partial(time.perf_counter)
"""Seconds, as `time.perf_counter()`."""
time_ns = partial(time.time_ns)
"""Nanoseconds since the epoch, as `time.time_ns()`: what is deleted for its age is deleted by this one."""
