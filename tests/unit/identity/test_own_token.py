"""Our own tokens, judged by what their key may now, against snapshots made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network

import msgspec
import pytest

from hatchpay.errors import InvalidToken
from hatchpay.identity.issuer import ClaimsMapping
from hatchpay.identity.own_token import OwnClaims, claims_of, judge
from hatchpay.identity.ports import IssuerEntry, KeyEntry, KeyState, SecretEntry, Snapshot, Trust
from hatchpay.identity.principal import Limits, Principal
from hatchpay.tokens.apikey import encode_id
from hatchpay.tokens.digest import Peppers

KEY_ID = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
TOKEN_ID = "017f22e2-79b0-7cc3-98c4-dc0c0c073990"
TENANT = "017f22e2-79b0-7cc3-98c4-dc0c0c073991"
ISSUER_ID = "017f22e2-79b0-7cc3-98c4-dc0c0c073992"
NOW = 1_790_000_000_000_000

WRITTEN: Mapping[str, object] = {
    "iss": "https://auth.test",
    "sub": KEY_ID,
    "client_id": KEY_ID,
    "jti": TOKEN_ID,
    "iat": NOW // 1_000_000,
    "tenant": TENANT,
    "secret_version": 1,
    "roles": ["buyer"],
    "permissions": ["a", "b"],
    "business_units": None,
}
CLAIMS = OwnClaims(
    sub=KEY_ID,
    client_id=KEY_ID,
    jti=TOKEN_ID,
    iat=NOW // 1_000_000,
    tenant=TENANT,
    secret_version=1,
    roles=("buyer",),
    permissions=frozenset({"a", "b"}),
    business_units=None,
)
OF_USER = msgspec.structs.replace(
    CLAIMS, sub="ada", user_issuer=ISSUER_ID, user_permissions=frozenset({"b"}), permissions=frozenset({"a", "b", "c"})
)


def claims(**changes: object) -> OwnClaims:
    return msgspec.structs.replace(CLAIMS, **changes)


def entry(
    *permissions: str,
    state: KeyState = "enabled",
    limits: Limits | None = None,
    secrets: tuple[SecretEntry, ...] = (SecretEntry(1, b"", 1, None),),
    tenant_id: str = TENANT,
) -> KeyEntry:
    grants = dict.fromkeys(permissions or ("a", "b", "c"), "role:buyer")
    return KeyEntry(
        Principal(KEY_ID, "api_key", tenant_id, KEY_ID, ("buyer",), grants, limits or Limits()), state, secrets
    )


def issuer(**changes: object) -> IssuerEntry:
    made = IssuerEntry(
        id=ISSUER_ID,
        tenant_id=TENANT,
        issuer="https://id.test",
        audience="https://api.test",
        jwks_url=None,
        algorithms=frozenset({"EdDSA"}),
        ceiling=frozenset({"a", "b", "c", "d"}),
        claims=ClaimsMapping(),
        enabled=True,
        keys=None,
        fetched_us=None,
        tried_us=None,
    )
    return msgspec.structs.replace(made, **changes)


def snapshot(found: KeyEntry | None, **trust: object) -> Snapshot:
    given = {"issuers": {ISSUER_ID: issuer()}, "roles": {(TENANT, "buyer"): frozenset({"a", "d"})}, **trust}
    keys = {} if found is None else {encode_id(KEY_ID): found}
    return Snapshot(1, keys, Peppers(1, {1: b"\x01" * 32}), Trust(**given))


def refusal(own: OwnClaims, state: Snapshot, now: int = NOW) -> str:
    with pytest.raises(InvalidToken) as caught:
        judge(own, state, now)
    return caught.value.code


def test_the_claims_that_we_write_are_read() -> None:
    assert claims_of(WRITTEN) == CLAIMS


@pytest.mark.parametrize("name", [name for name in WRITTEN if name != "iss"])
def test_none_of_the_claims_that_we_write_may_be_missing(name: str) -> None:
    with pytest.raises(InvalidToken) as caught:
        claims_of({other: value for other, value in WRITTEN.items() if other != name})
    assert caught.value.code == "token_claim_invalid"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "me"},
        {"client_id": KEY_ID.upper()},
        {"jti": "1"},
        {"tenant": ""},
        {"sub": 7},
        {"secret_version": "1"},
        {"secret_version": True},
        {"secret_version": None},
        {"roles": "buyer"},
        {"roles": [1]},
        {"permissions": "a b"},
        {"permissions": [None]},
        {"business_units": "x"},
        {"business_units": [7]},
        {"user_issuer": 7},
        {"user_permissions": "a"},
    ],
)
def test_claims_of_another_form_are_not_ours(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidToken) as caught:
        claims_of({**WRITTEN, **changes})
    assert caught.value.code == "token_claim_invalid"


def test_a_token_may_what_it_says_as_long_as_its_key_may() -> None:
    assert judge(CLAIMS, snapshot(entry("a", "b", "c")), NOW).principal.grants == {
        "a": "role:buyer",
        "b": "role:buyer",
    }
    assert judge(CLAIMS, snapshot(entry("b", "c")), NOW).principal.grants == {"b": "role:buyer"}
    assert judge(CLAIMS, snapshot(entry("c")), NOW).principal.grants == {}


def test_the_roles_that_the_token_names_give_nothing() -> None:
    """They are what the key held when the token was issued."""
    own = claims(roles=("admin",))
    assert judge(own, snapshot(entry("a"), roles={(TENANT, "admin"): frozenset({"b"})}), NOW).principal.grants == {
        "a": "role:buyer"
    }


def test_a_token_is_its_key_in_name() -> None:
    principal = judge(CLAIMS, snapshot(entry()), NOW).principal
    assert (principal.id, principal.kind, principal.key_id, principal.tenant_id) == (KEY_ID, "api_key", KEY_ID, TENANT)
    assert principal.token is not None
    assert (principal.token.id, principal.token.permissions, principal.token.secret_version) == (
        TOKEN_ID,
        {"a", "b"},
        1,
    )


def test_the_limits_of_the_key_are_the_tokens() -> None:
    limits = Limits("test", frozenset({"u", "v"}), (ip_network("192.0.2.0/24"),), NOW + 5)
    proven = judge(CLAIMS, snapshot(entry(limits=limits)), NOW)
    assert proven.principal.limits == limits
    assert proven.ends_us == NOW + 5


@pytest.mark.parametrize(
    ("of_key", "of_token", "units"),
    [
        (None, None, None),
        (None, {"u"}, {"u"}),
        ({"u"}, None, {"u"}),
        ({"u", "v"}, {"v", "w"}, {"v"}),
        ({"u"}, {"v"}, set()),
        ({"u"}, set(), set()),
        (None, set(), set()),
    ],
)
def test_only_the_units_of_both_key_and_token_are_left(
    of_key: set[str] | None, of_token: set[str] | None, units: set[str] | None
) -> None:
    limits = Limits(business_unit_ids=None if of_key is None else frozenset(of_key))
    own = claims(business_units=None if of_token is None else frozenset(of_token))
    assert judge(own, snapshot(entry(limits=limits)), NOW).principal.business_unit_ids == units


def test_a_revoked_token_is_over_whatever_else_there_is_to_say_of_it() -> None:
    assert refusal(CLAIMS, snapshot(None, revoked={TOKEN_ID: NOW + 1})) == "token_revoked"


def test_a_token_of_a_key_that_nobody_knows_is_refused() -> None:
    assert refusal(CLAIMS, snapshot(None)) == "token_client_unknown"


def test_a_token_that_names_another_tenant_than_its_keys_is_refused() -> None:
    assert refusal(CLAIMS, snapshot(entry(tenant_id=ISSUER_ID))) == "token_tenant_wrong"


@pytest.mark.parametrize(("state", "code"), [("deleted", "token_key_deleted"), ("disabled", "token_key_disabled")])
def test_a_token_ends_with_its_key(state: KeyState, code: str) -> None:
    assert refusal(CLAIMS, snapshot(entry(state=state))) == code


def test_a_token_ends_with_the_microsecond_in_which_its_key_does() -> None:
    state = snapshot(entry(limits=Limits(expires_at_us=NOW)))
    assert judge(CLAIMS, state, NOW - 1).ends_us == NOW
    assert refusal(CLAIMS, state, NOW) == "token_key_ended"


def test_a_token_ends_with_the_secret_that_it_came_from() -> None:
    newest, replaced = SecretEntry(2, b"", 1, None), SecretEntry(1, b"", 1, NOW)
    state = snapshot(entry(secrets=(newest, replaced)))
    assert judge(CLAIMS, state, NOW - 1).ends_us == NOW
    assert refusal(CLAIMS, state, NOW) == "token_key_ended"
    assert judge(claims(secret_version=2), state, NOW).ends_us is None


def test_a_token_ends_where_its_secret_is_forgotten() -> None:
    assert refusal(CLAIMS, snapshot(entry(secrets=(SecretEntry(2, b"", 1, None),)))) == "token_key_ended"


def test_of_key_and_secret_the_first_to_end_counts() -> None:
    secrets = (SecretEntry(2, b"", 1, None), SecretEntry(1, b"", 1, NOW + 3))
    for expires, ends in ((NOW + 9, NOW + 3), (NOW + 2, NOW + 2)):
        state = snapshot(entry(secrets=secrets, limits=Limits(expires_at_us=expires)))
        assert judge(CLAIMS, state, NOW).ends_us == ends


def test_a_user_through_a_key_may_what_user_key_and_token_may() -> None:
    """The user holds a and d by role, b by claim; the key a, b and c; the token says a, b and c."""
    principal = judge(OF_USER, snapshot(entry("a", "b", "c")), NOW).principal
    assert principal.grants == {"a": "role:buyer", "b": "claim:permissions"}
    assert (principal.id, principal.kind, principal.key_id) == ("user:ada", "user", KEY_ID)
    assert principal.issuer_id == ISSUER_ID


@pytest.mark.parametrize(
    ("key", "trust", "left"),
    [
        (("b",), {}, {"b"}),
        (("a", "b"), {"issuers": {ISSUER_ID: issuer(ceiling=frozenset({"a"}))}}, {"a"}),
        (("a", "b"), {"issuers": {ISSUER_ID: issuer(ceiling=frozenset())}}, set()),
        (("a", "b"), {"roles": {}}, {"b"}),
        (("a", "b"), {"roles": {(ISSUER_ID, "buyer"): frozenset({"a"})}}, {"b"}),
    ],
)
def test_what_any_of_them_has_lost_since_the_user_has_lost(
    key: tuple[str, ...], trust: dict[str, object], left: set[str]
) -> None:
    assert judge(OF_USER, snapshot(entry(*key), **trust), NOW).principal.grants.keys() == left


@pytest.mark.parametrize(
    "issuers",
    [{}, {ISSUER_ID: issuer(enabled=False)}, {ISSUER_ID: issuer(tenant_id=KEY_ID)}],
    ids=["deleted", "disabled", "of another tenant"],
)
def test_a_users_token_ends_with_the_trust_in_the_users_issuer(issuers: dict[str, IssuerEntry]) -> None:
    assert refusal(OF_USER, snapshot(entry(), issuers=issuers)) == "token_issuer_unknown"


@pytest.mark.parametrize("state", ["deleted", "disabled"])
def test_a_users_token_ends_with_the_key_that_has_exchanged_it(state: KeyState) -> None:
    assert refusal(OF_USER, snapshot(entry(state=state))) == f"token_key_{state}"


def test_the_roles_of_the_key_that_a_user_acts_through_are_those_that_it_has_now() -> None:
    found = entry()
    cashier = msgspec.structs.replace(found, principal=msgspec.structs.replace(found.principal, roles=("cashier",)))
    principal = judge(OF_USER, snapshot(cashier), NOW).principal
    assert principal.roles == ("buyer",)
    assert principal.token is not None and principal.token.key_roles == ("cashier",)
