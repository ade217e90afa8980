"""Which addresses a stream may connect to, and that a resolver which hangs for one tenant hangs for no other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from hatchpay.errors import DeliveryFailed
from hatchpay.store.public_addresses import Address
from hatchpay.store.stream_addresses import StreamAddresses

PUBLIC = ip_address("93.184.216.34")


def code(addresses: StreamAddresses, host: str = "logs.test") -> str | None:
    try:
        addresses.check(host, "tenant")
    except DeliveryFailed as error:
        return error.code
    return None


def resolving(*found: str) -> StreamAddresses:
    return StreamAddresses(resolve=lambda _: [ip_address(text) for text in found])


def test_a_host_with_public_addresses_alone_may_be_connected_to() -> None:
    assert code(resolving("93.184.216.34", "2606:2800:220:1::1")) is None


def test_one_inner_address_among_public_ones_is_enough_to_refuse() -> None:
    assert code(resolving("93.184.216.34", "10.0.0.1")) == "stream_destination_forbidden"


def test_only_for_tests_are_inner_addresses_permitted_and_no_others() -> None:
    lax = StreamAddresses(insecure=True, resolve=lambda host: [ip_address(host)])
    assert code(lax, "127.0.0.1") is None
    assert code(lax, "0.0.0.0") == code(lax, "224.0.0.1") == "stream_destination_forbidden"


def test_a_name_that_cannot_be_resolved_is_said_so() -> None:
    def fail(_: str) -> Sequence[Address]:
        raise OSError

    assert code(StreamAddresses(resolve=fail)) == code(resolving()) == "stream_unresolvable"


def test_a_resolver_that_hangs_is_left_and_holds_few_threads_of_one_tenant() -> None:
    ends, asked = threading.Event(), list[str]()

    def resolve(host: str) -> Sequence[Address]:
        asked.append(host)
        if host == "hung.test":
            ends.wait(20)
        return [PUBLIC]

    addresses = StreamAddresses(resolve=resolve, deadline_s=0.2)

    async def outcome(host: str, tenant: str) -> str:
        try:
            await addresses.of(host, tenant)
        except DeliveryFailed as error:
            return error.code
        return "found"

    async def everything() -> list[str]:
        hung = [outcome("hung.test", "a") for _ in range(10)]
        return await asyncio.gather(*hung, outcome("well.test", "b"))

    try:
        outcomes = asyncio.run(everything())
        assert outcomes == ["stream_too_slow"] * 10 + ["found"]
        assert asked.count("hung.test") == 4
    finally:
        ends.set()


@pytest.mark.parametrize("count", [30])
def test_many_lookups_of_one_tenant_that_answer_all_get_their_turn(count: int) -> None:
    addresses = resolving("93.184.216.34")

    async def everything() -> list[Sequence[Address]]:
        return await asyncio.gather(*[addresses.of("logs.test", "a") for _ in range(count)])

    assert asyncio.run(everything()) == [(PUBLIC,)] * count
