"""What `hatchpay token` prints, and what no command line ever repeats."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any, cast

import pytest
from docs.generate import codes

from hatchpay.admin.signing_keys import DEFAULT_ALGORITHM, PUBLISH_FOR_S
from hatchpay.admin.token_views import IssuedToken, TokenWish
from hatchpay.cli import signing_keys
from hatchpay.cli.errors import run
from hatchpay.cli.ports import Local, Ports, TokenInspection
from hatchpay.cli.program import build
from hatchpay.cli.token import WHY
from hatchpay.identity.principal import Limits, Principal
from hatchpay.settings import Settings
from hatchpay.tokens import apikey
from hatchpay.tokens.signing import generate

TENANT = "01a20c16-ce80-717b-a69a-c06c147e83e0"
KEY_ID = "01a20c16-ce8c-724b-aaeb-e4051a2fba6b"
KEY = apikey.issue(KEY_ID, "live").text
TOKEN = generate("EdDSA").sign({"iss": "https://id.example", "sub": "ada"})
HEADER = {"alg": "EdDSA", "kid": "k1", "typ": "at+jwt"}


class Desk:
    """Stands in for the data directory. `asked` are the calls of `issue_token`, `read` the tokens to inspect."""

    def __init__(self, found: TokenInspection) -> None:
        self.found = found
        self.asked: list[tuple[str, str | None, TokenWish]] = []
        self.read: list[str] = []

    def issue_token(self, key: str, tenant_id: str | None, wish: TokenWish) -> IssuedToken:
        self.asked.append((key, tenant_id, wish))
        return IssuedToken(access_token=TOKEN, expires_in=900, scope="a.b.c")

    def inspect_token(self, text: str) -> TokenInspection:
        self.read.append(text)
        return self.found


def desk(found: TokenInspection | None = None) -> Desk:
    return Desk(found or TokenInspection(header=None, claims=None, reason="token_parts_wrong"))


def call(desk: Desk, *arguments: str) -> int:
    @contextmanager
    def open_local(settings: Settings, *, create: bool) -> Iterator[Local]:
        assert not create
        yield cast(Local, desk)

    def nothing(*_: Any) -> Any:
        raise AssertionError("only the data directory is needed")

    return run(build(Ports(open_local, nothing, nothing, nothing, nothing, nothing)), list(arguments))


def typed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), "utf-8"))


def accepted(claims: dict[str, object], limits: Limits | None = None) -> TokenInspection:
    principal = Principal(KEY_ID, "api_key", TENANT, KEY_ID, ("gl",), {"b.c.d": "r", "a.b.c": "r"}, limits or Limits())
    return TokenInspection(header=HEADER, claims=claims, principal=principal)


def test_every_reason_to_refuse_a_token_has_its_sentence() -> None:
    assert sorted(WHY) == [code for code in codes() if code.startswith("token_")]
    assert len(set(WHY.values())) == len(WHY)


def test_the_defaults_that_a_help_text_shows_are_those_of_the_use_case() -> None:
    assert signing_keys._PUBLISH_FOR_S == PUBLISH_FOR_S
    assert signing_keys.Algorithm.EdDSA.value == DEFAULT_ALGORITHM


@pytest.mark.parametrize(
    "arguments",
    [
        ["token", "issue", "--key", "-", KEY],
        ["token", "issue", "--key", KEY, "--expires-in", KEY],
        ["token", "inspect", "Bearer", TOKEN],
        ["token", TOKEN],
        [KEY],
        ["signing-keys", "rotate", "--algorithm", KEY],
        ["signing-keys", "rotate", TOKEN],
        ["keys", "show", KEY_ID, KEY],
    ],
)
def test_a_usage_error_repeats_no_key_and_no_token(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert call(desk(), *arguments) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    for secret in (KEY, TOKEN):
        assert secret not in printed.err
        assert secret[-20:] not in printed.err


@pytest.mark.parametrize("noun", ["token", "signing-keys", "keys", "audit", "tenants", "pepper"])
def test_a_noun_without_its_verb_prints_its_help_as_it_is(noun: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert call(desk(), noun, "--help") == 0
    text = capfd.readouterr().out
    assert call(desk(), noun) == 2
    assert capfd.readouterr().err == text


@pytest.mark.parametrize("content", [KEY, f"{KEY}\n", f"  {KEY}\r\n"], ids=["bare", "line", "spaced"])
def test_a_key_may_come_from_standard_input(
    content: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, content.encode())
    at = desk()
    assert call(at, "token", "issue", "--key", "-", "--scope", "a.b.c", "--expires-in", "60") == 0
    assert capfd.readouterr() == (f"{TOKEN}\n", "")
    assert at.asked == [(KEY, None, TokenWish(scope="a.b.c", expires_in=60))]


def test_json_is_the_answer_of_rfc_6749(capfd: pytest.CaptureFixture[str]) -> None:
    assert call(desk(), "token", "issue", "--key", KEY, "--json") == 0
    answer = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 900, "scope": "a.b.c"}
    assert json.loads(capfd.readouterr().out) == answer


def test_a_life_that_is_none_is_a_usage_error(capfd: pytest.CaptureFixture[str]) -> None:
    at = desk()
    assert call(at, "token", "issue", "--key", KEY, "--expires-in", "0") == 2
    assert "--expires-in" in capfd.readouterr().err
    assert at.asked == []


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_a_token_may_come_from_standard_input(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, f"\n {TOKEN} \n".encode())
    at = desk()
    assert call(at, "token", "inspect", *arguments) == 0
    assert at.read == [TOKEN]


def test_standard_input_may_be_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    at = desk()
    for content in (b"", b"\xff\xfe\x00", b"." * 3_000_000):
        typed(monkeypatch, content)
        assert call(at, "token", "inspect") == 0
    assert at.read[:2] == ["", "\ufffd\ufffd\x00"]
    assert len(at.read[2]) == 1024 * 1024


def test_a_closed_standard_input_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert call(desk(), "token", "inspect") == 2
    assert "standard input is closed" in capfd.readouterr().err


def test_an_accepted_token_is_shown_with_whom_it_proves(capfd: pytest.CaptureFixture[str]) -> None:
    claims: dict[str, object] = {"iss": "https://id.example", "exp": 1_800_000_000, "nbf": 0, "iat": 1.8e9}
    assert call(desk(accepted(claims)), "token", "inspect", TOKEN) == 0
    printed = capfd.readouterr().out
    lines = [line.split(None, 2) for line in printed.splitlines()]
    assert lines == [
        ["part", "name", "value"],
        ["header", "alg", "EdDSA"],
        ["header", "kid", "k1"],
        ["header", "typ", "at+jwt"],
        ["claim", "iss", "https://id.example"],
        ["claim", "exp", "1800000000 (2027-01-15T08:00:00.000000Z)"],
        ["claim", "nbf", "0 (1970-01-01T00:00:00.000000Z)"],
        ["claim", "iat", "1800000000.0 (2027-01-15T08:00:00.000000Z)"],
        [],
        ["verdict", "accepted"],
        ["principal", KEY_ID],
        ["tenant", TENANT],
        ["permissions", "a.b.c,", "b.c.d"],
    ]


def test_json_has_the_claims_as_they_are(capfd: pytest.CaptureFixture[str]) -> None:
    claims: dict[str, object] = {"exp": "1800000000", "n": 10**400, "deep": [{"a": None}], "esc": "\x1b[2J\u202e"}
    assert call(desk(accepted(claims)), "token", "inspect", TOKEN, "--json") == 0
    printed = capfd.readouterr().out
    assert printed.replace("\n", "").isprintable()
    assert json.loads(printed) == {
        "header": HEADER,
        "claims": claims,
        "verdict": "accepted",
        "reason": None,
        "explanation": None,
        "principal_id": KEY_ID,
        "tenant_id": TENANT,
        "permissions": ["a.b.c", "b.c.d"],
    }


def test_json_of_what_cannot_be_read_has_nothing_in_its_place(capfd: pytest.CaptureFixture[str]) -> None:
    assert call(desk(), "token", "inspect", "x", "--json") == 0
    assert json.loads(capfd.readouterr().out) == {
        "header": None,
        "claims": None,
        "verdict": "refused",
        "reason": "token_parts_wrong",
        "explanation": "The token would be refused: a token has three parts with a dot between them, and this has not.",
        "principal_id": None,
        "tenant_id": None,
        "permissions": [],
    }


def test_a_refused_token_is_shown_with_the_reason_and_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    found = TokenInspection(header=HEADER, claims={"sub": "ada"}, reason="token_expired")
    assert call(desk(found), "token", "inspect", TOKEN) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[-3:] == ["verdict refused", "reason token_expired", "The token would be refused: it has expired."]
    assert lines[-5].split() == ["claim", "sub", "ada"]


def test_a_key_of_its_issuer_that_cannot_be_used_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    found = TokenInspection(header=HEADER, claims={}, reason="jwk_rsa_too_small")
    assert call(desk(found), "token", "inspect", TOKEN) == 0
    assert capfd.readouterr().out.splitlines()[-2:] == [
        "reason jwk_rsa_too_small",
        "The token would be refused: the key of its kid, as its issuer publishes it, cannot be used.",
    ]


def test_a_token_that_is_bound_to_networks_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    limits = Limits(networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
    assert call(desk(accepted({}, limits)), "token", "inspect", TOKEN) == 0
    last = capfd.readouterr().out.splitlines()[-1]
    assert last == "The token is accepted only from 192.0.2.0/24, 2001:db8::/32."


@pytest.mark.parametrize(
    ("claim", "shown"),
    [
        (True, "true"),
        ("true", '"true"'),
        ("1800000000", '"1800000000"'),
        ("", '""'),
        (-1, "-1"),
        (1.5, "1.5"),
        (253_402_300_800, "253402300800"),
        (10**30, "1" + "0" * 30),
        ([1, "a"], '[1,"a"]'),
        (None, "null"),
        ("plain", "plain"),
    ],
)
def test_a_time_that_is_none_is_shown_as_what_it_is(
    claim: object, shown: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(desk(accepted({"exp": claim})), "token", "inspect", TOKEN) == 0
    line = next(line for line in capfd.readouterr().out.splitlines() if line.startswith("claim"))
    assert line.split(None, 2) == ["claim", "exp", shown]


@pytest.mark.parametrize("hostile", ["\x1b[2J\x1b]0;owned\x07", "\r\nverdict accepted", "\u202e", "\x9b31m"])
def test_a_terminal_finds_nothing_to_obey_in_a_token(hostile: str, capfd: pytest.CaptureFixture[str]) -> None:
    found = TokenInspection(
        header={"kid": hostile, hostile: [hostile]}, claims={hostile: {hostile: hostile}}, reason="token_expired"
    )
    assert call(desk(found), "token", "inspect", TOKEN) == 0
    lines = capfd.readouterr().out.splitlines()
    assert all(line.isprintable() for line in lines)
    assert len(lines) == 8
    assert "verdict accepted" not in lines
