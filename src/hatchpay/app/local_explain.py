"""Explanations by access to the data directory, by the same code as in a server."""

from __future__ import annotations

from pathlib import Path

from hatchpay.access.permission import PLATFORM_PERMISSIONS
from hatchpay.admin.explain import Explanations
from hatchpay.admin.explain_views import ExplanationView, Question
from hatchpay.admin.views import Actor
from hatchpay.app.local_access import local_snapshots, local_table
from hatchpay.audit.ports import History
from hatchpay.clock import wall_us
from hatchpay.errors import InvalidInput
from hatchpay.gate.reading import GateReading
from hatchpay.store.directory import SqlDirectory

__all__ = ["explain_locally"]


def explain_locally(
    directory: SqlDirectory, history: History, actor: Actor, question: Question, routes: Path | None
) -> ExplanationView:
    """Raises as cli.ports.Local.explain says."""
    table = local_table(routes)
    reading = GateReading()
    match = table.match(question.method, reading.target(question.path).path)
    if routes is None and match is None:
        # Without its table, every route of the API would be explained as one that is not listed.
        raise InvalidInput("say with --routes which route table belongs to the API", field="routes")
    snapshots = local_snapshots(directory, table)
    known = {None, *(permission.name for permission in (*snapshots.catalogue, *PLATFORM_PERMISSIONS))}
    if match is not None and match.route.permission not in known:
        # Built-in roles will hold it once a server has made it known; now it would look as if none did.
        raise InvalidInput(
            "no server has served this route yet, so that nobody can hold its permission",
            code="unknown_permission",
            field="routes",
        )
    explanations = Explanations(
        directory, lambda: snapshots.current, lambda: snapshots.rules, table, reading, history, wall_us
    )
    return explanations.ask(actor, question)
