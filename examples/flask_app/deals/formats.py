"""How values look in the templates."""

from flask import Flask


def init_app(app: Flask) -> None:
    app.add_template_filter(format_eur, "eur")


def format_eur(amount: int) -> str:
    return f"{amount:,} €"
