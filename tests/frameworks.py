"""A visit to a FastAPI and a Django application under their official instrumentations, told as JSON.

Run in an environment that has them. Nothing of ours is switched on but the ids: processors and propagators, as the
`opentelemetry_pre_instrument` hook does it.
"""

import json
import sys
from typing import Any

from otel_session import activation, config, testing
from otel_session.config import Config


def fastapi_client(telemetry: testing.Captured) -> Any:
    """A client of a FastAPI application with pages, static files and a cacheable page."""
    import fastapi
    from fastapi.testclient import TestClient
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    import otel_session

    app = fastapi.FastAPI()

    @app.get("/deals/{deal_id}")
    async def deal(deal_id: int) -> str:
        return str(otel_session.current_session())

    @app.get("/public")
    async def public(response: fastapi.Response) -> str:
        response.headers["Cache-Control"] = "public, max-age=60"
        return "public"

    FastAPIInstrumentor.instrument_app(app, tracer_provider=telemetry.providers["tracer_provider"])
    return TestClient(app)


def django_client(telemetry: testing.Captured) -> Any:
    """A client of a Django application with the same pages."""
    import django
    from django.conf import settings
    from django.http import HttpRequest, HttpResponse
    from django.urls import path
    from opentelemetry.instrumentation.django import DjangoInstrumentor

    import otel_session

    def deal(request: HttpRequest, deal_id: int) -> HttpResponse:
        return HttpResponse(f'"{otel_session.current_session()}"')

    def public(request: HttpRequest) -> HttpResponse:
        return HttpResponse("public", headers={"Cache-Control": "public, max-age=60"})

    urls = type(sys)("urls")
    urls.urlpatterns = [path("deals/<int:deal_id>", deal), path("public", public)]  # type: ignore[attr-defined]
    sys.modules["urls"] = urls
    settings.configure(ROOT_URLCONF="urls", ALLOWED_HOSTS=["*"], SECRET_KEY="a key for tests only")
    django.setup()
    DjangoInstrumentor().instrument(tracer_provider=telemetry.providers["tracer_provider"])
    from django.test import Client

    class Browser(Client):
        """Django's test client takes cookies from where Django keeps its own; a browser reads the header."""

        def get(self, *args: Any, **kwargs: Any) -> Any:
            answer = super().get(*args, **kwargs)
            self.cookies.load(answer.headers.get("Set-Cookie", ""))
            return answer

    return Browser()


def main() -> None:
    """Print what was recorded for the framework that the argument names."""
    config.activate(Config.load())
    with testing.captured() as telemetry:
        activation.activate(**telemetry.providers)
        client = {"fastapi": fastapi_client, "django": django_client}[sys.argv[1]](telemetry)
        answers = [client.get(p) for p in ("/public", "/deals/7", "/none", "/deals/8")]
        spans = [s for s in telemetry.spans() if s.kind.name == "SERVER"]
        activation.deactivate()
    told = {
        "statuses": [a.status_code for a in answers],
        "cookies": ["otel_session=" in a.headers.get("set-cookie", "") for a in answers],
        "inside": [json.loads(a.content) for a in (answers[1], answers[3])],
        "session ids": [s.attributes["session.id"] for s in spans],
        "confirmed": [s.attributes.get("otel_session.session.confirmed") for s in spans],
        "correlation ids": [s.attributes["correlation.id"] for s in spans],
        "returned": [a.headers.get("X-Correlation-ID") for a in answers],
        "events": [r.log_record.event_name for r in telemetry.logs()],
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
