"""The same app with a second, independent count: SQLite's own trace callback, by open page. For `demo.py` only."""

from pathlib import Path

import demo_statements

demo_statements.count_once()
app = Path(__file__).with_name("app.py")
exec(compile(app.read_text(encoding="utf-8"), app, "exec"))
