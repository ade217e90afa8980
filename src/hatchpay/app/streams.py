"""Streams, put together: the use cases, what ships them, and how they go."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from hatchpay.admin.streams import StreamParts, Streams
from hatchpay.app.paths import DataDirectory
from hatchpay.app.sealing import feed_of
from hatchpay.audit.stream.pace import Pace
from hatchpay.audit.stream.row import StreamRow
from hatchpay.audit.stream.shipper import Shipper
from hatchpay.clock import wall_us
from hatchpay.ids import new_id
from hatchpay.settings import Settings
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.secrets import SecretFiles
from hatchpay.store.stream_addresses import StreamAddresses
from hatchpay.store.stream_couriers import StreamCouriers
from hatchpay.store.stream_health import StreamHealths
from hatchpay.store.stream_source import DirectoryStreams
from hatchpay.store.stream_states import SqlStreamStates
from hatchpay.store.vault import Vault

__all__ = ["shipping", "stream_healths", "streams_over"]

_TEST_S: Final = 10.0


def streams_over(
    settings: Settings, paths: DataDirectory, directory: SqlDirectory, secret_files: SecretFiles
) -> Streams:
    insecure = settings.allow_insecure_streams
    addresses = StreamAddresses(insecure=insecure)
    couriers = StreamCouriers(addresses, secret_files.kek, wall_us, insecure=insecure, attempt_s=_TEST_S)
    vault = paths.vault_to_read(secret_files)
    parts = StreamParts(
        newest=feed_of(paths, vault).newest,
        healths=stream_healths(paths, vault),
        check_host=addresses.check,
        send=couriers.send,
        kek=secret_files.kek,
        random=secrets.token_bytes,
        hostname=socket.gethostname(),
        insecure=insecure,
    )
    return Streams(directory, wall_us, new_id, parts)


def stream_healths(paths: DataDirectory, vault: Vault) -> StreamHealths:
    return StreamHealths(SqlStreamStates(paths.streams), feed_of(paths, vault), wall_us)


@contextmanager
def shipping(settings: Settings, pace: Pace = Pace()) -> Iterator[Shipper]:  # noqa: B008
    """A shipper on the data directory. Its `run` is for a thread; what it works with is closed with the block.

    Raises SettingsError where there are no data, DirectoryUnavailable.
    """
    # Behind it is every use case, and the shipper itself is wanted without.
    from hatchpay.app.local import open_local

    def gone(row: StreamRow) -> None:
        with open_local(settings, create=False) as local:
            local.act("audit streams ship", row.tenant_id, lambda actor: local.streams.gone(actor, row.id))

    paths = DataDirectory(settings.data_dir)
    paths.prepare()
    insecure = settings.allow_insecure_streams
    with closing(SqlDirectory(paths.directory)) as directory, closing(SqlStreamStates(paths.streams)) as states:
        secret_files = paths.secret_files(settings, directory)
        couriers = StreamCouriers(StreamAddresses(insecure=insecure), secret_files.kek, wall_us, insecure=insecure)
        yield Shipper(
            feed_of(paths, paths.vault_to_read(secret_files)),
            DirectoryStreams(directory),
            states,
            couriers.courier_for,
            gone,
            wall_us,
            hostname=socket.gethostname(),
            pace=pace,
        )
