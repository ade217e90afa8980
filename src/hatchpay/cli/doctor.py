"""`hatchpay doctor`: is all well in the data directory?"""

from __future__ import annotations

import typer

from hatchpay.cli.errors import FAILED
from hatchpay.cli.session import Session, command

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    @command(app, "doctor")
    def doctor(session: Session) -> None:
        """Examine the data directory. Records what a killed process left open; fails where a check does."""
        findings = session.ports.diagnose(session.settings())
        failed = any(finding.status == "failed" for finding in findings)
        if session.out.as_json:
            session.out.document({"ok": not failed, "checks": findings})
        else:
            session.out.listing(
                findings,
                {
                    "check": lambda finding: finding.check,
                    "status": lambda finding: finding.status,
                    "detail": lambda finding: finding.detail,
                },
            )
            for finding in findings:
                for item in finding.items:
                    session.out.line(f"{finding.check}: {item}")
        if failed:
            raise typer.Exit(FAILED)
