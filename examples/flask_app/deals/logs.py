"""Console logging: our own loggers at ``DEALS_LOG_LEVEL``, libraries at their defaults."""

import logging

from flask import Flask


def init_app(app: Flask) -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    logging.getLogger("deals").setLevel(app.config["LOG_LEVEL"])
