"""The client's address against a walk over the chain written down naively."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from hatchpay.gate.addresses import Proxies

NETWORK = ip_network("10.0.0.0/29")
PROXIES = Proxies((NETWORK,))

addresses = st.integers(0, 15).map(lambda last: f"10.0.0.{last}")
hops = addresses | st.sampled_from(["", "unknown", "10.0.0.1:80", "10.0.0.256"])
chains = st.lists(st.lists(hops, min_size=1, max_size=4), max_size=3)


def header(chain: list[list[str]]) -> list[bytes]:
    return [", ".join(value).encode() for value in chain]


def is_proxy(address: str) -> bool:
    return int(address.rpartition(".")[2]) < 8


def is_address(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 4 and all(part.isdigit() and int(part) < 256 for part in parts)


def naive(peer: str, chain: list[list[str]]) -> str | None:
    """Each believed address vouches for the one to its left as long as it is a proxy itself."""
    believed = peer
    for hop in reversed([hop for value in chain for hop in value]):
        if not is_proxy(believed):
            return believed
        host, colon, port = hop.partition(":")
        named = host if colon and port.isdigit() else hop
        if not is_address(named):
            return None
        believed = named
    return believed


@settings(max_examples=300, deadline=None)
@given(addresses, chains)
def test_the_client_is_the_one_that_the_naive_walk_finds(peer: str, chain: list[list[str]]) -> None:
    assert PROXIES.client(peer, header(chain)) == naive(peer, chain)


@settings(max_examples=150, deadline=None)
@given(addresses, chains, chains)
def test_nothing_that_a_client_sends_itself_changes_who_it_is(
    client: str, invented: list[list[str]], through: list[list[str]]
) -> None:
    # The declared proxies append whom they saw: the client, then one another.
    honest = [
        [client],
        *[[hop for hop in value if is_address(hop) and is_proxy(hop)] or ["10.0.0.1"] for value in through],
    ]
    if not is_proxy(client):
        assert PROXIES.client("10.0.0.1", header(invented + honest)) == client


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_at_all_give_an_address_or_nobody(value: bytes) -> None:
    found = PROXIES.client("10.0.0.1", [value])
    assert found is None or found == "10.0.0.1" or ":" in found or IPv4Address(found)
