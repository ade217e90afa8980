"""The command's names are a contract: other tools call them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from hatchpay.cli.errors import run
from hatchpay.cli.ports import Ports
from hatchpay.cli.program import build

LISTED = {"--data-dir", "--config", "--json", "--help"}
TENANT = LISTED | {"--tenant"}
COMMANDS: dict[str, set[str]] = {
    "serve": {"--data-dir", "--config", "--help", "--host", "--port", "--admin-host", "--admin-port", "--routes"}
    | {"--tls-cert", "--tls-key", "--trusted-proxy"},
    "operator key": LISTED | {"--replace"},
    "tenants onboard": LISTED,
    "tenants list": LISTED,
    "keys create": TENANT
    | {"--description", "--environment", "--owner", "--expires-at", "--business-unit", "--cidr", "--metadata"}
    | {"--rate-limit"},
    "keys list": TENANT,
    "keys show": TENANT,
    "keys roles": TENANT | {"--business-unit", "--whole-tenant", "--none"},
    "keys limit": TENANT | {"--rate-limit", "--none"},
    "keys disable": TENANT,
    "keys enable": TENANT,
    "keys rotate": TENANT | {"--grace-seconds"},
    "keys delete": TENANT,
    "roles list": TENANT,
    "permissions list": TENANT,
    "policies list": TENANT,
    "policies show": TENANT,
    "policies create": TENANT | {"--routes"},
    "policies update": TENANT | {"--routes", "--name"},
    "policies delete": TENANT,
    "policies test": TENANT | {"--policies"},
    "routes import": {"--data-dir", "--config", "--help", "--over", "--output", "--force"},
    "routes check": LISTED | {"--routes", "--strict"},
    "rehearse": TENANT | {"--key", "--roles", "--role", "--permissions", "--policy", "--from", "--to", "--routes"},
    "audit record": TENANT | {"--operator", "--output"},
    "audit receipt": {"--data-dir", "--config", "--help", "--tenant", "--operator", "--output"},
    "audit log": TENANT | {"--operator"},
    "audit rotate-key": LISTED,
    "audit history": TENANT
    | {"--operator", "--from", "--to", "--method", "--path", "--route", "--status", "--principal-id", "--key-id"}
    | {"--business-unit-id", "--request-id", "--client-ip", "--min-ms", "--limit", "--cursor"},
    "audit export": TENANT
    | {"--operator", "--from", "--to", "--method", "--path", "--route", "--status", "--principal-id", "--key-id"}
    | {"--business-unit-id", "--request-id", "--client-ip", "--min-ms", "--format", "--output", "--after", "--force"},
    "audit exports": TENANT | {"--operator", "--limit", "--cursor"},
    "audit tail": TENANT | {"--operator", "--follow", "--lines"},
    "audit verify": TENANT
    | {"--from", "--deep", "--vkey", "--checkpoint", "--keys", "--witness", "--quorum", "--record"},
    "audit streams list": TENANT,
    "audit streams add": TENANT | {"--business-unit", "--event-type", "--header-file", "--ca-file"},
    "audit streams update": TENANT
    | {"--name", "--url", "--business-unit", "--whole-tenant", "--event-type", "--all-types", "--header-file"}
    | {"--ca-file", "--status", "--rotate-secret"},
    "audit streams remove": TENANT,
    "audit streams test": TENANT,
    "pepper list": LISTED,
    "pepper rotate": LISTED,
    "pepper retire": LISTED,
    "token issue": TENANT | {"--key", "--scope", "--expires-in"},
    "token inspect": LISTED,
    "signing-keys list": LISTED,
    "signing-keys rotate": LISTED | {"--algorithm", "--publish-for"},
    "signing-keys retire": LISTED | {"--force"},
    "witness serve": {"--data-dir", "--config", "--help", "--key-name", "--listen", "--log"},
    "witness vkey": {"--data-dir", "--config", "--help", "--key-name"},
    "explain": TENANT
    | {"--body", "--ip", "--time", "--method-of-auth", "--token-age", "--role", "--issuer-id", "--routes"},
    "advise": TENANT | {"--key", "--role", "--days", "--apply", "--force"},
    "doctor": LISTED,
    "settings": LISTED,
}


def nothing(*_: object, **__: object) -> None:
    raise AssertionError("a help text needs nothing")


PROGRAM = build(Ports(nothing, nothing, nothing, nothing, nothing, nothing))  # type: ignore[arg-type]


def commands() -> Iterator[str]:
    def within(group: Any, *words: str) -> Iterator[str]:
        for name, command in group.commands.items():
            verbs = getattr(command, "commands", None)
            yield from [" ".join((*words, name))] if verbs is None else within(command, *words, name)

    return within(get_command(PROGRAM))


def test_these_are_all_commands() -> None:
    assert sorted(commands()) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_help_text_tells_every_option_and_what_the_command_is_for(
    command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(PROGRAM, [*command.split(), "--help"]) == 0
    printed = capfd.readouterr().out
    options = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", printed, re.MULTILINE))
    assert options == COMMANDS[command]
    assert printed.split("\n\n")[1].rstrip().endswith(".")


def test_the_first_help_text_is_there_at_once_and_loads_no_server() -> None:
    code = "import sys\nfrom hatchpay.app import main\ntry:\n main()\nfinally:\n print(*sys.modules, file=sys.stderr)"
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, timeout=30, check=False
    )
    took = time.monotonic() - started
    assert done.returncode == 0
    loaded = set(done.stderr.split())
    assert not loaded & {"fastapi", "uvicorn", "alembic", "sqlalchemy", "asyncio", "cryptography"}
    # Generous for a busy machine: what counts is the line above.
    assert took < 4
    for command in COMMANDS:
        assert f"\n  {command.split()[0]} " in done.stdout
