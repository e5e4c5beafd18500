"""`python -m otel_session`."""

import sys

from otel_session.cli import main

sys.exit(main())
