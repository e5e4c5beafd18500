# The two commands: `make demo` runs the main job, `make test` passes the tests. Both set everything up themselves.

PYTHON ?= python3
VENV ?= .venv
DEMO_VENV ?= .venv-demo
BIN = $(VENV)/bin

.PHONY: demo test lint types backends bench clean

demo: $(DEMO_VENV)/.ready
	$(DEMO_VENV)/bin/python examples/flask_app/demo.py
	$(DEMO_VENV)/bin/python examples/streamlit_app/demo.py

test: $(VENV)/.ready
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy
	$(BIN)/mypy --strict tests/typing/api.py
	cd examples/flask_app && ../../$(BIN)/mypy --strict app.py deals
	cd examples/streamlit_app && ../../$(BIN)/mypy --strict app.py hours views

# What each part costs, side by side.
bench: $(VENV)/.ready
	$(BIN)/python tests/bench/run.py
	$(BIN)/python tests/bench/lines.py
	$(BIN)/python tests/bench/start.py

# Real OpenTelemetry Collector and Jaeger, built from their Go modules into a cache folder outside the checkout.
backends:
	$(PYTHON) deploy/backends/build.py

clean:
	rm -rf $(VENV) $(DEMO_VENV) dist build .mypy_cache .ruff_cache .pytest_cache

# What the demo installs is what a user needs: no OTLP exporter, no test tools.
$(DEMO_VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(DEMO_VENV)
	$(DEMO_VENV)/bin/python -m pip install --quiet --editable '.[flask,sqlalchemy,streamlit]'
	touch $@

$(VENV)/.ready: pyproject.toml requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[all]' --requirement requirements-dev.txt
	touch $@
