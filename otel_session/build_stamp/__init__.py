"""Which build is running: the stamp file, its display line, and the resource detector.

`write_stamp` makes `build_stamp.json` while git is at hand, `read_stamp` and `build_line` show it in the running
application, and `BuildStampDetector` puts the build on all telemetry.
"""

from otel_session.build_stamp._detector import BuildStampDetector, running_commit
from otel_session.build_stamp._file import build_info, build_line, find_stamp, read_stamp
from otel_session.build_stamp._stamp import STAMP_NAME, BuildStamp
from otel_session.build_stamp._write import write_stamp

__all__ = [
    "STAMP_NAME",
    "BuildStamp",
    "BuildStampDetector",
    "build_info",
    "build_line",
    "find_stamp",
    "read_stamp",
    "running_commit",
    "write_stamp",
]
