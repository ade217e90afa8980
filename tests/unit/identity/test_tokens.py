"""Every answer that a token can get, and what is kept of it, against a real directory's snapshots and a clock that
stands still.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_network

import msgspec
import pytest
from jwt.api_jws import PyJWS
from rich.pretty import pretty_repr
from tests.support.directory import HOUR, KEEP_S, MAPPING, SECOND, SERVED, START, URL, World, fresh_directory
from tests.support.issuer import FakeIssuer

from hatchpay.access.permission import Permission
from hatchpay.admin.token_views import IssuerChanges
from hatchpay.admin.views import Actor, KeyChanges, Onboarded, RoleDraft
from hatchpay.errors import InvalidToken
from hatchpay.identity import tokens
from hatchpay.identity.authenticator import Authenticated, Invalid, NotMine, Unsettled
from hatchpay.identity.principal import Limits
from hatchpay.ids import new_id
from hatchpay.tokens import jws

READ, CREATE, CUSTOMERS = "shop.orders.read", "shop.orders.create", "shop.customers.read"


@pytest.fixture
def world() -> Iterator[World]:
    world = World(fresh_directory())
    world.begin_tokens()
    yield world
    world.close()


@pytest.fixture
def demo(world: World) -> Onboarded:
    return world.onboard("Demo")


@pytest.fixture
def admin(world: World, demo: Onboarded) -> Actor:
    return world.admin(demo)


@pytest.fixture
def token(world: World, demo: Onboarded) -> str:
    """Of ours, for the first key of the tenant Demo; it lives 900 s."""
    return world.token(demo.api_key.key)


@pytest.fixture
def issuer(world: World, admin: Actor) -> FakeIssuer:
    """Trusted by the tenant Demo, for reading and creating orders; its tokens live 600 s."""
    issuer = world.issuer()
    world.trust(admin, issuer, READ, CREATE)
    return issuer


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The algorithm of each signature that is verified from now on."""
    verified: list[str] = []
    check = jws.check

    def counted(compact: jws.Compact, *rest: object) -> None:
        verified.append(compact.algorithm)
        check(compact, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(jws, "check", counted)
    return verified


def refused(world: World, credential: str) -> Invalid:
    outcome = world.ask(credential)
    assert isinstance(outcome, Invalid), outcome
    assert outcome.public == "invalid_token"
    return outcome


def reason(world: World, credential: str) -> str:
    return refused(world, credential).reason


def grants(world: World, credential: str) -> set[str]:
    return set(world.proven(credential).principal.grants)


def own(world: World, demo: Onboarded, typ: str = "at+jwt", **changes: object) -> str:
    """A token that is signed by our key and is as we write it, but for some changes; None leaves a claim out."""
    now = world.clock.now // SECOND
    claims = {
        "iss": URL,
        "aud": URL,
        "sub": demo.api_key.view.id,
        "client_id": demo.api_key.view.id,
        "iat": now,
        "exp": now + 900,
        "jti": new_id(),
        "tenant": demo.tenant.id,
        "business_units": None,
        "roles": ["admin"],
        "permissions": [READ],
        "secret_version": 1,
    }
    changed = {name: value for name, value in {**claims, **changes}.items() if value != "absent"}
    return world.signer.key().sign(changed, typ)


def only_issuer(world: World, actor: Actor) -> str:
    return world.issuers.list(actor).data[0].id


class TestWhoCalls:
    @pytest.mark.parametrize("credential", ["", "hp_live_x", "a", "not a token"])
    def test_a_text_without_a_dot_is_another_schemes(self, world: World, credential: str) -> None:
        assert isinstance(world.token_authenticator.authenticate(credential), NotMine)

    @pytest.mark.parametrize(
        "credential", [".", "..", "a.b", "a.b.c", "a.b.c.d", "é.é.é", "\ud800..", "a.b.c x", "." * 20_000, "\x00.\x00."]
    )
    def test_a_text_with_dots_that_is_no_token_is_refused_and_is_nobodys(self, world: World, credential: str) -> None:
        assert refused(world, credential).claimed is None

    @pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
    def test_a_token_of_ours_is_its_key(self, world: World, demo: Onboarded, algorithm: str) -> None:
        world.clock.now += 1
        world.signing_keys.rotate(world.local(), algorithm, publish_for_s=0)  # type: ignore[arg-type]
        token = world.token(demo.api_key.key)

        proven = world.proven(token)

        assert jws.parse(token).algorithm == algorithm

        principal = proven.principal
        assert (principal.id, principal.kind, principal.tenant_id) == (demo.api_key.view.id, "api_key", demo.tenant.id)
        assert principal.roles == ("admin",)
        assert proven.secret_version == 1
        assert proven.ends_us == START + 900 * SECOND
        assert principal.token is not None
        assert principal.token.issued_us == (START + 1) // SECOND * SECOND

    @pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256", "PS256"])
    def test_a_token_of_a_trusted_issuer_is_a_user(self, world: World, admin: Actor, algorithm: str) -> None:
        issuer = world.issuer("https://id.test", algorithm)
        view = world.trust(admin, issuer, READ, CREATE)

        proven = world.proven(issuer.token(sub="ada", permissions=[READ, CUSTOMERS], jti="x"))

        principal = proven.principal
        assert (principal.id, principal.kind, principal.key_id) == ("user:ada", "user", None)
        assert (principal.tenant_id, principal.issuer_id) == (admin.principal.tenant_id, view.id)
        assert principal.grants == {READ: "claim:permissions"}
        assert principal.limits == Limits()
        assert (proven.secret_version, proven.ends_us) == (None, START + 600 * SECOND)
        assert principal.token is not None
        assert (principal.token.id, principal.token.issued_us) == ("x", START)

    def test_a_token_of_an_issuer_need_not_say_when_it_was_issued(self, world: World, issuer: FakeIssuer) -> None:
        old = world.proven(issuer.token(iat=START // SECOND - 60)).principal.token
        assert old is not None and old.issued_us == START - 60 * SECOND
        unknown = world.proven(issuer.token(iat=None)).principal.token
        assert unknown is not None and unknown.issued_us is None

    def test_the_roles_that_an_issuer_names_are_the_tenants(
        self, world: World, admin: Actor, issuer: FakeIssuer
    ) -> None:
        world.role(admin, "buyer", READ, CREATE, CUSTOMERS)
        other = world.admin(world.onboard("Other"))
        world.role(other, "theirs", READ)

        principal = world.proven(issuer.token(roles=["buyer", "theirs", "nobody's", "buyer"])).principal

        assert principal.roles == ("buyer",)
        assert principal.grants == {READ: "role:buyer", CREATE: "role:buyer"}

    def test_the_units_that_an_issuer_names_are_the_users_limits(self, world: World, admin: Actor) -> None:
        unit, issuer = world.units.create(admin, "Zurich", "Europe/Zurich").id, world.issuer()
        world.trust(admin, issuer, READ, claims=msgspec.structs.replace(MAPPING, business_units="units"))

        assert world.proven(issuer.token(units=[unit])).principal.business_unit_ids == {unit}
        assert reason(world, issuer.token()) == "token_business_units_missing"

    @pytest.mark.parametrize("typ", [None, "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
    def test_an_issuers_token_may_be_of_these_types(self, world: World, issuer: FakeIssuer, typ: str | None) -> None:
        assert world.proven(issuer.token(header={"typ": typ}))

    @pytest.mark.parametrize("audience", [["https://api.test"], ["https://api.test", "https://else.test"]])
    def test_one_of_a_tokens_audiences_is_enough(self, world: World, issuer: FakeIssuer, audience: list[str]) -> None:
        assert world.proven(issuer.token(aud=audience))

    def test_an_issuer_may_name_the_tenant_as_well(self, world: World, admin: Actor, issuer: FakeIssuer) -> None:
        assert world.proven(issuer.token(tenant=admin.principal.tenant_id))
        assert world.proven(issuer.token(tenant="acme-gmbh"))

    @pytest.mark.parametrize("token_id", [7, "x" * 257, "a\nb", ["a"]])
    def test_an_odd_id_of_an_issuers_token_is_not_kept(
        self, world: World, issuer: FakeIssuer, token_id: object
    ) -> None:
        use = world.proven(issuer.token(jti=token_id)).principal.token
        assert use is not None
        assert use.id is None


class TestRefusalsOfOurOwn:
    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"aud": "https://api.test"}, "token_audience_wrong"),
            ({"aud": "absent"}, "token_audience_missing"),
            ({"exp": START // SECOND}, "token_expired"),
            ({"exp": "absent"}, "token_expiry_missing"),
            ({"nbf": START // SECOND + 61}, "token_not_yet_valid"),
            ({"iat": START // SECOND + 61}, "token_issued_in_future"),
            ({"client_id": "someone"}, "token_claim_invalid"),
            ({"secret_version": "absent"}, "token_claim_invalid"),
            ({"permissions": "a b"}, "token_claim_invalid"),
            ({"client_id": "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"}, "token_client_unknown"),
            ({"tenant": "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"}, "token_tenant_wrong"),
            ({"secret_version": 2}, "token_key_ended"),
            ({"user_issuer": "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"}, "token_issuer_unknown"),
        ],
    )
    def test_a_claim_that_is_not_as_we_write_it(
        self, world: World, demo: Onboarded, changes: dict[str, object], code: str
    ) -> None:
        assert world.proven(own(world, demo))
        assert reason(world, own(world, demo, **changes)) == code

    @pytest.mark.parametrize("typ", ["JWT", "dpop+jwt", "at+jwt ", ""])
    def test_another_type(self, world: World, demo: Onboarded, typ: str) -> None:
        assert reason(world, own(world, demo, typ)) == "token_type_wrong"

    def test_a_signature_over_something_else(self, world: World, demo: Onboarded) -> None:
        first, second = own(world, demo).split("."), own(world, demo).split(".")
        assert reason(world, ".".join([*first[:2], second[2]])) == "token_signature_invalid"

    def test_a_key_that_is_not_ours_is_never_asked_for(self, world: World, demo: Onboarded) -> None:
        """Our keys are in the snapshot: whoever knows none of them has none."""
        forger = world.issuer(URL)
        world.keys_wait = lambda: pytest.fail("nobody waits")
        forged = forger.token(aud=URL, client_id=demo.api_key.view.id, header={"typ": "at+jwt"})
        assert reason(world, forged) == "token_kid_unknown"
        assert world.wanted == []

    def test_a_forgery_under_the_kid_of_ours(self, world: World, demo: Onboarded) -> None:
        forger = world.issuer(URL)
        kid = world.signing_keys.list()[0].kid
        forged = forger.token(aud=URL, client_id=demo.api_key.view.id, header={"typ": "at+jwt", "kid": kid})
        assert reason(world, forged) == "token_signature_invalid"

    def test_hmac_with_our_public_key(self, world: World, demo: Onboarded) -> None:
        (key,) = world.snapshots.current.trust.own.values()
        payload = json.dumps({"iss": URL, "aud": URL, "exp": START // SECOND + 60}).encode()
        secret = key.public_jwk["x"]
        forged = PyJWS().encode(payload, secret, "HS256", {"kid": key.kid, "typ": "at+jwt"})
        assert reason(world, forged) == "token_algorithm_hmac"

    def test_an_end_of_its_key_by_state(self, world: World, admin: Actor) -> None:
        key = world.key(admin, world.role_id(admin, "viewer"))
        token = world.token(key.key)
        world.keys.update(admin, key.view.id, KeyChanges(status="disabled"))
        assert reason(world, token) == "token_key_disabled"
        world.keys.delete(admin, key.view.id)
        assert reason(world, token) == "token_key_deleted"

    def test_an_end_of_its_key_by_the_clock(self, world: World, admin: Actor) -> None:
        key = world.key(admin, world.role_id(admin, "viewer"), expires_at_us=START + HOUR)
        text = world.token(key.key, expires_in=7200)
        world.clock.now = START + HOUR - 1
        assert world.proven(text).ends_us == START + HOUR
        world.clock.now = START + HOUR
        assert reason(world, text) == "token_expired"

    def test_a_url_that_is_served_no_more(self, world: World, token: str) -> None:
        with world.directory.transaction() as transaction:
            for number in range(64):
                transaction.serve_url(f"https://{number}.test", START + 1)
        assert reason(world, token) == "token_issuer_unknown"


class TestRefusalsOfOthers:
    def test_an_issuer_that_nobody_trusts(self, world: World, issuer: FakeIssuer) -> None:
        assert reason(world, world.issuer("https://id.test/").token()) == "token_issuer_unknown"
        assert reason(world, issuer.token(iss="https://ID.test")) == "token_issuer_unknown"

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"iss": 7}, "token_issuer_invalid"),
            ({"iss": None}, "token_issuer_missing"),
            ({"aud": "https://else.test"}, "token_audience_wrong"),
            ({"aud": URL}, "token_audience_wrong"),
            ({"aud": None}, "token_audience_missing"),
            ({"aud": [7]}, "token_audience_invalid"),
            ({"exp": START // SECOND}, "token_expired"),
            ({"exp": START // SECOND - 30}, "token_expired"),
            ({"exp": True}, "token_expiry_invalid"),
            ({"nbf": START // SECOND + 61}, "token_not_yet_valid"),
            ({"tenant": "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"}, "token_tenant_wrong"),
            ({"sub": None}, "token_user_missing"),
            ({"sub": 7}, "token_user_missing"),
            ({"roles": {"a": 1}}, "token_claim_invalid"),
            ({"permissions": [7]}, "token_claim_invalid"),
        ],
    )
    def test_a_claim(self, world: World, issuer: FakeIssuer, changes: dict[str, object], code: str) -> None:
        assert reason(world, issuer.token(**changes)) == code

    @pytest.mark.parametrize("typ", ["dpop+jwt", "secevent+jwt", "logout+jwt", "id+jwt"])
    def test_a_token_that_is_meant_for_something_else(self, world: World, issuer: FakeIssuer, typ: str) -> None:
        assert reason(world, issuer.token(header={"typ": typ})) == "token_type_wrong"

    def test_audiences_that_mean_two_tenants(self, world: World, issuer: FakeIssuer) -> None:
        """One issuer, trusted by two tenants for different audiences: a newcomer changes no token's meaning."""
        other = world.admin(world.onboard("Other"))
        world.trust(other, issuer, READ, audience="https://other.test")

        assert world.proven(issuer.token()).principal.tenant_id != other.principal.tenant_id
        assert world.proven(issuer.token(aud="https://other.test")).principal.tenant_id == other.principal.tenant_id
        first = world.proven(issuer.token()).principal.tenant_id
        for both in (["https://api.test", "https://other.test"], ["https://other.test", "https://api.test"]):
            assert world.proven(issuer.token(aud=both)).principal.tenant_id == first

    def test_a_failure_is_told_to_whom_the_issuer_is_trusted_by_whatever_key_it_names(
        self, world: World, admin: Actor, issuer: FakeIssuer
    ) -> None:
        other = world.onboard("Another")
        claimed = world.token_authenticator.claimed(issuer.token(client_id=other.api_key.view.id))
        assert claimed is not None
        assert (claimed.tenant_id, claimed.key_id) == (admin.principal.tenant_id, None)

    def test_audiences_that_mean_two_entries_of_one_tenant(
        self, world: World, admin: Actor, issuer: FakeIssuer
    ) -> None:
        world.trust(admin, issuer, READ, audience="https://second.test")
        assert (
            reason(world, issuer.token(aud=["https://api.test", "https://second.test"])) == "token_audience_ambiguous"
        )

    def test_a_token_that_is_bound_to_a_key_of_its_holder(self, world: World, issuer: FakeIssuer) -> None:
        assert reason(world, issuer.token(cnf={"jkt": "x"})) == "token_sender_constrained"

    def test_an_issuer_that_is_disabled_or_deleted(self, world: World, admin: Actor, issuer: FakeIssuer) -> None:
        issuer_id = only_issuer(world, admin)
        world.issuers.update(admin, issuer_id, IssuerChanges(status="disabled"))
        assert reason(world, issuer.token()) == "token_issuer_disabled"
        world.issuers.update(admin, issuer_id, IssuerChanges(status="enabled"))
        assert world.proven(issuer.token())
        world.issuers.delete(admin, issuer_id)
        assert reason(world, issuer.token()) == "token_issuer_unknown"

    def test_keys_that_are_too_old_to_be_believed(self, world: World, issuer: FakeIssuer) -> None:
        world.clock.now = START + KEEP_S * SECOND - 1
        kept = issuer.token()
        proven = world.proven(kept)
        assert proven.ends_us == START + KEEP_S * SECOND
        world.clock.now += 1
        assert reason(world, issuer.token()) == "token_issuer_stale"
        assert reason(world, kept) == "token_issuer_stale"

    def test_an_algorithm_that_is_not_allowed(self, world: World, admin: Actor) -> None:
        issuer = world.issuer("https://id.test", "EdDSA", "RS256")
        world.trust(admin, issuer, READ, algorithms=("EdDSA", "PS256"))
        assert world.proven(issuer.token())
        assert reason(world, issuer.token(signed_with="RS256")) == "token_algorithm_not_allowed"

    def test_hmac_with_a_public_key(self, world: World, admin: Actor) -> None:
        """Refused as HMAC, which no issuer may ever use, whatever else is wrong with it."""
        issuer = world.issuer("https://id.test", "RS256")
        world.trust(admin, issuer, READ)
        forged = PyJWS().encode(
            json.dumps(issuer.claims()).encode(), issuer.public_jwk("RS256")["n"], "HS256", {"kid": issuer.kid()}
        )
        assert reason(world, forged) == "token_algorithm_hmac"

    def test_a_kid_of_another_issuer(self, world: World, admin: Actor, issuer: FakeIssuer) -> None:
        """Two issuers have a key of the same kid, and neither speaks for the other."""
        beside = world.issuer("https://beside.test")
        world.trust(admin, beside, READ)
        assert issuer.kid() == beside.kid() == "EdDSA-1"

        assert world.proven(issuer.token()).principal.issuer_id != world.proven(beside.token()).principal.issuer_id
        assert reason(world, beside.token(iss=issuer.url)) == "token_signature_invalid"
        assert reason(world, issuer.token(iss=beside.url)) == "token_signature_invalid"

    def test_a_kid_of_another_tenants_entry_for_the_same_issuer(self, world: World, issuer: FakeIssuer) -> None:
        """Another tenant says that it trusts the same issuer, with keys of its own making."""
        other = world.admin(world.onboard("Other"))
        forger = world.issuer(issuer.url, audience="https://other.test")
        world.trust(other, forger, READ)

        assert reason(world, forger.token(aud="https://api.test")) == "token_signature_invalid"
        assert world.proven(forger.token()).principal.tenant_id == other.principal.tenant_id

    def test_an_issuer_that_publishes_our_url_as_its_own(self, world: World, admin: Actor, issuer: FakeIssuer) -> None:
        assert reason(world, issuer.token(iss=URL, aud=URL, header={"typ": "at+jwt"})) == "token_kid_unknown"
        assert world.wanted == []


class TestUnknownKeys:
    def test_a_kid_that_is_unknown_is_worth_a_wait_where_a_fetch_is_due(
        self, world: World, admin: Actor, issuer: FakeIssuer
    ) -> None:
        async def wait() -> None:
            """Nothing to wait for here."""

        issuer.rotate()
        world.keys_wait = wait

        outcome = world.ask(issuer.token())

        assert isinstance(outcome, Unsettled)
        assert outcome.wait is wait
        assert outcome.invalid.reason == "token_kid_unknown"
        assert world.wanted == [only_issuer(world, admin)]

    def test_a_kid_that_is_unknown_is_refused_where_none_is_due(self, world: World, issuer: FakeIssuer) -> None:
        issuer.rotate()
        assert reason(world, issuer.token()) == "token_kid_unknown"

    def test_keys_that_were_never_known_are_wanted_too(self, world: World, admin: Actor, issuer: FakeIssuer) -> None:
        issuer_id = only_issuer(world, admin)
        with world.directory.transaction() as transaction:
            (row,) = transaction.load_issuers([issuer_id])
            transaction.save_issuer_keys(issuer_id, type(row.keys)())
        assert reason(world, issuer.token()) == "token_kid_unknown"
        assert world.wanted == [issuer_id]

    def test_once_the_keys_are_there_the_token_is_good(self, world: World, admin: Actor, issuer: FakeIssuer) -> None:
        issuer.rotate()
        token = issuer.token()
        assert reason(world, token) == "token_kid_unknown"
        world.clock.now += 60 * SECOND
        assert world.issuer_keys.refresh(only_issuer(world, admin), asked=True)
        assert world.proven(token)

    @pytest.mark.parametrize(
        ("header", "claims"),
        [({}, {"aud": "https://else.test"}), ({}, {"iss": "https://else.test"}), ({"typ": "dpop+jwt"}, {})],
    )
    def test_nobody_is_asked_for_keys_by_a_token_that_would_be_refused_anyway(
        self, world: World, issuer: FakeIssuer, header: dict[str, object], claims: dict[str, object]
    ) -> None:
        issuer.rotate()
        reason(world, issuer.token(header=header, **claims))
        assert world.wanted == []

    def test_nobody_is_asked_for_keys_of_a_disabled_issuer(
        self, world: World, admin: Actor, issuer: FakeIssuer
    ) -> None:
        world.issuers.update(admin, only_issuer(world, admin), IssuerChanges(status="disabled"))
        issuer.rotate()
        assert reason(world, issuer.token()) == "token_issuer_disabled"
        assert world.wanted == []


class TestWhatIsKept:
    def test_a_token_is_verified_once(self, world: World, token: str, issuer: FakeIssuer, checks: list[str]) -> None:
        theirs = issuer.token()
        first = [world.proven(token), world.proven(theirs)]
        again = [world.proven(token), world.proven(theirs)]
        assert len(checks) == 2
        assert [one is other for one, other in zip(first, again, strict=True)] == [True, True]

    def test_a_new_snapshot_renews_it_without_verifying_it_again(
        self, world: World, admin: Actor, token: str, issuer: FakeIssuer, checks: list[str]
    ) -> None:
        theirs = issuer.token(roles=["viewer"])
        before = [world.proven(token), world.proven(theirs)]
        generation = world.snapshots.current.generation
        world.key(admin, world.role_id(admin, "viewer"))
        world.trust(admin, world.issuer("https://unrelated.test"), READ)
        world.signing_keys.rotate(world.local())

        assert [world.proven(token), world.proven(theirs)] == before

        assert world.snapshots.current.generation > generation
        assert len(checks) == 2

    def test_a_refusal_is_not_kept(self, world: World, admin: Actor, checks: list[str]) -> None:
        key = world.key(admin, world.role_id(admin, "viewer"))
        token = world.token(key.key)
        world.keys.update(admin, key.view.id, KeyChanges(status="disabled"))
        assert [reason(world, token) for _ in range(3)] == ["token_key_disabled"] * 3
        assert world.token_authenticator._kept == {}
        world.keys.update(admin, key.view.id, KeyChanges(status="enabled"))
        assert world.proven(token)

    def test_another_text_of_the_same_claims_is_verified_for_itself(
        self, world: World, token: str, checks: list[str]
    ) -> None:
        world.proven(token)
        head, payload, signature = token.split(".")
        other = "A" if signature[10] != "A" else "B"
        assert reason(world, f"{head}.{payload}.{signature[:10]}{other}{signature[11:]}") == "token_signature_invalid"
        assert len(checks) == 2

    def test_it_is_bounded_and_the_oldest_goes_first(
        self, world: World, demo: Onboarded, monkeypatch: pytest.MonkeyPatch, checks: list[str]
    ) -> None:
        monkeypatch.setattr(tokens, "_CACHE_BOUND", 2)
        one, two, three = (world.token(demo.api_key.key) for _ in range(3))
        for text in (one, two, three):
            world.proven(text)
        assert len(world.token_authenticator._kept) == 2
        world.proven(three)
        world.proven(two)
        assert len(checks) == 3
        world.proven(one)
        assert len(checks) == 4
        assert len(world.token_authenticator._kept) == 2

    def test_it_holds_no_token(self, world: World, token: str) -> None:
        world.proven(token)
        shown = repr(world.token_authenticator._kept) + pretty_repr(world.token_authenticator._kept)
        assert token.rpartition(".")[2] not in shown
        assert token not in shown


class TestWhatEndsWhatIsKept:
    """Each token was let in a moment before, so that only a change can end it."""

    def test_revocation(self, world: World, demo: Onboarded, admin: Actor, token: str) -> None:
        world.proven(token)
        world.tokens.revoke(admin, world.token_authenticator.own_claims(token))
        assert reason(world, token) == "token_revoked"
        assert world.proven(world.token(demo.api_key.key))

    @pytest.mark.parametrize("state", ["disabled", "deleted"])
    def test_the_end_of_the_key(self, world: World, admin: Actor, state: str) -> None:
        key = world.key(admin, world.role_id(admin, "viewer"))
        token = world.token(key.key)
        world.proven(token)
        if state == "disabled":
            world.keys.update(admin, key.view.id, KeyChanges(status="disabled"))
        else:
            world.keys.delete(admin, key.view.id)
        assert reason(world, token) == f"token_key_{state}"

    def test_a_rotation_without_grace(self, world: World, admin: Actor) -> None:
        key = world.key(admin, world.role_id(admin, "viewer"))
        token = world.token(key.key)
        world.proven(token)
        rotated = world.keys.rotate(admin, key.view.id)
        assert reason(world, token) == "token_key_ended"
        assert world.proven(world.token(rotated.key)).secret_version == 2

    def test_the_end_of_grace_by_the_clock(self, world: World, admin: Actor) -> None:
        key = world.key(admin, world.role_id(admin, "viewer"))
        token = world.token(key.key)
        world.proven(token)
        world.keys.rotate(admin, key.view.id, 60)
        assert world.proven(token).ends_us == START + 60 * SECOND
        world.clock.now = START + 60 * SECOND - 1
        assert world.proven(token)
        world.clock.now += 1
        assert reason(world, token) == "token_key_ended"

    def test_the_end_of_grace_by_hand(self, world: World, admin: Actor) -> None:
        key = world.key(admin, world.role_id(admin, "viewer"))
        token = world.token(key.key)
        world.keys.rotate(admin, key.view.id, 3600)
        world.proven(token)
        world.keys.end_grace(admin, key.view.id)
        assert reason(world, token) == "token_key_ended"

    def test_an_expiry_of_the_key_that_was_set_since(self, world: World, admin: Actor) -> None:
        key = world.key(admin, world.role_id(admin, "viewer"))
        token = world.token(key.key)
        world.proven(token)
        world.keys.update(admin, key.view.id, KeyChanges(expires_at_us=START + 5))
        assert world.proven(token).ends_us == START + 5
        world.clock.now = START + 5
        assert reason(world, token) == "token_key_ended"

    def test_a_role_that_was_detached(self, world: World, admin: Actor) -> None:
        key = world.key(admin, world.role(admin, "one", READ).id, world.role(admin, "two", CREATE).id)
        token = world.token(key.key)
        assert grants(world, token) == {READ, CREATE}
        world.keys.set_roles(admin, key.view.id, (world.role_id(admin, "one"),))
        assert grants(world, token) == {READ}

    def test_a_permission_that_was_taken_from_a_role(self, world: World, admin: Actor) -> None:
        role = world.role(admin, "one", READ, CREATE)
        token = world.token(world.key(admin, role.id).key)
        assert grants(world, token) == {READ, CREATE}
        world.roles.update(admin, role.id, RoleDraft(name="one", permissions=(READ,)))
        assert grants(world, token) == {READ}

    def test_a_role_of_users_that_was_changed_renamed_or_deleted(
        self, world: World, admin: Actor, issuer: FakeIssuer
    ) -> None:
        role, token = world.role(admin, "buyer", READ, CREATE), issuer.token(roles=["buyer"])
        assert grants(world, token) == {READ, CREATE}
        world.roles.update(admin, role.id, RoleDraft(name="buyer", permissions=(READ,)))
        assert grants(world, token) == {READ}
        world.roles.update(admin, role.id, RoleDraft(name="shopper", permissions=(READ,)))
        assert grants(world, token) == set()
        world.roles.update(admin, role.id, RoleDraft(name="buyer", permissions=(READ,)))
        assert grants(world, token) == {READ}
        world.roles.delete(admin, role.id)
        assert grants(world, token) == set()

    def test_an_issuer_that_was_disabled(self, world: World, admin: Actor, issuer: FakeIssuer) -> None:
        token = issuer.token()
        world.proven(token)
        world.issuers.update(admin, only_issuer(world, admin), IssuerChanges(status="disabled"))
        assert reason(world, token) == "token_issuer_disabled"

    def test_an_issuer_that_was_deleted(self, world: World, admin: Actor, issuer: FakeIssuer) -> None:
        token = issuer.token()
        world.proven(token)
        world.issuers.delete(admin, only_issuer(world, admin))
        assert reason(world, token) == "token_issuer_unknown"

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            (IssuerChanges(audience="https://else.test"), "token_audience_wrong"),
            (IssuerChanges(algorithms=("ES256",)), "token_algorithm_not_allowed"),
            (IssuerChanges(claims=msgspec.structs.replace(MAPPING, user_id="uid")), "token_user_missing"),
        ],
    )
    def test_an_issuer_that_was_changed(
        self, world: World, admin: Actor, issuer: FakeIssuer, changes: IssuerChanges, code: str
    ) -> None:
        token = issuer.token()
        world.proven(token)
        world.issuers.update(admin, only_issuer(world, admin), changes)
        assert reason(world, token) == code

    def test_a_ceiling_that_was_lowered(self, world: World, admin: Actor, issuer: FakeIssuer) -> None:
        token = issuer.token(permissions=[READ, CREATE])
        assert grants(world, token) == {READ, CREATE}
        world.issuers.update(admin, only_issuer(world, admin), IssuerChanges(ceiling=(READ,)))
        assert grants(world, token) == {READ}

    def test_a_key_that_its_issuer_publishes_no_more(self, world: World, admin: Actor, issuer: FakeIssuer) -> None:
        token = issuer.token()
        world.proven(token)
        issuer.rotate()
        world.clock.now += 60 * SECOND
        world.issuer_keys.refresh(only_issuer(world, admin))
        assert reason(world, token) == "token_kid_unknown"

    def test_a_signing_key_that_was_retired(self, world: World, demo: Onboarded, token: str) -> None:
        world.proven(token)
        old = world.signing_keys.list()[0].kid
        world.signing_keys.rotate(world.local(), publish_for_s=0)
        world.clock.now += 1
        assert world.proven(token)
        world.signing_keys.retire(world.local(), old)
        assert reason(world, token) == "token_kid_unknown"
        assert world.proven(world.token(demo.api_key.key))

    def test_a_signing_key_whose_last_token_must_have_ended(
        self, world: World, demo: Onboarded, checks: list[str]
    ) -> None:
        """Whoever has got hold of an old key gains nothing by a token without end."""
        forged = own(world, demo, exp=START // SECOND + 10**6)
        assert world.proven(forged).ends_us == START + 10**6 * SECOND
        world.signing_keys.rotate(world.local(), publish_for_s=600)
        ends = START + 600 * SECOND + 12 * HOUR
        assert world.proven(forged).ends_us == ends
        world.clock.now = ends - 1
        assert world.proven(forged)
        assert len(checks) == 1
        world.clock.now = ends
        assert reason(world, forged) == "token_kid_unknown"

    def test_the_end_of_the_token(self, world: World, token: str, issuer: FakeIssuer) -> None:
        theirs = issuer.token()
        world.proven(token)
        world.proven(theirs)
        world.clock.now = START + 600 * SECOND
        assert world.proven(token)
        assert reason(world, theirs) == "token_expired"
        world.clock.now = START + 900 * SECOND - 1
        assert world.proven(token)
        world.clock.now += 1
        assert reason(world, token) == "token_expired"
        assert world.token_authenticator._kept == {}

    def test_the_end_of_the_token_is_not_forgotten_where_the_clock_goes_back(self, world: World, token: str) -> None:
        world.proven(token)
        world.clock.now += 900 * SECOND
        assert reason(world, token) == "token_expired"
        world.clock.now = START
        assert world.proven(token)


class TestWhatATokenMay:
    def test_the_scope_narrows_and_the_key_bounds(self, world: World, demo: Onboarded) -> None:
        assert grants(world, world.token(demo.api_key.key, f"{READ} {CREATE}")) == {READ, CREATE}
        assert grants(world, world.token(demo.api_key.key, "")) == set()

    def test_what_a_key_gains_later_its_token_does_not(self, world: World, admin: Actor) -> None:
        key = world.key(admin, world.role(admin, "one", READ).id)
        token = world.token(key.key)
        world.keys.set_roles(admin, key.view.id, (world.role_id(admin, "admin"),))
        assert grants(world, token) == {READ}

    def test_a_new_permission_of_the_api_is_in_no_older_token(self, world: World, token: str) -> None:
        world.directory.sync_permissions([*SERVED, Permission(name="shop.orders.cancel", description="Cancel")])
        assert "shop.orders.cancel" not in grants(world, token)

    def test_the_limits_of_the_key_as_they_are_now_are_the_tokens(self, world: World, admin: Actor) -> None:
        unit, other = (world.units.create(admin, name, "UTC").id for name in ("one", "two"))
        key = world.key(admin, world.role_id(admin, "viewer"), environment="test")
        token = world.token(key.key)
        assert world.proven(token).principal.limits == Limits("test")
        world.keys.update(
            admin,
            key.view.id,
            KeyChanges(business_unit_ids=(unit, other), allowed_cidrs=("192.0.2.0/24",), expires_at_us=START + HOUR),
        )
        assert world.proven(token).principal.limits == Limits(
            "test", frozenset({unit, other}), (ip_network("192.0.2.0/24"),), START + HOUR
        )

    def test_a_key_that_got_more_units_since_leaves_its_token_the_old_ones(self, world: World, admin: Actor) -> None:
        unit, other = (world.units.create(admin, name, "UTC").id for name in ("one", "two"))
        key = world.key(admin, world.role_id(admin, "viewer"), business_unit_ids=(unit,))
        token = world.token(key.key)
        world.keys.update(admin, key.view.id, KeyChanges(business_unit_ids=None))
        assert world.proven(token).principal.business_unit_ids == {unit}
        world.keys.update(admin, key.view.id, KeyChanges(business_unit_ids=(other,)))
        assert world.proven(token).principal.business_unit_ids == frozenset()


class TestAttribution:
    def test_a_failure_is_the_keys_that_the_token_names(self, world: World, demo: Onboarded, admin: Actor) -> None:
        token = own(world, demo, exp=1)
        world.snapshots.refresh()
        for text in (token, f"Bearer {token}", token[:-4] + "AAAA", f"x.y.z {token}"):
            claimed = world.token_authenticator.claimed(text)
            assert claimed is not None
            assert (claimed.id, claimed.tenant_id) == (demo.api_key.view.id, demo.tenant.id)
        assert refused(world, token).claimed == world.proven(demo.api_key.key).principal

    def test_a_failure_is_the_nameless_users_of_the_issuer_that_the_token_names(
        self, world: World, demo: Onboarded, issuer: FakeIssuer
    ) -> None:
        forged = world.issuer().token(sub="somebody else", exp=START // SECOND + 5)
        claimed = refused(world, forged).claimed
        assert claimed is not None
        assert (claimed.id, claimed.kind, claimed.tenant_id, claimed.grants) == ("user:", "user", demo.tenant.id, {})

    def test_a_token_of_a_disabled_issuer_is_still_told_to_its_tenant(
        self, world: World, demo: Onboarded, admin: Actor, issuer: FakeIssuer
    ) -> None:
        world.issuers.update(admin, only_issuer(world, admin), IssuerChanges(status="disabled"))
        claimed = refused(world, issuer.token()).claimed
        assert claimed is not None
        assert claimed.tenant_id == demo.tenant.id

    @pytest.mark.parametrize(
        "text",
        [
            "",
            ".",
            "..",
            "a.b.c",
            "e30.e30.",
            "\x00.\ud800.\uffff",
            "." * 16_384,
            "e30.e30.e30 " * 1000,
            "e30." + "A" * 20_000 + ".e30",
        ],
    )
    def test_no_text_makes_it_raise(self, world: World, issuer: FakeIssuer, text: str) -> None:
        assert world.token_authenticator.claimed(text) is None

    @pytest.mark.parametrize(
        "claims",
        [
            {"client_id": 7},
            {"client_id": "\u0661" * 36},
            {"client_id": ["x"]},
            {"client_id": "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", "iss": {"a": 1}},
            {"iss": "https://else.test"},
            {"aud": {}},
            {"aud": ["https://else.test"]},
        ],
    )
    def test_a_token_that_names_nobody_is_nobodys(
        self, world: World, issuer: FakeIssuer, claims: dict[str, object]
    ) -> None:
        assert world.token_authenticator.claimed(issuer.token(**{"aud": "https://none.test", **claims})) is None

    def test_only_the_first_few_tokens_of_a_text_are_looked_at(self, world: World, token: str) -> None:
        assert world.token_authenticator.claimed(f"{'e30.e30. ' * 3}{token}") is not None
        assert world.token_authenticator.claimed(f"{'e30.e30. ' * 4}{token}") is None


class TestOwnClaims:
    def test_they_are_read_whatever_has_become_of_the_key(self, world: World, admin: Actor) -> None:
        key = world.key(admin, world.role_id(admin, "viewer"))
        token = world.token(key.key)
        world.keys.delete(admin, key.view.id)
        world.snapshots.refresh()
        assert world.token_authenticator.own_claims(token).client_id == key.view.id

    def test_another_issuers_token_has_none(self, world: World, issuer: FakeIssuer) -> None:
        with pytest.raises(InvalidToken) as caught:
            world.token_authenticator.own_claims(issuer.token())
        assert caught.value.code == "token_issuer_unknown"

    def test_a_forged_or_ended_token_has_none(self, world: World, demo: Onboarded) -> None:
        forged = world.issuer(URL).token(aud=URL, header={"typ": "at+jwt"})
        for text, code in ((forged, "token_kid_unknown"), (own(world, demo, exp=1), "token_expired")):
            with pytest.raises(InvalidToken) as caught:
                world.token_authenticator.own_claims(text)
            assert caught.value.code == code


def test_no_outcome_shows_a_token(world: World, token: str, issuer: FakeIssuer) -> None:
    theirs = issuer.token()
    outcomes = [world.ask(token), world.ask(theirs), world.ask(theirs + "A"), world.ask(token[:-1])]
    assert isinstance(outcomes[0], Authenticated)
    for shown in [*map(repr, outcomes), *map(pretty_repr, outcomes), repr(world.token_authenticator)]:
        for text in (token, theirs):
            assert text.rpartition(".")[2] not in shown
            assert text.split(".")[1] not in shown
