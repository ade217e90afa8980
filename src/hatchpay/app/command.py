"""The command line with what it works on. Each command imports only what it needs: a help text is there at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NoReturn

from hatchpay.cli.errors import run
from hatchpay.cli.ports import CaseOutcome, Finding, Local, PolicyText, Ports
from hatchpay.cli.program import build

if TYPE_CHECKING:
    from pathlib import Path

    import typer

    from hatchpay.access.route_check import RouteFindings
    from hatchpay.settings import Settings

__all__ = ["main", "program"]


def main() -> NoReturn:
    sys.exit(run(program(), sys.argv[1:]))


def program() -> typer.Typer:
    return build(
        Ports(
            _open_local,
            _serve,
            _diagnose,
            _derive_routes,
            _check_routes,
            _test_policies,
            serve_witness=_serve_witness,
            witness_vkey=_witness_vkey,
        )
    )


def _open_local(settings: Settings, *, create: bool) -> AbstractContextManager[Local]:
    from hatchpay.app.local import open_local

    return open_local(settings, create=create)


def _serve(settings: Settings, application: str | None, announce: Callable[[str], None]) -> None:
    from hatchpay.app.serve import serve

    serve(settings, application, announce)


def _diagnose(settings: Settings) -> list[Finding]:
    from hatchpay.app.doctor import diagnose

    return diagnose(settings)


def _derive_routes(api: str, over: Path | None) -> str:
    from hatchpay.app.api_description import derive_routes

    return derive_routes(api, over)


def _check_routes(settings: Settings, api: str) -> RouteFindings:
    from hatchpay.app.api_description import check

    return check(settings, api)


def _test_policies(file: Path, policies: Path | None, stored: Sequence[PolicyText] | None) -> list[CaseOutcome]:
    from hatchpay.app.policy_tests import run_cases

    return run_cases(file, policies, stored)


def _serve_witness(
    folder: Path, key_name: str, listen: str, vkeys: Sequence[str], announce: Callable[[str], None]
) -> None:
    from hatchpay.app.witness import serve_witness

    serve_witness(folder, key_name, listen, vkeys, announce)


def _witness_vkey(folder: Path, key_name: str) -> str:
    from hatchpay.app.witness import witness_vkey

    return witness_vkey(folder, key_name)
