"""The ledger's writer: a process of its own, so that waiting for the disk never holds the server's interpreter.

It reads entries from a socket, commits whatever has gathered as one group, and answers how many are durable.

Frozen wire format between the two processes of one version:

    to the writer      the derived key of the vault (32 bytes), then repeated:
                       uint32 length ‖ uint64 deadline ‖ MessagePack of an Entry
    from the writer    uint8 verdict ‖ uint32 count ‖ uint16 length ‖ UTF-8 text   (big-endian)

A verdict speaks of the oldest `count` entries that are not yet answered. A deadline is nanoseconds of the machine's
monotonic clock, 0 for none: past it nobody waits for the entry any more and it stands for something that was then
answered otherwise, so it is not written. On end of file the writer commits what it has and ends: entries that had
left a killed server are kept.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import signal
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from hatchpay.audit.record import Change, Completion, Intent
from hatchpay.errors import AuditUnavailable
from hatchpay.store.instance import is_gone
from hatchpay.store.ledger import Ledger
from hatchpay.store.vault import SLOT_BYTES, Vault

__all__ = ["ANSWER", "DURABLE", "FAILED", "PREFIX", "READY", "main"]

PREFIX: Final = struct.Struct(">IQ")
ANSWER: Final = struct.Struct(">BIH")
READY, DURABLE, FAILED = 0, 1, 2
_LARGEST_GROUP: Final = 1024
_RECOVER_AFTER_S: Final = 10.0
_READ_SIZE: Final = 1 << 20

_decode: Final = msgspec.msgpack.Decoder(Intent | Completion | Change).decode


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--vault", type=Path, required=True)
    parser.add_argument("--instances", type=Path, required=True)
    parser.add_argument("--instance", required=True)
    parser.add_argument("--socket", type=int, required=True)
    arguments = parser.parse_args()
    # A terminal's Ctrl-C reaches the whole group; the server decides when the writer is done, by closing the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with socket.socket(fileno=arguments.socket) as connection:
        derived = connection.recv(SLOT_BYTES, socket.MSG_WAITALL)
        if len(derived) != SLOT_BYTES:
            return
        vault = Vault.of_derived(arguments.vault, derived)
        ledger = Ledger(arguments.ledger, arguments.instance, vault, many=True)

        def recover() -> int:
            return ledger.recover(lambda instance: is_gone(arguments.instances, instance))

        try:
            _answer(connection, READY, recover())
        except AuditUnavailable as error:
            _answer(connection, FAILED, 0, str(error))
        serve(connection, ledger, recover)
        ledger.close()


def serve(connection: socket.socket, ledger: Ledger, recover: Callable[[], int]) -> None:
    """Commit in groups until the other end closes. In quiet moments, recover what killed processes left since."""
    buffer = bytearray()
    connection.settimeout(_RECOVER_AFTER_S)
    while True:
        try:
            received = connection.recv(_READ_SIZE)
        except TimeoutError:
            with contextlib.suppress(AuditUnavailable):
                recover()
            continue
        except ConnectionResetError:
            return
        if not received:
            return
        buffer += received
        while taken := _take(buffer):
            now = time.monotonic_ns()
            entries = [entry for entry, deadline in taken if not 0 < deadline < now]
            try:
                ledger.write(entries)
                verdict, text = DURABLE, ""
            except Exception as error:
                # Whatever it is, it must not end the writer: its successor would meet the same entries again.
                verdict, text = FAILED, str(error) if isinstance(error, AuditUnavailable) else type(error).__name__
            # A server that is gone needs no answers, but what it had sent is still kept.
            for late, group in itertools.groupby(0 < deadline < now for _, deadline in taken):
                count = sum(1 for _ in group)
                _answer(connection, FAILED if late else verdict, count, "too late" if late else text)


def _take(buffer: bytearray) -> list[tuple[Intent | Completion | Change, int]]:
    entries: list[tuple[Intent | Completion | Change, int]] = []
    start = 0
    while len(entries) < _LARGEST_GROUP and start + PREFIX.size <= len(buffer):
        length, deadline = PREFIX.unpack_from(buffer, start)
        end = start + PREFIX.size + length
        if end > len(buffer):
            break
        entries.append((_decode(memoryview(buffer)[start + PREFIX.size : end]), deadline))
        start = end
    del buffer[:start]
    return entries


def _answer(connection: socket.socket, verdict: int, count: int, text: str = "") -> None:
    message = text.encode()[:1000]
    with contextlib.suppress(OSError):
        connection.sendall(ANSWER.pack(verdict, count, len(message)) + message)


if __name__ == "__main__":
    main()
