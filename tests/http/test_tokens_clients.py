"""Clients and issuers that know nothing of HatchPay: Authlib, PyJWT, joserfc, and a process that signs by itself."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator

import httpx
import joserfc.jwk
import joserfc.jwt
import jwt
import pytest
from authlib.deprecate import AuthlibDeprecationWarning
from tests.http.oauth import ISSUERS, bearer, request_id, token_for
from tests.support.issuer_process import IssuerProcess, issuer_process
from tests.support.server import Server, hatchpay
from tests.support.tenancy import TRANSACTIONS, Key, Tenant, problem_of

with warnings.catch_warnings():
    # It would like httpx2 better than httpx.
    warnings.simplefilter("ignore", AuthlibDeprecationWarning)
    from authlib.integrations.httpx_client import OAuth2Client

METADATA = "/.well-known/oauth-authorization-server"
READ = "payment-proxy.transactions.read"
CREATE = "payment-proxy.transactions.create"


@pytest.fixture(scope="module")
def anyone(trusting: Server) -> Iterator[httpx.Client]:
    with trusting.client() as client:
        yield client


@pytest.fixture(scope="module")
def metadata(anyone: httpx.Client) -> dict[str, str]:
    found: dict[str, str] = anyone.get(METADATA).json()
    return found


@pytest.fixture(scope="module")
def key(house: Tenant) -> Key:
    return house.make_key(house.make_role("Client of the shelf", READ, CREATE))


@pytest.fixture(scope="module")
def independent() -> Iterator[IssuerProcess]:
    with issuer_process() as found:
        yield found


class TestAuthlib:
    @pytest.fixture(params=["client_secret_basic", "client_secret_post"])
    def client(self, request: pytest.FixtureRequest, key: Key, metadata: dict[str, str]) -> Iterator[OAuth2Client]:
        with OAuth2Client(
            key.id,
            key.text,
            token_endpoint_auth_method=request.param,
            revocation_endpoint_auth_method=request.param,
            grant_type="client_credentials",
            token_endpoint=metadata["token_endpoint"],
        ) as client:
            yield client

    def test_it_gets_a_token_and_uses_it(
        self, client: OAuth2Client, house: Tenant, metadata: dict[str, str], key: Key
    ) -> None:
        token = client.fetch_token(scope=READ)
        assert (token["token_type"], token["scope"], token["expires_in"]) == ("Bearer", READ, 900)
        answer = client.get(metadata["issuer"] + TRANSACTIONS)
        assert answer.status_code == 200
        record = house.record(request_id(answer))
        assert record is not None
        assert (record["key_id"], record["token_id"] is not None) == (key.id, True)

    def test_it_looks_at_it_and_ends_it(self, client: OAuth2Client, metadata: dict[str, str]) -> None:
        text = client.fetch_token()["access_token"]
        endpoint = metadata["introspection_endpoint"]
        assert client.introspect_token(endpoint, token=text).json()["active"] is True
        assert client.revoke_token(metadata["revocation_endpoint"], token=text).status_code == 200
        assert client.introspect_token(endpoint, token=text).json() == {"active": False}
        assert client.get(metadata["issuer"] + TRANSACTIONS).status_code == 401

    def test_it_understands_a_refusal(self, key: Key, metadata: dict[str, str]) -> None:
        with OAuth2Client(key.id, key.text, token_endpoint=metadata["token_endpoint"]) as client:
            with pytest.raises(Exception, match="invalid_scope"):
                client.fetch_token(grant_type="client_credentials", scope="access.roles.create")
            client.client_secret = "wrong"
            with pytest.raises(Exception, match="invalid_client"):
                client.fetch_token(grant_type="client_credentials")


@pytest.fixture(scope="module", params=["EdDSA", "ES256", "RS256"])
def algorithm(request: pytest.FixtureRequest, trusting: Server, anyone: httpx.Client, key: Key) -> str:
    """The one that signs; the server begins with the first."""
    algorithm: str = request.param
    if algorithm != "EdDSA":
        hatchpay(trusting.data_dir, "signing-keys", "rotate", "--algorithm", algorithm, "--publish-for", "0")
        time.sleep(0.25)
    return algorithm


@pytest.fixture(scope="module")
def token(algorithm: str, anyone: httpx.Client, key: Key) -> str:
    return token_for(anyone, key)


class TestVerifiers:
    """Our tokens, verified by others with nothing but what we publish."""

    def test_pyjwt(self, algorithm: str, token: str, metadata: dict[str, str], house: Tenant, key: Key) -> None:
        signing_key = jwt.PyJWKClient(metadata["jwks_uri"]).get_signing_key_from_jwt(token)
        url = metadata["issuer"]
        required = ["iss", "aud", "sub", "exp", "iat", "jti"]
        claims = jwt.decode(
            token, signing_key, [algorithm], audience=url, issuer=url, options={"require": required, "verify_sub": True}
        )
        assert (claims["sub"], claims["tenant"]) == (key.id, house.id)
        header = jwt.get_unverified_header(token)
        assert (header["typ"], header["alg"]) == ("at+jwt", algorithm)
        with pytest.raises(jwt.InvalidAudienceError):
            jwt.decode(token, signing_key, [algorithm], audience="https://else.test", issuer=url)
        with pytest.raises(jwt.InvalidSignatureError):
            jwt.decode(_tampered(token), signing_key, [algorithm], audience=url, issuer=url)

    # RFC 9864 would rather have it called Ed25519.
    @pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
    def test_joserfc(self, algorithm: str, token: str, metadata: dict[str, str], key: Key) -> None:
        keys = joserfc.jwk.KeySet.import_key_set(httpx.get(metadata["jwks_uri"]).json())
        url = metadata["issuer"]
        decoded = joserfc.jwt.decode(token, keys, algorithms=[algorithm])
        assert decoded.header["typ"] == "at+jwt"
        registry = joserfc.jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": url}, aud={"essential": True, "value": url}, exp={"essential": True}
        )
        registry.validate(decoded.claims)
        assert decoded.claims["client_id"] == key.id

    def test_and_we_ourselves(self, token: str, anyone: httpx.Client) -> None:
        assert anyone.get(TRANSACTIONS, headers=bearer(token)).status_code == 200


def test_a_token_of_the_key_before_counts_until_it_ends(anyone: httpx.Client, trusting: Server, key: Key) -> None:
    old = token_for(anyone, key)
    hatchpay(trusting.data_dir, "signing-keys", "rotate", "--publish-for", "0")
    time.sleep(0.25)
    new = token_for(anyone, key)
    assert jwt.get_unverified_header(old)["kid"] != jwt.get_unverified_header(new)["kid"]
    for token in (old, new):
        assert anyone.get(TRANSACTIONS, headers=bearer(token)).status_code == 200


class TestIndependentIssuer:
    """One call is all that it takes."""

    def accepted(self, anyone: httpx.Client, tenant: Tenant, issuer: IssuerProcess, wanted: dict[str, object]) -> None:
        token = issuer.token(sub="u-1", scope=READ)
        assert problem_of(anyone.get(TRANSACTIONS, headers=bearer(token)))["code"] == "invalid_token"
        made = tenant.client.post(ISSUERS, json=wanted)
        assert made.status_code == 201, made.text
        for text in (token, issuer.token(sub="u-1", scope=READ, extra="1")):
            answer = anyone.get(TRANSACTIONS, headers=bearer(text))
            assert answer.status_code == 200
            record = tenant.record(request_id(answer))
            assert record is not None
            assert (record["principal_id"], record["issuer_id"]) == ("user:u-1", made.json()["id"])
        assert tenant.client.delete(f"{ISSUERS}/{made.json()['id']}").status_code == 204

    def test_found_by_discovery(self, anyone: httpx.Client, house: Tenant, independent: IssuerProcess) -> None:
        wanted = {"issuer": independent.url, "audience": independent.audience, "ceiling": [READ]}
        self.accepted(anyone, house, independent, {**wanted, "claims": {"permissions": "scope"}})

    def test_or_by_the_address_of_its_keys(
        self, anyone: httpx.Client, house: Tenant, independent: IssuerProcess
    ) -> None:
        wanted = {"issuer": independent.url, "audience": independent.audience, "ceiling": [READ]}
        wanted |= {"jwks_url": independent.jwks_url, "algorithms": ["ES256"]}
        self.accepted(anyone, house, independent, {**wanted, "claims": {"permissions": "scope"}})


def _tampered(token: str) -> str:
    head, claims, signature = token.split(".")
    other = "A" if signature[0] != "A" else "B"
    return f"{head}.{claims}.{other}{signature[1:]}"
