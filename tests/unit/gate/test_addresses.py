"""Where a request comes from: forwarded headers count only from declared proxies."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from hatchpay.gate.addresses import Proxies, contains

NETWORKS = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
DECLARED = Proxies(NETWORKS)
NONE = Proxies(())
PROXY, CLIENT = "10.0.0.1", "203.0.113.9"


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        (PROXY, True),
        ("2001:db8::1", True),
        ("::ffff:10.0.0.1", True),
        (CLIENT, False),
        ("2001:db9::1", False),
        ("::ffff:203.0.113.9", False),
        ("2001:db8::1%eth0", False),
        ("unix:/run/x", False),
        ("", False),
        (None, False),
    ],
)
def test_only_a_peer_within_the_declared_networks_is_trusted(peer: str | None, trusted: bool) -> None:
    assert DECLARED.trust(peer) is trusted
    assert NONE.trust(peer) is False


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        # Without a declared proxy in between the peer is the client, whatever it says.
        (CLIENT, [b"198.51.100.1"], CLIENT),
        (CLIENT, [], CLIENT),
        (None, [b"198.51.100.1"], None),
        ("testclient", [b"198.51.100.1"], "testclient"),
        # From a proxy: the nearest address that is no proxy; what stands further left may be invented.
        (PROXY, [b"203.0.113.9"], CLIENT),
        (PROXY, [b"198.51.100.1, 203.0.113.9"], CLIENT),
        (PROXY, [b"198.51.100.1", b"203.0.113.9"], CLIENT),
        (PROXY, [b"203.0.113.9, 10.0.0.2"], CLIENT),
        (PROXY, [b"198.51.100.1,203.0.113.9 ,\t10.0.0.2, 2001:db8::5"], CLIENT),
        (PROXY, [b"2001:db9::7"], "2001:db9::7"),
        (PROXY, [b"2001:DB9:0::7"], "2001:db9::7"),
        (PROXY, [b"::ffff:203.0.113.9"], CLIENT),
        ("::ffff:10.0.0.1", [b"203.0.113.9"], CLIENT),
        # Nobody but proxies: the one that is furthest away.
        (PROXY, [], PROXY),
        (PROXY, [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        # Where a proxy names something unreadable, nobody knows who it is: surely not the proxy.
        (PROXY, [b""], None),
        (PROXY, [b"unknown"], None),
        (PROXY, [b"203.0.113.9, unknown"], None),
        (PROXY, [b"fe80::1%eth0"], None),
        (PROXY, [b"\xff, 203.0.113.9"], CLIENT),
        (PROXY, [b"010.0.0.1"], None),
        # Some proxies write ports and brackets.
        (PROXY, [b"203.0.113.9:4711"], CLIENT),
        (PROXY, [b"203.0.113.9, 10.0.0.2:443"], CLIENT),
        (PROXY, [b"[2001:db9::7]:4711"], "2001:db9::7"),
        (PROXY, [b"203.0.113.9, [2001:db8::1], 10.0.0.2"], CLIENT),
        (PROXY, [b"203.0.113.9:port"], None),
    ],
)
def test_the_client_is_the_nearest_address_that_is_no_declared_proxy(
    peer: str | None, forwarded: list[bytes], client: str | None
) -> None:
    assert DECLARED.client(peer, forwarded) == client


def test_a_chain_is_followed_for_32_hops() -> None:
    assert DECLARED.client(PROXY, [b"203.0.113.9" + b",10.0.0.2" * 31]) == CLIENT
    assert DECLARED.client(PROXY, [b"203.0.113.9" + b",10.0.0.2" * 32]) == "10.0.0.2"


@pytest.mark.parametrize("value", [b"a", b"0190-abc:DEF_x.y/z+=", b"x" * 128])
def test_a_proxys_request_id_is_taken_over(value: bytes) -> None:
    assert DECLARED.correlation(PROXY, [value]) == value.decode()


@pytest.mark.parametrize(
    "values", [[], [b""], [b"x" * 129], [b"a b"], [b"a\n"], [b"a\0"], [b"\xc3\xa9"], [b"<x>"], [b"a", b"a"]]
)
def test_a_request_id_that_is_no_plain_word_or_not_alone_is_dropped(values: list[bytes]) -> None:
    assert DECLARED.correlation(PROXY, values) is None


@pytest.mark.parametrize(("proxies", "peer"), [(DECLARED, CLIENT), (DECLARED, None), (NONE, PROXY)])
def test_anybody_elses_request_id_is_dropped(proxies: Proxies, peer: str | None) -> None:
    assert proxies.correlation(peer, [b"abc"]) is None


@pytest.mark.parametrize(
    ("address", "inside"),
    [("10.255.255.255", True), ("11.0.0.0", False), ("2001:db8:ffff::", True), ("", False), ("10.0.0.1/8", False)],
)
def test_an_address_lies_in_a_network_of_its_own_family(address: str, inside: bool) -> None:
    assert contains(NETWORKS, address) is inside
    assert contains((), address) is False
