"""What a token may is never more than it says, nor more than its key, or its user, may now."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hatchpay.identity.issuer import ClaimsMapping
from hatchpay.identity.own_token import OwnClaims, judge
from hatchpay.identity.ports import IssuerEntry, KeyEntry, SecretEntry, Snapshot, Trust
from hatchpay.identity.principal import Limits, Principal
from hatchpay.tokens.apikey import encode_id
from hatchpay.tokens.digest import Peppers

KEY = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
TOKEN = "017f22e2-79b0-7cc3-98c4-dc0c0c073990"
TENANT = "017f22e2-79b0-7cc3-98c4-dc0c0c073991"
ISSUER = "017f22e2-79b0-7cc3-98c4-dc0c0c073992"
NOW = 1_790_000_000_000_000
NOBODY = Trust()

permissions = st.frozensets(st.sampled_from("abcdef"))
units = st.none() | st.frozensets(st.sampled_from("xyz"))
roles = st.dictionaries(st.sampled_from(["one", "two", "three"]), permissions)


def claims(said: frozenset[str], its_units: frozenset[str] | None, **of_user: object) -> OwnClaims:
    return OwnClaims(
        sub="ada",
        client_id=KEY,
        jti=TOKEN,
        iat=NOW // 1_000_000,
        tenant=TENANT,
        secret_version=1,
        permissions=said,
        business_units=its_units,
        **{"roles": (), **of_user},
    )


def snapshot(held: frozenset[str], key_units: frozenset[str] | None, trust: Trust = NOBODY) -> Snapshot:
    owner = Principal(
        KEY, "api_key", TENANT, KEY, ("r",), dict.fromkeys(held, "role:r"), Limits(business_unit_ids=key_units)
    )
    entry = KeyEntry(owner, "enabled", (SecretEntry(1, b"", 1, None),))
    return Snapshot(1, {encode_id(KEY): entry}, Peppers(1, {1: bytes(32)}), trust)


def narrowed(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return one if other is None else other
    return one & other


@given(permissions, permissions, units, units)
def test_a_keys_token_may_what_both_say(
    said: frozenset[str],
    held: frozenset[str],
    its_units: frozenset[str] | None,
    key_units: frozenset[str] | None,
) -> None:
    principal = judge(claims(said, its_units), snapshot(held, key_units), NOW).principal
    assert principal.grants.keys() == said & held
    assert principal.business_unit_ids == narrowed(its_units, key_units)


@given(permissions, permissions, permissions, permissions, roles, st.lists(st.sampled_from(["one", "two", "four"])))
def test_a_users_token_may_what_issuer_user_key_and_token_say(
    said: frozenset[str],
    held: frozenset[str],
    ceiling: frozenset[str],
    direct: frozenset[str],
    existing: dict[str, frozenset[str]],
    named: list[str],
) -> None:
    issuer = IssuerEntry(
        id=ISSUER,
        tenant_id=TENANT,
        issuer="https://id.test",
        audience="https://api.test",
        jwks_url=None,
        algorithms=frozenset({"EdDSA"}),
        ceiling=ceiling,
        claims=ClaimsMapping(),
        enabled=True,
        keys=None,
        fetched_us=None,
        tried_us=None,
    )
    trust = Trust(issuers={ISSUER: issuer}, roles={(TENANT, name): what for name, what in existing.items()})
    own = claims(said, None, user_issuer=ISSUER, user_permissions=direct, roles=tuple(named))

    principal = judge(own, snapshot(held, None, trust), NOW).principal

    by_roles = frozenset().union(*(existing.get(name, frozenset()) for name in named))
    assert principal.grants.keys() == said & held & ceiling & (direct | by_roles)
