"""Every token of the corpus meets a real server that trusts its issuer: refused with its own reason, or let in.

The corpus is `tests/vectors`; its issuer's tokens must be refused for the reason that stands beside each, and for no
other, since a token that is refused for a wrong reason may be accepted once that is mended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.http.oauth import INTROSPECT, ISSUERS, together, token_for
from tests.support.issuer import serving_issuer
from tests.support.raw import Answer, exchange, request
from tests.support.records import stored
from tests.support.server import Server
from tests.support.tenancy import Tenant, problem_of

from hatchpay.audit.record import Record
from hatchpay.ids import PLATFORM_TENANT_ID

VECTORS = Path(__file__).parents[1] / "vectors"
CORPUS = json.loads((VECTORS / "tokens.json").read_text())
REFUSED: dict[str, dict[str, str]] = {entry["name"]: entry for entry in CORPUS["refused"]}
ACCEPTED: dict[str, str] = {entry["name"]: entry["token"] for entry in CORPUS["accepted"]}
SENDERS = 4

# What HTTP itself does not carry in a field's value (RFC 9110, section 5.5).
FORBIDDEN = frozenset(chr(number) for number in (*range(9), *range(10, 32), 127))
CUT = {name for name, entry in REFUSED.items() if FORBIDDEN & set(entry["token"])}
"""No request with these can be read at all."""
TRIMMED = {name for name, entry in REFUSED.items() if entry["token"] != entry["token"].strip(" \t")} - CUT
"""The white space around them is not part of the value: what arrives is another token."""
NO_TOKENS = {name for name, entry in REFUSED.items() if "." not in entry["token"]}
"""Without a dot it is no more of a JWT than any other text."""
CARRIED = sorted(REFUSED.keys() - CUT - TRIMMED - NO_TOKENS)


@pytest.fixture(scope="module")
def tenant(house: Tenant) -> Iterator[Tenant]:
    """It trusts the corpus' issuer, whose users are viewers, as all of its tokens say."""
    with serving_issuer() as publisher:
        publisher.body = (VECTORS / "jwks.json").read_bytes()
        wanted = {
            "issuer": CORPUS["issuer"],
            "audience": CORPUS["audience"],
            "jwks_url": publisher.jwks_url,
            "ceiling": ["access.roles.read"],
            "claims": {"roles": "roles"},
        }
        answer = house.client.post(ISSUERS, json=wanted)
        assert answer.status_code == 201, answer.text
        yield house
        assert house.client.delete(f"{ISSUERS}/{answer.json()['id']}").status_code == 204


@pytest.fixture(scope="module")
def answers(trusting: Server, tenant: Tenant) -> dict[str, Answer]:
    """To every token that a header can carry."""
    names = [*CARRIED, *sorted(NO_TOKENS | TRIMMED | CUT), *sorted(ACCEPTED)]
    found: dict[str, Answer] = {}

    def send(number: int) -> None:
        for name in names[number::SENDERS]:
            found[name] = ask(trusting, ACCEPTED.get(name) or REFUSED[name]["token"])

    together(SENDERS, send)
    return found


@pytest.fixture(scope="module")
def records(trusting: Server, answers: dict[str, Answer]) -> dict[str, Record]:
    """By request id, as they lie in the ledger."""
    return {record.request_id: record for record in stored(trusting.data_dir)}


@pytest.fixture(scope="module")
def inspected(trusting: Server, tenant: Tenant) -> dict[str, Answer]:
    """What introspection says of every token: a form carries all that a header does not."""
    found: dict[str, Answer] = {}
    headers = [("X-API-Key", tenant.key.text), ("Content-Type", "application/x-www-form-urlencoded")]

    def send(number: int) -> None:
        for name in sorted(REFUSED)[number::SENDERS]:
            body = b"token=" + quote(REFUSED[name]["token"], safe="").encode()
            found[name] = exchange(trusting.port, request(INTROSPECT, "POST", headers, body), "POST")

    together(SENDERS, send)
    return found


def ask(server: Server, token: str) -> Answer:
    # Raw, for no client sends some of these; and each character as the one byte that it is to the server.
    return exchange(server.port, request("/roles", headers=[("Authorization", f"Bearer {token}")]))


def refused(answer: Answer, code: str = "invalid_token") -> None:
    assert answer.status == 401
    body = problem_of(answer)
    assert body["code"] == code
    challenge = answer.header("www-authenticate") or ""
    # RFC 6750, section 3.1
    assert challenge.startswith("Bearer ")
    assert ('error="invalid_token"' in challenge) == (code == "invalid_token")


@pytest.mark.parametrize("name", CARRIED)
def test_a_bad_token_is_refused_for_its_own_reason(
    answers: dict[str, Answer], records: dict[str, Record], name: str
) -> None:
    refused(answers[name])
    record = records[answers[name].request_id]
    assert record.reason == REFUSED[name]["reason"]
    assert (record.decision, record.state, record.status) == ("deny", "refused", 401)
    assert (record.principal_id, record.token_id, record.roles) == (None, None, ())


@pytest.mark.parametrize("name", sorted(ACCEPTED))
def test_a_good_token_is_let_in(
    answers: dict[str, Answer], records: dict[str, Record], tenant: Tenant, name: str
) -> None:
    assert answers[name].status == 200
    record = records[answers[name].request_id]
    shown = (record.tenant_id, record.principal_id, record.key_id, record.roles, record.reason)
    assert shown == (tenant.id, "user:alice", None, ("viewer",), "role_grants")


@pytest.mark.parametrize("name", sorted(NO_TOKENS))
def test_a_text_without_a_dot_is_refused_as_no_credential_at_all(
    answers: dict[str, Answer], records: dict[str, Record], name: str
) -> None:
    refused(answers[name], "credential_invalid")
    assert records[answers[name].request_id].reason == "credential_unknown"


@pytest.mark.parametrize("name", sorted(TRIMMED))
def test_white_space_around_it_belongs_to_the_header(trusting: Server, answers: dict[str, Answer], name: str) -> None:
    bare = ask(trusting, REFUSED[name]["token"].strip(" \t"))
    assert answers[name].status == bare.status < 500


@pytest.mark.parametrize("name", sorted(CUT))
def test_a_header_that_is_none_is_refused_before_anything_is_read(answers: dict[str, Answer], name: str) -> None:
    assert answers[name].status == 400


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_introspection_finds_none_of_them_active(inspected: dict[str, Answer], name: str) -> None:
    answer = inspected[name]
    if name in CUT:
        assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    else:
        assert (answer.status, answer.json()) == (200, {"active": False})


def test_the_corpus_is_there() -> None:
    assert len(CARRIED) > 300
    assert len(ACCEPTED) > 20
    assert len(CUT | TRIMMED | NO_TOKENS) < 30


def test_a_bad_token_is_in_the_log_of_the_tenant_that_trusts_its_issuer(
    answers: dict[str, Answer], records: dict[str, Record], tenant: Tenant
) -> None:
    assert records[answers["eddsa-attacker-signed"].request_id].tenant_id == tenant.id
    assert records[answers["iss-wrong"].request_id].tenant_id == PLATFORM_TENANT_ID
    assert records[answers["header-not-json"].request_id].tenant_id == PLATFORM_TENANT_ID


def test_a_token_whose_head_is_longer_than_any_may_be(trusting: Server) -> None:
    answer = ask(trusting, "e" * 70_000 + ".x.y")
    assert (answer.status, answer.json()["code"]) == (431, "headers_too_large")


class TestTwoCredentials:
    """Which one counts is never guessed."""

    @pytest.fixture
    def token(self, trusting: Server, tenant: Tenant) -> str:
        with trusting.client() as client:
            return token_for(client, tenant.key)

    def test_a_key_beside_a_token(self, trusting: Server, tenant: Tenant, token: str) -> None:
        for pair in ((tenant.key.text, token), (token, token), (token, tenant.key.text)):
            headers = [("X-API-Key", pair[0]), ("Authorization", f"Bearer {pair[1]}")]
            answer = exchange(trusting.port, request("/roles", headers=headers))
            assert (answer.status, answer.json()["code"]) == (400, "multiple_credentials")
            record = tenant.record(answer.request_id)
            assert record is not None
            assert (record["reason"], record["claimed_key_id"]) == ("multiple_credentials", tenant.key.id)

    def test_the_same_token_twice(self, trusting: Server, tenant: Tenant, token: str) -> None:
        for name in ("Authorization", "X-API-Key"):
            value = f"Bearer {token}" if name == "Authorization" else token
            answer = exchange(trusting.port, request("/roles", headers=[(name, value), (name, value)]))
            assert (answer.status, answer.json()["code"]) == (400, "duplicate_header")
            assert tenant.record(answer.request_id) is not None

    def test_a_good_token_and_a_bad_one(self, trusting: Server, token: str) -> None:
        headers = [("Authorization", f"Bearer {token}"), ("Authorization", "Bearer a.b.c")]
        for order in (headers, headers[::-1]):
            assert exchange(trusting.port, request("/roles", headers=order)).status == 400

    def test_two_in_one_header(self, trusting: Server, token: str) -> None:
        for value in (f"{token} {token}", f"{token},{token}", f"{token}, Bearer {token}"):
            refused(ask(trusting, value))

    def test_a_token_in_the_query(self, trusting: Server, token: str) -> None:
        answer = exchange(trusting.port, request(f"/roles?access_token={token}"))
        assert (answer.status, answer.json()["code"]) == (400, "credential_in_query")
