"""Couriers for streams: their secrets opened, their destination read anew, their TLS set up."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import cached_property

from hatchpay.audit.stream.destination import Destination, read_destination
from hatchpay.audit.stream.ports import Courier, Message, Outcome
from hatchpay.audit.stream.row import StreamRow, unseal_headers, unseal_secrets
from hatchpay.clock import Clock
from hatchpay.errors import InvalidInput
from hatchpay.store.stream_addresses import StreamAddresses
from hatchpay.store.stream_courier import HttpCourier, SyslogCourier, Trip
from hatchpay.store.stream_wire import tls_context

__all__ = ["StreamCouriers"]


class StreamCouriers:
    """`insecure` is for tests only: plain HTTP, and private addresses. Times are in seconds."""

    def __init__(
        self,
        addresses: StreamAddresses,
        kek: Callable[[], bytes],
        clock: Clock,
        *,
        insecure: bool = False,
        attempt_s: float = 15.0,
        connect_s: float = 3.0,
    ) -> None:
        self._addresses = addresses
        self._kek = kek
        self._clock = clock
        self._insecure = insecure
        self._attempt_s = attempt_s
        self._connect_s = connect_s

    def courier_for(self, row: StreamRow) -> Courier:
        """Raises UnusableKey or SettingsError where the secrets cannot be opened, InvalidInput for a destination that
        is not permitted any more.
        """
        destination = read_destination(row.kind, row.destination_url, insecure=self._insecure)
        trip = Trip(
            destination=destination,
            addresses=self._addresses,
            context=self._context(row, destination),
            clock=self._clock,
            attempt_s=self._attempt_s,
            connect_s=self._connect_s,
        )
        if row.kind == "syslog":
            return SyslogCourier(row, trip)
        headers = unseal_headers(row, self._kek(), destination.origin) if row.sealed_headers is not None else {}

        def secrets() -> list[bytes]:
            return unseal_secrets(row, self._kek(), self._clock()) if row.secrets else []

        # What cannot be opened is to be told of now.
        secrets()
        return HttpCourier(row, trip, headers, secrets)

    def send(self, row: StreamRow, message: Message) -> Outcome:
        """One try on a connection of its own, for a caller without an event loop. Raises as `courier_for` does."""
        courier = self.courier_for(row)

        async def deliver() -> Outcome:
            try:
                return await courier.deliver(message)
            finally:
                courier.close()

        return asyncio.run(deliver())

    def _context(self, row: StreamRow, destination: Destination) -> ssl.SSLContext | None:
        if not destination.tls:
            return None
        if row.ca_pem is None:
            return self._public
        try:
            return tls_context(row.ca_pem)
        except (ssl.SSLError, ValueError):
            raise InvalidInput("not the certificates of authorities in PEM", field="ca_pem") from None

    @cached_property
    def _public(self) -> ssl.SSLContext:
        return tls_context(None)
