"""From what can go wrong to what a shell sees: one line on standard error, and an exit code.

0    done
1    refused or failed
2    usage: an unknown option, or a bad value, which is named
130  interrupted (Ctrl-C)
141  nobody reads the output any more
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import typer
from typer.main import get_command

from hatchpay.cli.output import printable
from hatchpay.errors import HatchPayError, InvalidInput

__all__ = ["FAILED", "INTERRUPTED", "USAGE", "run"]

FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130


def run(app: typer.Typer, arguments: Sequence[str]) -> int:
    """Run a command; returns its exit code."""
    if sys.stdout is None:
        # Found out now, and not when a key has been made that nobody will see.
        return _failed("standard output is closed", "os_error", FAILED)
    try:
        done = get_command(app).main(arguments, prog_name="hatchpay", standalone_mode=False)
    except typer.TyperException as error:
        return _usage(error)
    except InvalidInput as error:
        named = error.field is None or error.field in error.detail
        detail = error.detail if named else f"{error.field}: {error.detail}"
        place = "" if error.line is None else f", line {error.line}, column {error.column}"
        return _failed(detail + place, error.code, USAGE)
    except HatchPayError as error:
        return _failed(error.detail, error.code, FAILED)
    except OSError as error:
        return _failed(f"{error.filename or 'the operation'}: {error.strerror or error}", "os_error", FAILED)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    return done if isinstance(done, int) else 0


def _usage(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if context is not None and message == context.get_help():
        # A noun without its verb: what is asked for is the list of verbs.
        print(message, file=sys.stderr)
        return USAGE
    print(f"hatchpay: {printable(message)}", file=sys.stderr)
    if context is not None:
        print(f"Try '{context.command_path} --help'.", file=sys.stderr)
    return USAGE


def _failed(detail: str, code: str, exit_code: int) -> int:
    print(f"hatchpay: {printable(detail)} ({code})", file=sys.stderr)
    return exit_code
