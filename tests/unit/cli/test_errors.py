"""What goes wrong becomes one line on standard error, and an exit code."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn

import pytest
import typer

from hatchpay.cli.errors import run
from hatchpay.cli.ports import Finding, Local, Ports
from hatchpay.cli.program import build
from hatchpay.errors import AuditUnavailable, Conflict, HatchPayError, InvalidInput, NotFound, SettingsError
from hatchpay.settings import Settings


def program(error: BaseException | None = None, findings: tuple[Finding, ...] = ()) -> typer.Typer:
    def open_local(settings: Settings, *, create: bool) -> AbstractContextManager[Local]:
        assert error is not None
        raise error

    return build(
        Ports(
            open_local,
            lambda settings, application, announce: announce("up"),
            lambda _: list(findings),
            unused,
            unused,
            unused,
        )
    )


def unused(*_: object) -> NoReturn:
    raise AssertionError("this command compares no routes")


def unopened(settings: Settings, *, create: bool) -> AbstractContextManager[Local]:
    raise AssertionError("this command needs no data directory")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (NotFound("there is no such role"), "hatchpay: there is no such role (not_found)", 1),
        (Conflict("it would be the last", code="last_administrator"), "it would be the last (last_administrator)", 1),
        (AuditUnavailable("the ledger is gone"), "hatchpay: the ledger is gone (audit_unavailable)", 1),
        (SettingsError("pepper.json is damaged"), "hatchpay: pepper.json is damaged (invalid_setting)", 1),
        (InvalidInput("too long", field="owner"), "hatchpay: owner: too long (invalid_field)", 2),
        (InvalidInput("owner is too long", field="owner"), "hatchpay: owner is too long (invalid_field)", 2),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "hatchpay: /x: Permission denied (os_error)", 1),
        (NotFound("no \x1b[31mrole"), r"hatchpay: no \x1b[31mrole (not_found)", 1),
    ],
)
def test_an_error_is_one_line(error: HatchPayError, line: str, code: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(program(error), ["keys", "list"]) == code
    printed = capfd.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert line in printed.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["keys", "list", "--bogus"], "--bogus"),
        (["bogus"], "bogus"),
        (["keys", "create"], "NAME"),
        (["keys", "create", "x", "--environment", "prod"], "--environment"),
        (["keys", "create", "x", "--expires-at", "tomorrow"], "--expires-at"),
        (["keys", "create", "x", "--metadata", "x"], "--metadata"),
        (["keys", "roles", "x", "admin", "--none"], "--none"),
        (["keys", "rotate", "x", "--grace-seconds", "soon"], "--grace-seconds"),
        (["serve", "--port", "70000"], "--port"),
        (["serve", "--trusted-proxy", "everybody"], "trusted_proxies"),
        (["serve", "--tls-cert", "x"], "tls_key"),
        (["settings", "--config", "absent.toml"], "absent.toml"),
        (["audit", "history", "--status", "4y"], "--status"),
        (["audit", "history", "--limit", "201"], "--limit"),
        (["audit", "history", "--min-ms", "-1"], "--min-ms"),
        (["pepper", "retire", "old"], "VERSION"),
    ],
)
def test_a_usage_error_names_what_is_wrong(arguments: list[str], named: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(program(), arguments) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert named in printed.err
    assert printed.err.startswith("hatchpay: ")
    assert "--help'" in printed.err


def test_a_noun_without_its_verb_lists_the_verbs(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(program(), ["keys"]) == 2
    assert "rotate" in capfd.readouterr().err


def test_ctrl_c_ends_with_130_and_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(program(KeyboardInterrupt()), ["keys", "list"]) == 130
    assert capfd.readouterr() == ("", "")


def test_a_closed_output_is_found_out_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", None)
        assert run(program(AssertionError()), ["keys", "create", "Till"]) == 1
    assert "standard output is closed" in capfd.readouterr().err


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warning", 0), ("failed", 1)])
def test_doctor_fails_where_a_check_does(status: str, code: int, capfd: pytest.CaptureFixture[str]) -> None:
    finding = Finding("disk_space", status, "3 MiB free", ("/var",))  # type: ignore[arg-type]
    assert run(program(findings=(finding,)), ["doctor"]) == code
    printed = capfd.readouterr().out
    assert status in printed
    assert "disk_space: /var" in printed


def test_serve_hands_over_its_options_and_prints_what_is_announced(capfd: pytest.CaptureFixture[str]) -> None:
    given: list[tuple[Settings, str | None]] = []

    def serve(settings: Settings, application: str | None, announce: Callable[[str], None]) -> None:
        given.append((settings, application))
        announce("up")

    one = {"--host": "::1", "--port": "1", "--admin-host": "127.0.0.2", "--admin-port": "2", "--data-dir": "d"}
    files = {"--routes": "r.toml", "--tls-cert": "c", "--tls-key": "k"}
    proxies = ["--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "::1"]
    arguments = ["serve", "shop:app", *proxies, *(part for pair in (one | files).items() for part in pair)]
    assert run(build(Ports(unopened, serve, lambda _: [], unused, unused, unused)), arguments) == 0
    assert capfd.readouterr().out == "up\n"
    ((settings, application),) = given
    assert application == "shop:app"
    assert settings == Settings(
        data_dir=Path("d"),
        host="::1",
        port=1,
        admin_host="127.0.0.2",
        admin_port=2,
        routes=Path("r.toml"),
        trusted_proxies=("10.0.0.0/8", "::1"),
        tls_cert=Path("c"),
        tls_key=Path("k"),
    )


def test_a_data_directory_beside_the_command_goes_before_the_one_in_front_of_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    seen: list[Path] = []

    def diagnose(settings: Settings) -> list[Finding]:
        seen.append(settings.data_dir)
        return []

    ports = Ports(unopened, lambda *_: None, diagnose, unused, unused, unused)
    run(build(ports), ["--data-dir", "outer", "doctor"])
    run(build(ports), ["--data-dir", "outer", "doctor", "--data-dir", "inner"])
    assert seen == [Path("outer"), Path("inner")]
