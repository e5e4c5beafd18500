"""`otel-session build-stamp`: make the stamp file."""

from __future__ import annotations

import argparse
import json
import sys

from otel_session.build_stamp import STAMP_NAME, BuildStamp, write_stamp
from otel_session.exceptions import BuildStampError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--folder", metavar="DIR", default=".", help="a folder in the repository (default: this one)")
    parser.add_argument("--output", metavar="PATH", help=f"the file to write (default: {STAMP_NAME} in the folder)")
    parser.add_argument("--json", action="store_true", help="print the stamp as JSON")


def run(args: argparse.Namespace) -> int:
    """Make the stamp and say what it holds.

    Returns:
        0; 1 when there is no commit to stamp or the file cannot be written, which is said on standard error.
    """
    try:
        stamp = write_stamp(args.folder, output=args.output)
    except BuildStampError as error:
        print(f"otel-session build-stamp: {error}", file=sys.stderr)
        return 1
    print(json.dumps(stamp.as_dict(), indent=2) if args.json else _report(stamp))
    return 0


def _report(stamp: BuildStamp) -> str:
    kind = "Tag:   " if stamp.ref_type == "tag" else "Branch:"
    dirty = " (with uncommitted changes)" if stamp.dirty else ""
    return "\n".join(
        (
            "Build stamp generated:",
            f"  Commit: {stamp.commit}{dirty}",
            f"  {kind} {stamp.branch or '(detached head)'}",
            f"  Date:   {stamp.build_date}",
        )
    )
