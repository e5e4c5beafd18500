"""Entry point: ``flask --app app run``, or ``app:app`` for any WSGI server."""

from deals import create_app

app = create_app()
