"""The ledger's writer: a process of its own, so that waiting for the disk never holds the server's interpreter.

It reads entries from a socket, commits whatever has gathered as one group, and answers how many are durable.

Frozen wire format between the two processes of one version:

    to the writer      uint32 length ‖ MessagePack of an Entry, repeated
    from the writer    uint8 verdict ‖ uint32 count ‖ uint16 length ‖ UTF-8 text   (big-endian)

A verdict speaks of the oldest `count` entries that are not yet answered. On end of file the writer commits what it
has and ends: entries that had left a killed server are kept.
"""

from __future__ import annotations

import argparse
import signal
import socket
import struct
from pathlib import Path
from typing import Final

import msgspec

from hatchpay.audit.record import Change, Completion, Intent
from hatchpay.errors import AuditUnavailable
from hatchpay.store.instance import is_gone
from hatchpay.store.ledger import Ledger

__all__ = ["ANSWER", "DURABLE", "FAILED", "LENGTH", "READY", "main"]

LENGTH: Final = struct.Struct(">I")
ANSWER: Final = struct.Struct(">BIH")
READY, DURABLE, FAILED = 0, 1, 2
_LARGEST_GROUP: Final = 1024
_READ_SIZE: Final = 1 << 20

_decode: Final = msgspec.msgpack.Decoder(Intent | Completion | Change).decode


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--instances", type=Path, required=True)
    parser.add_argument("--instance", required=True)
    parser.add_argument("--socket", type=int, required=True)
    arguments = parser.parse_args()
    # A terminal's Ctrl-C reaches the whole group; the server decides when the writer is done, by closing the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ledger = Ledger(arguments.ledger, arguments.instance)
    with socket.socket(fileno=arguments.socket) as connection:
        try:
            recovered = ledger.recover(lambda instance: is_gone(arguments.instances, instance))
            _answer(connection, READY, recovered)
        except AuditUnavailable as error:
            _answer(connection, FAILED, 0, str(error))
        serve(connection, ledger)
    ledger.close()


def serve(connection: socket.socket, ledger: Ledger) -> None:
    """Commit in groups until the other end closes."""
    buffer = bytearray()
    while True:
        try:
            received = connection.recv(_READ_SIZE)
        except ConnectionResetError:
            return
        if not received:
            return
        buffer += received
        while entries := _take(buffer):
            try:
                ledger.write(entries)
            except AuditUnavailable as error:
                alive = _answer(connection, FAILED, len(entries), str(error))
            else:
                alive = _answer(connection, DURABLE, len(entries))
            # A server that is gone needs no answers, but what it had sent is still kept.
            if not alive:
                connection.setblocking(False)


def _take(buffer: bytearray) -> list[Intent | Completion | Change]:
    entries: list[Intent | Completion | Change] = []
    start = 0
    while len(entries) < _LARGEST_GROUP and start + LENGTH.size <= len(buffer):
        (length,) = LENGTH.unpack_from(buffer, start)
        end = start + LENGTH.size + length
        if end > len(buffer):
            break
        entries.append(_decode(memoryview(buffer)[start + LENGTH.size : end]))
        start = end
    del buffer[:start]
    return entries


def _answer(connection: socket.socket, verdict: int, count: int, text: str = "") -> bool:
    message = text.encode()[:1000]
    try:
        connection.sendall(ANSWER.pack(verdict, count, len(message)) + message)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
