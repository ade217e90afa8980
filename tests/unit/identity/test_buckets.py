"""Which counters a caller's requests count in: its own, by each limit of its key and roles."""

from __future__ import annotations

from hatchpay.identity.buckets import LimitSource, buckets_of_key, buckets_of_user
from hatchpay.identity.principal import RateLimit

TEN, DAY = RateLimit(10, 60), RateLimit(1000, 86_400)
TILL = LimitSource("role:till", "role-id", (TEN,))


def test_a_key_without_limits_has_none() -> None:
    assert buckets_of_key("t", "key", (), ()) == ()


def test_each_limit_has_a_bucket_and_each_bucket_a_name_of_its_own() -> None:
    found = buckets_of_key("t", "key", (TEN, DAY), [TILL])
    assert [(one.source, one.policy, one.limit) for one in found] == [
        ("key", "key/60", TEN),
        ("key", "key/86400", DAY),
        ("role:till", "role:till", TEN),
    ]
    assert len({one.id for one in found}) == 3
    assert {len(one.id) for one in found} == {16}


def test_keys_that_hold_the_same_role_are_counted_apart() -> None:
    (one,), (other,) = (buckets_of_key("t", key, (), [TILL]) for key in ("a", "b"))
    assert one.id != other.id


def test_the_first_four_bytes_are_those_of_the_tenant_whoever_calls() -> None:
    keys = [(tenant, key) for tenant in ("t", "u") for key in ("a", "b")]
    buckets = {one: buckets_of_key(*one, (TEN, DAY), [TILL]) for one in keys}
    users = {tenant: buckets_of_user({(tenant, "till"): TILL}, tenant, "i", "ann", ["till"]) for tenant in ("t", "u")}
    starts = [
        {one.id[:4] for one in (*buckets[tenant, "a"], *buckets[tenant, "b"], *users[tenant])} for tenant in ("t", "u")
    ]
    assert [len(of_tenant) for of_tenant in starts] == [1, 1]
    assert starts[0] != starts[1]


def test_the_other_twelve_bytes_tell_everything_apart() -> None:
    keys = [("t", "a"), ("t", "b"), ("u", "a"), ("ta", "")]
    assert len({one.id[4:] for key in keys for one in buckets_of_key(*key, (TEN, DAY), [TILL])}) == 12


def test_neither_a_new_name_of_a_role_nor_another_number_of_requests_begins_anew() -> None:
    renamed = LimitSource("role:cashier", "role-id", (RateLimit(20, 60),))
    (one,), (other,) = (buckets_of_key("t", "key", (), [role]) for role in (TILL, renamed))
    assert one.id == other.id
    (elsewhere,) = buckets_of_key("t", "key", (), [LimitSource("role:till", "another-id", (TEN,))])
    assert elsewhere.id != one.id


def test_a_name_is_printable_ascii_that_nothing_has_to_escape() -> None:
    names = ['Kasse "Zürich"', "back\\slash", "role:key", "a/60", "100%", "plain name"]
    found = buckets_of_key("t", "key", (), [LimitSource(f"role:{name}", name, (TEN,)) for name in names])
    assert [one.policy for one in found] == [
        "role:Kasse %22Z%C3%BCrich%22",
        "role:back%5Cslash",
        "role:role:key",
        "role:a%2F60",
        "role:100%25",
        "role:plain name",
    ]


def test_a_user_is_one_of_his_issuer_and_tenant() -> None:
    limits = {("t", "till"): TILL, ("u", "till"): TILL, ("t", "other"): LimitSource("role:other", "x", (DAY,))}
    users = [("t", "i", "ann"), ("t", "i", "bob"), ("t", "j", "ann"), ("u", "i", "ann"), ("t", "ian", "n")]
    found = [buckets_of_user(limits, *user, ["till", "till", "unknown"]) for user in users]
    assert [[one.source for one in buckets] for buckets in found] == [["role:till"]] * 5
    assert len({buckets[0].id for buckets in found}) == 5
    assert buckets_of_user(limits, "t", "i", "ann", []) == ()
    (of_key,) = buckets_of_key("t", "ann", (), [TILL])
    assert of_key.id not in {buckets[0].id for buckets in found}
