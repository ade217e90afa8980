"""The addresses that a stream may connect to: all of a host's must be public, or none is used (SSRF).

What is checked is what the resolver gave and what is connected to, so a name that answers differently the next time
gains nothing. A resolver that hangs cannot be ended, only left: each lookup has a thread of its own, few per tenant.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Final

from hatchpay.errors import DeliveryFailed
from hatchpay.store.guarded_http import Resolve, system_resolve
from hatchpay.store.public_addresses import Address, is_local, is_public

__all__ = ["StreamAddresses"]

_MOST_LOOKUPS: Final = 128
_MOST_LOOKUPS_OF_ONE: Final = 4
_LOOK_AGAIN_S: Final = 0.02


class StreamAddresses:
    """`insecure` is for tests only: it permits private, loopback and link-local addresses."""

    def __init__(self, *, insecure: bool = False, resolve: Resolve = system_resolve, deadline_s: float = 5.0) -> None:
        self._insecure = insecure
        self._resolve = resolve
        self._deadline_s = deadline_s
        self._guard = threading.Lock()
        self._looking: Counter[str] = Counter()

    async def of(self, host: str, tenant_id: str) -> Sequence[Address]:
        """Raises DeliveryFailed."""
        try:
            async with asyncio.timeout(self._deadline_s):
                addresses = await self._looked_up(host, tenant_id)
        except TimeoutError:
            raise DeliveryFailed("the host's name was not resolved in time", code="stream_too_slow") from None
        if not addresses:
            raise DeliveryFailed("the host's name cannot be resolved", code="stream_unresolvable")
        if not all(is_public(address) or (self._insecure and is_local(address)) for address in addresses):
            raise DeliveryFailed("the host has an address that is not public", code="stream_destination_forbidden")
        return addresses

    def check(self, host: str, tenant_id: str) -> None:
        """As `of`, for a caller without an event loop."""
        asyncio.run(self.of(host, tenant_id))

    async def _looked_up(self, host: str, tenant_id: str) -> Sequence[Address]:
        """Empty where the resolver failed."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Sequence[Address]] = loop.create_future()

        def settle(addresses: Sequence[Address]) -> None:
            if not found.done():
                found.set_result(addresses)

        def look_up() -> None:
            addresses: Sequence[Address] = ()
            try:
                addresses = tuple(self._resolve(host))
            except Exception:  # noqa: S110
                pass
            finally:
                self._end(tenant_id)
            try:
                loop.call_soon_threadsafe(settle, addresses)
            except RuntimeError:
                # The loop has ended meanwhile, and nobody waits any more.
                return

        while not self._begins(tenant_id):
            await asyncio.sleep(_LOOK_AGAIN_S)
        try:
            threading.Thread(target=look_up, name="resolve", daemon=True).start()
        except RuntimeError:
            self._end(tenant_id)
            raise DeliveryFailed("the host's name cannot be resolved now", code="stream_unresolvable") from None
        return await found

    def _begins(self, tenant_id: str) -> bool:
        """Whether there is a place for one more lookup, which is taken then."""
        with self._guard:
            if self._looking[tenant_id] >= _MOST_LOOKUPS_OF_ONE or self._looking.total() >= _MOST_LOOKUPS:
                return False
            self._looking[tenant_id] += 1
            return True

    def _end(self, tenant_id: str) -> None:
        with self._guard:
            self._looking[tenant_id] -= 1
            if not self._looking[tenant_id]:
                del self._looking[tenant_id]
