"""From the claims of another issuer to a user, and to what that user holds."""

from __future__ import annotations

import pytest

from hatchpay.errors import InvalidToken
from hatchpay.identity.issuer import ClaimsMapping, User, grants_of, user_of

UNIT, OTHER = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", "017f22e2-79b0-7cc3-98c4-dc0c0c073990"
ALL = ClaimsMapping(user_id="uid", roles="roles", permissions="scope", business_units="units")


def refusal(claims: dict[str, object], mapping: ClaimsMapping) -> str:
    with pytest.raises(InvalidToken) as caught:
        user_of(claims, mapping)
    return caught.value.code


def test_without_a_mapping_the_subject_is_the_user_and_nothing_else_is_said() -> None:
    claims = {"sub": "ada", "roles": ["admin"], "permissions": ["x"], "scope": "a b", "units": [UNIT]}
    assert user_of(claims, ClaimsMapping()) == User(
        id="ada", role_names=(), permissions=frozenset(), business_unit_ids=None
    )


def test_each_mapped_claim_says_its_part() -> None:
    claims = {"sub": "no", "uid": "ada", "roles": ["buyer", "viewer"], "scope": "a.b.c d.e.f", "units": [UNIT, OTHER]}
    assert user_of(claims, ALL) == User(
        id="ada",
        role_names=("buyer", "viewer"),
        permissions=frozenset({"a.b.c", "d.e.f"}),
        business_unit_ids=frozenset({UNIT, OTHER}),
    )


def test_a_single_text_is_one_role_one_unit_and_a_scope_of_several_permissions() -> None:
    user = user_of({"uid": "a", "roles": "team lead", "scope": " a.b.c  d.e.f ", "units": UNIT}, ALL)
    assert user.role_names == ("team lead",)
    assert user.permissions == {"a.b.c", "d.e.f"}
    assert user.business_unit_ids == {UNIT}


def test_an_array_of_permissions_is_not_split() -> None:
    assert user_of({"uid": "a", "scope": ["a.b.c d.e.f"], "units": [UNIT]}, ALL).permissions == {"a.b.c d.e.f"}


def test_absent_and_null_claims_of_roles_and_permissions_say_that_there_are_none() -> None:
    for claims in ({"uid": "a", "units": UNIT}, {"uid": "a", "units": UNIT, "roles": None, "scope": None}):
        user = user_of(claims, ALL)
        assert (user.role_names, user.permissions) == ((), frozenset())


def test_a_role_that_is_named_a_thousand_times_is_held_once() -> None:
    claims = {"sub": "a", "roles": ["viewer"] * 999 + ["buyer"]}
    assert user_of(claims, ClaimsMapping(roles="roles")).role_names == ("viewer", "buyer")


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("/realm_access/roles", ("deep",)),
        ("/resource~1access/a~0b", ("escaped",)),
        ("/~01", ("tilde one",)),
        ("/", ("empty",)),
        ("/realm_access/nothing", ()),
        ("/realm_access/roles/0", ()),
        ("/nothing/roles", ()),
        ("realm_access/roles", ("flat",)),
        ("https://id.test/roles", ("namespaced",)),
    ],
)
def test_a_claim_is_a_name_or_a_json_pointer(pointer: str, found: tuple[str, ...]) -> None:
    claims: dict[str, object] = {
        "sub": "a",
        "realm_access": {"roles": ["deep"]},
        "resource/access": {"a~b": ["escaped"]},
        "~1": "tilde one",
        "": "empty",
        "realm_access/roles": "flat",
        "https://id.test/roles": "namespaced",
    }
    assert user_of(claims, ClaimsMapping(roles=pointer)).role_names == found


@pytest.mark.parametrize("value", [None, "", 7, True, ["ada"], {"a": 1}, "x" * 256, "a\x00b", "a\nb", "a\x7f", "a\x9f"])
def test_without_a_usable_user_id_nobody_calls(value: object) -> None:
    assert refusal({"sub": value}, ClaimsMapping()) == "token_user_missing"
    assert refusal({}, ClaimsMapping()) == "token_user_missing"


@pytest.mark.parametrize("value", ["a", "x" * 255, "Ada Lovelace", "ada@example.test", "00uid|é", "user:ada", "-"])
def test_any_other_text_may_be_a_user_id(value: str) -> None:
    assert user_of({"sub": value}, ClaimsMapping()).id == value


@pytest.mark.parametrize("value", [None, [], "", ["not a uuid"], [UNIT, "x"], [UNIT.upper()], f"{UNIT} {OTHER}"])
def test_business_units_that_are_mapped_must_be_named(value: object) -> None:
    assert refusal({"uid": "a", "units": value}, ALL) == "token_business_units_missing"
    assert refusal({"uid": "a"}, ALL) == "token_business_units_missing"


@pytest.mark.parametrize("name", ["roles", "scope", "units"])
@pytest.mark.parametrize("value", [7, True, {"a": "b"}, [1], [None], [["a"]], ["x" * 257], ["x"] * 1001])
def test_a_mapped_claim_of_another_form_refuses_the_token(name: str, value: object) -> None:
    assert refusal({"uid": "a", "units": [UNIT], name: value}, ALL) == "token_claim_invalid"


def test_a_user_holds_by_role_and_by_claim_what_the_ceiling_allows() -> None:
    roles = [("viewer", frozenset({"a", "b"})), ("buyer", frozenset({"b", "c"}))]
    grants = grants_of(frozenset({"a", "b", "d"}), roles, frozenset({"b", "d", "e"}))
    assert grants == {"a": "role:viewer", "b": "role:buyer", "d": "claim:permissions"}


@pytest.mark.parametrize("ceiling", [frozenset(), frozenset({"z"})])
def test_under_a_ceiling_that_holds_none_of_it_a_user_holds_nothing(ceiling: frozenset[str]) -> None:
    assert grants_of(ceiling, [("admin", frozenset({"a"}))], frozenset({"a"})) == {}
