"""Where a request comes from; forwarded headers count only from proxies that were declared."""

from __future__ import annotations

import re
from typing import Final

from hatchpay.identity.networks import contains, parse_address
from hatchpay.identity.principal import IPNetwork

__all__ = ["Proxies"]

_CORRELATION: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_LONGEST_CHAIN: Final = 32
_WITH_PORT: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")


class Proxies:
    """The declared proxies. `client` and `correlation` take a request's connection peer and its header values."""

    def __init__(self, networks: tuple[IPNetwork, ...]) -> None:
        self._networks = networks

    def trust(self, peer: str | None) -> bool:
        return bool(self._networks) and peer is not None and contains(self._networks, peer)

    def client(self, peer: str | None, forwarded_for: list[bytes]) -> str | None:
        """The nearest address in the chain that is no declared proxy; the peer itself where it is none of them.

        None where a declared proxy names something that is no address: then nobody knows who it is.
        """
        if not (self._networks and self.trust(peer)):
            return str(parse_address(peer)) if peer is not None and peer.startswith("::ffff:") else peer
        hops = [hop.strip() for value in forwarded_for for hop in value.decode("latin-1").split(",")]
        nearest = peer
        for hop in reversed(hops[-_LONGEST_CHAIN:]):
            address = parse_address(_without_port(hop))
            if address is None:
                return None
            nearest = str(address)
            if not contains(self._networks, nearest):
                break
        return nearest

    def correlation(self, peer: str | None, request_ids: list[bytes]) -> str | None:
        """A trusted proxy's own request id, where it is a plain word of at most 128 characters."""
        if len(request_ids) == 1 and self.trust(peer) and _CORRELATION.fullmatch(request_ids[0]):
            return request_ids[0].decode("ascii")
        return None


def _without_port(hop: str) -> str:
    """Some proxies write `192.0.2.1:4711` or `[2001:db8::1]:4711`."""
    match = _WITH_PORT.fullmatch(hop)
    return (match[1] or match[2]) if match else hop
