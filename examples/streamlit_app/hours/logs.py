"""Console logging: our own loggers at INFO, libraries at their defaults."""

import logging


def set_up() -> None:
    """Set it up once; the script runs again and again in one process."""
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    logging.getLogger("hours").setLevel(logging.INFO)
