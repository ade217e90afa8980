"""What is kept of tokens: who asked for which, by what proof, and nothing that anybody could use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from tests.attack import remains
from tests.attack.canaries import Canary, key
from tests.attack.remains import WINDOW, Remains
from tests.http.oauth import (
    EXCHANGE,
    INTROSPECT,
    JWT,
    REVOKE,
    TOKEN,
    basic,
    bearer,
    claims_of,
    exchange,
    grant,
    oauth_error,
    request_id,
    token_for,
    trust,
)
from tests.support.issuer import serving_issuer
from tests.support.raw import exchange as raw_exchange
from tests.support.raw import request as raw_request
from tests.support.server import Server, serving
from tests.support.tenancy import TRANSACTIONS, Key, Tenant, operator_of

from hatchpay.ids import new_id
from hatchpay.tokens import apikey

READ = "payment-proxy.transactions.read"
GRANT = {"grant_type": "client_credentials"}
FORM = "application/x-www-form-urlencoded"
MARKER = "MarkerWhichIsNoSecret"


@dataclass
class Trail:
    """The secrets that were used, and every place that something of them could be left in."""

    secrets: list[Canary] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    running: list[Remains] = field(default_factory=list)
    stopped: list[Remains] = field(default_factory=list)

    def key(self, key_: Key) -> Key:
        self.secrets.append(key("a key", key_.text))
        return key_

    def token(self, token: str) -> str:
        """Of a token, what it claims and its signature. Its header is public."""
        _, claims, signature = token.split(".")
        self.secrets += [Canary("the claims of a token", token, piece) for piece in _pieces(claims)]
        self.secrets += [Canary("the signature of a token", token, piece) for piece in _pieces(signature)]
        return token

    def basic(self, client_id: str, secret: str, *, encoded: bool = False) -> dict[str, str]:
        headers = basic(client_id, secret, encoded=encoded)
        packed = headers["Authorization"].removeprefix("Basic ")
        # What stands for the id, which is public, comes first.
        self.secrets.append(Canary("a Basic credential", packed, packed.rstrip("=")[80:]))
        return headers


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Trail:
    data_dir = tmp_path_factory.mktemp("trail") / "data"
    found = Trail()
    with serving(data_dir, HATCHPAY_ALLOW_INSECURE_ISSUERS="true") as server:
        with operator_of(server) as operator, operator.onboard("Trail") as tenant, server.client() as anyone:
            leave_a_trail(found, server, tenant, anyone)
            found.running = remains.of_files(*(data_dir / name for name in ("ledger.db-wal", "directory.db-wal")))
        assert server.stop() == 0
    found.stopped = [*remains.of_directory(data_dir), *remains.of_files(server.log, server.out)]
    return found


def leave_a_trail(trail: Trail, server: Server, tenant: Tenant, anyone: httpx.Client) -> None:
    """Every way to send a secret to an OAuth endpoint, rightly and wrongly."""
    trail.key(tenant.key)
    key_ = trail.key(tenant.make_key("gl", name=MARKER))
    wrong = trail.key(Key(key_.id, apikey.issue(key_.id, "live").text))
    own = [trail.token(token_for(anyone, key_)) for _ in range(4)]
    with serving_issuer(["EdDSA", "RS256"], audience="https://trail.test") as issuer:
        trust(tenant, issuer, [READ], claims={"permissions": "scope"})
        foreign = [trail.token(issuer.token(signed_with=name, scope=READ)) for name in ("EdDSA", "RS256")]
        nobodys = trail.token(issuer.token(iss="https://nobody.test"))
    tokens = [*own, *foreign, nobodys]
    for secret in (key_.text, wrong.text, *tokens):
        send_as_client(trail, anyone, key_.id, secret)
        for path in (REVOKE, INTROSPECT) if secret not in own[:1] else (INTROSPECT,):
            for hint in ({}, {"token_type_hint": "access_token"}):
                anyone.post(path, data={"token": secret, **hint}, headers=key_.header)
        for client in (None, key_):
            answer = exchange(anyone, secret, client, subject_token_type=JWT, actor_token="")
            if answer.status_code == 200:
                trail.token(answer.json()["access_token"])
        exchange(anyone, key_.text, actor_token=secret)
        anyone.get(TRANSACTIONS, headers=bearer(secret))
        anyone.get(TRANSACTIONS, headers={"X-API-Key": secret})
        anyone.get(f"/roles/{secret}?token={secret}", headers=bearer(secret))
        send_in_bad_forms(server, secret)


def send_as_client(trail: Trail, anyone: httpx.Client, client_id: str, secret: str) -> None:
    sent: list[tuple[dict[str, str], dict[str, str]]] = [
        ({}, {"X-API-Key": secret}),
        ({}, bearer(secret)),
        ({"client_id": client_id, "client_secret": secret}, {}),
    ]
    if "." not in secret:
        sent += [({}, trail.basic(client_id, secret)), ({}, trail.basic(client_id, secret, encoded=True))]
    for form, headers in sent:
        answer = anyone.post(TOKEN, data={**GRANT, **form}, headers=headers)
        if answer.status_code == 200:
            trail.token(answer.json()["access_token"])


def send_in_bad_forms(server: Server, secret: str) -> None:
    once = "".join(f"%{ord(letter):02x}" for letter in secret)
    for body, kind in (
        (f"client_secret={secret}&client_secret={secret}", FORM),
        (f"grant_type=x&tokn={secret}", FORM),
        (f"%zz&client_secret={secret}", FORM),
        (f"{secret}", FORM),
        (f"{secret}={secret}", FORM),
        (f"client_secret={once}", FORM),
        (f"subject_token={quote(once)}&grant_type={EXCHANGE}", FORM),
        (f'{{"client_secret": "{secret}"}}', "application/json"),
        (f'{{"client_secret": "{secret}"', FORM),
        (f"client_secret={secret}", "text/plain"),
        (f"client_secret={secret}", f"{FORM}; charset=utf-16"),
        (f"scope={secret}&audience={secret}", FORM),
    ):
        data = raw_request(TOKEN, "POST", [("Content-Type", kind)], body.encode())
        assert raw_exchange(server.port, data, "POST").status in {400, 401}


class TestNothingIsLeft:
    def test_of_any_secret_anywhere(self, trail: Trail) -> None:
        left = [
            f"{secret.kind} in {where.where}"
            for secret in trail.secrets
            for where in (*trail.running, *trail.stopped)
            if where.hold(secret)
        ]
        assert left == []
        assert len(trail.secrets) > 50

    def test_and_the_search_finds_what_is_there(self, trail: Trail) -> None:
        marker = Canary("a marker", MARKER, MARKER)
        assert any(where.hold(marker) for where in trail.stopped)
        assert any("ledger" in where.where for where in trail.stopped)
        assert {"signature", "claims", "key", "Basic"} <= {
            word for secret in trail.secrets for word in secret.kind.split()
        }


@pytest.fixture(scope="module")
def anyone(trusting: Server) -> Iterator[httpx.Client]:
    with trusting.client() as client:
        yield client


@pytest.fixture(scope="module")
def client(house: Tenant) -> Key:
    return house.make_key("gl")


def record_of(tenant: Tenant, answer: httpx.Response) -> dict[str, Any]:
    found = tenant.record(request_id(answer))
    assert found is not None
    return found


class TestWhatTheRecordSays:
    @pytest.mark.parametrize("way", ["header", "bearer", "basic", "form"])
    def test_whose_key_was_proven_however_it_was_sent(
        self, anyone: httpx.Client, house: Tenant, neighbour: Tenant, client: Key, way: str
    ) -> None:
        form = {**GRANT, "client_id": client.id, "client_secret": client.text} if way == "form" else GRANT
        headers = {"header": client.header, "bearer": bearer(client.text), "basic": basic(client.id, client.text)}
        answer = anyone.post(TOKEN, data=form, headers=headers.get(way, {}))
        assert answer.status_code == 200
        record = record_of(house, answer)
        shown = [record[name] for name in ("principal_id", "key_id", "claimed_key_id", "roles", "decision", "state")]
        assert shown == [client.id, client.id, None, ["gl"], "allow", "completed"]
        assert (record["route"], record["reason"], record["token_id"]) == (TOKEN, "self_authenticating", None)
        assert neighbour.record(request_id(answer)) is None
        assert claims_of(answer.json()["access_token"])["jti"] == record["request_id"]

    def test_what_was_asked_for_but_no_secret(self, anyone: httpx.Client, house: Tenant, client: Key) -> None:
        form = {**GRANT, "scope": READ, "client_id": client.id, "client_secret": client.text}
        record = record_of(house, anyone.post(TOKEN, data=form))
        shown = str(record["body"])
        assert READ in shown and client.id in shown and "client_credentials" in shown
        assert client.text[30:] not in str(record)
        by_header = record_of(house, anyone.post(TOKEN, data=GRANT, headers=basic(client.id, client.text)))
        assert by_header["headers"]["authorization"] == "Basic [redacted]"

    @pytest.mark.parametrize("path", [TOKEN, REVOKE, INTROSPECT])
    @pytest.mark.parametrize("way", ["header", "bearer", "basic", "form"])
    def test_whose_key_a_failure_named_and_why_it_failed(
        self, anyone: httpx.Client, house: Tenant, client: Key, path: str, way: str
    ) -> None:
        wrong = apikey.issue(client.id, "live").text
        form = {**GRANT, "token": "x", **({"client_id": client.id, "client_secret": wrong} if way == "form" else {})}
        headers = {"header": {"X-API-Key": wrong}, "bearer": bearer(wrong), "basic": basic(client.id, wrong)}
        answer = anyone.post(path, data=form, headers=headers.get(way, {}))
        assert oauth_error(answer) == (401, "invalid_client")
        record = record_of(house, answer)
        names = ("reason", "decision", "state", "status", "principal_id", "key_id", "claimed_key_id")
        assert [record[name] for name in names] == ["key_secret_wrong", "deny", "refused", 401, None, None, client.id]

    def test_the_reason_is_the_keys_own(self, anyone: httpx.Client, house: Tenant) -> None:
        key_ = house.make_key("viewer")
        mistyped = key_.text[:-1] + ("A" if key_.text[-1] != "A" else "B")
        cases = {"key_malformed": mistyped, "key_disabled": key_.text}
        house.change(key_, status="disabled")
        for reason, text in cases.items():
            record = record_of(house, anyone.post(TOKEN, data=GRANT, headers=basic(key_.id, text)))
            assert (record["reason"], record["claimed_key_id"]) == (reason, key_.id)

    def test_a_key_of_nobodys_is_nobodys_record(self, anyone: httpx.Client, house: Tenant, neighbour: Tenant) -> None:
        made_up = apikey.issue(new_id(), "live")
        answer = anyone.post(TOKEN, data=GRANT, headers=basic(made_up.id, made_up.text))
        assert [tenant.record(request_id(answer)) for tenant in (house, neighbour)] == [None, None]

    def test_a_wrong_request_is_no_denial(self, anyone: httpx.Client, house: Tenant, client: Key) -> None:
        for form, reason in (
            ({"grant_type": "password"}, "unsupported_grant_type"),
            ({**GRANT, "expires_in": "soon"}, "invalid_request"),
            ({**GRANT, "expires_in": "43201"}, "invalid_field"),
            ({**GRANT, "audience": "https://else.test"}, "invalid_target"),
        ):
            record = record_of(house, anyone.post(TOKEN, data=form, headers=client.header))
            assert (record["reason"], record["decision"], record["state"]) == (reason, "allow", "refused")

    def test_an_exchange_names_the_user_and_the_client(self, anyone: httpx.Client, house: Tenant, client: Key) -> None:
        with serving_issuer(audience="https://record.test") as issuer:
            trusted = trust(house, issuer, [READ], claims={"permissions": "scope"})
            subject = issuer.token(sub="ada", jti="subject-1", scope=READ)
            record = record_of(house, exchange(anyone, subject, client))
            shown = [record[name] for name in ("principal_id", "key_id", "issuer_id", "token_id", "decision")]
            assert shown == ["user:ada", client.id, trusted["id"], "subject-1", "allow"]
            alone = record_of(house, exchange(anyone, subject))
            shown = [alone[name] for name in ("principal_id", "key_id", "reason", "decision")]
            assert shown == ["user:ada", None, "invalid_client", "deny"]

    def test_a_request_by_token_names_the_token(self, anyone: httpx.Client, house: Tenant, client: Key) -> None:
        issued = grant(anyone, client)
        token = issued.json()["access_token"]
        record = record_of(house, anyone.get(TRANSACTIONS, headers=bearer(token)))
        shown = [record[name] for name in ("principal_id", "key_id", "token_id", "issuer_id")]
        assert shown == [client.id, client.id, request_id(issued), None]
        assert record["headers"]["authorization"] == "Bearer [redacted]"


def _pieces(text: str) -> Iterable[str]:
    return [piece for piece in re.findall(r"[A-Za-z0-9]+", text) if len(piece) >= WINDOW]
