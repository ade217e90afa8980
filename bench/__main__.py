"""`make bench`: every measurement, as Markdown on standard output."""

from __future__ import annotations

import platform
import sqlite3

from . import advice, decisions, export, ledger, rehearsal, stages, throughput, tokens

SECTIONS = {
    "Throughput of the sample API, one server process": throughput.report,
    "The ledger's writer": ledger.report,
    "Stages of the gate": stages.report,
    "Accepting a token": tokens.report,
    "A rehearsal, with roles alone": rehearsal.report,
    "Advice on all keys of a tenant": advice.report,
    "Exporting the record": export.report,
    "Deciding": decisions.report,
}


def main() -> None:
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.machine()}")
    for title, report in SECTIONS.items():
        print(f"\n## {title}\n")
        print("\n".join(report()), flush=True)


if __name__ == "__main__":
    main()
