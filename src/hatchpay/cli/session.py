"""One run of one command: its settings, its output, and the data directory that it opens."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, cast, get_type_hints

import typer

from hatchpay.cli.options import Config, DataDirectory, Json
from hatchpay.cli.output import Output
from hatchpay.cli.ports import Local, Ports
from hatchpay.errors import NotFound, SettingsError
from hatchpay.ids import PLATFORM_TENANT_ID
from hatchpay.settings import Settings, Source, load

__all__ = ["Common", "Session", "command"]

Parameters = ParamSpec("Parameters")


class Common:
    """What stands before the command: `hatchpay --data-dir /srv/hatchpay keys list`."""

    def __init__(self, ports: Ports, data_dir: Path | None, config: Path | None) -> None:
        self.ports = ports
        self.data_dir = data_dir
        self.config = config


class Session:
    """`out` prints what the command answers."""

    def __init__(self, common: Common, data_dir: Path | None, config: Path | None, out: Output) -> None:
        self.ports = common.ports
        self.out = out
        self._data_dir = data_dir or common.data_dir
        self._config = config or common.config

    def settings(self, **options: object) -> Settings:
        """Raises BadParameter where a setting is wrong, wherever it comes from."""
        return self.settings_with_sources(**options)[0]

    def settings_with_sources(self, **options: object) -> tuple[Settings, dict[str, Source]]:
        try:
            return load({"data_dir": self._data_dir, **options}, file=self._config)
        except SettingsError as error:
            raise typer.BadParameter(error.detail) from None

    @contextmanager
    def local(self, *, create: bool = False, **options: object) -> Iterator[Local]:
        """`options` are settings that the command line gives."""
        with self.ports.open_local(self.settings(**options), create=create) as local:
            yield local

    def tenant_id(self, local: Local, name_or_id: str | None) -> str:
        """That of the tenant which is meant: the only one, where none is named. Raises NotFound, BadParameter."""
        if name_or_id is not None:
            return local.tenants.find(name_or_id).id
        tenants = local.tenants.list(local.reader(PLATFORM_TENANT_ID), limit=2).data
        if not tenants:
            raise NotFound("there is no tenant yet; hatchpay tenants onboard NAME makes one")
        if len(tenants) > 1:
            raise typer.BadParameter(
                "there is more than one tenant: name one (hatchpay tenants list shows them).", param_hint="--tenant"
            )
        return tenants[0].id


def command(
    app: typer.Typer, name: str, *, json: bool = True
) -> Callable[[Callable[Concatenate[Session, Parameters], None]], Callable[Concatenate[Session, Parameters], None]]:
    """Makes a function a command of `app`, with the options that every command has in front of its own.

    The function gets its Session first. `json` says whether `--json` is among them. `--data-dir` and `--config` may
    stand before the command as well.
    """

    def register(
        function: Callable[Concatenate[Session, Parameters], None],
    ) -> Callable[Concatenate[Session, Parameters], None]:
        @functools.wraps(function)
        def run(
            ctx: typer.Context,
            data_dir: Path | None,
            config: Path | None,
            as_json: bool = False,
            **own: Any,
        ) -> None:
            session = Session(ctx.obj, data_dir, config, Output(as_json))
            cast(Callable[..., None], function)(session, **own)

        keyword = inspect.Parameter.KEYWORD_ONLY
        hints = get_type_hints(function, include_extras=True)
        own = [
            parameter.replace(annotation=hints[parameter.name], kind=keyword)
            for parameter in list(inspect.signature(function).parameters.values())[1:]
        ]
        common = [
            inspect.Parameter("data_dir", keyword, default=None, annotation=DataDirectory),
            inspect.Parameter("config", keyword, default=None, annotation=Config),
            inspect.Parameter("as_json", keyword, default=False, annotation=Json),
        ]
        if not json:
            common.pop()
        parameters = [inspect.Parameter("ctx", keyword, annotation=typer.Context), *own, *common]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        app.command(name)(run)
        return function

    return register
