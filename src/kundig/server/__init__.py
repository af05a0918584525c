"""Pages and API of a workspace: server-rendered, on loopback, each page also as JSON."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from kundig.errors import AccessDenied, RunError

if TYPE_CHECKING:
    from kundig.workspace import Workspace


def serve(workspace: Workspace, *, announce: Callable[[str], None] | None = None) -> None:
    """Serve the workspace's pages until stopped; `announce` is told their address once they can be opened.

    Raises:
        AccessDenied: The address is not loopback: pages know no login yet, so nobody else may reach them.
        RunError: The port is taken.
    """
    demand_loopback(workspace)
    import uvicorn

    from kundig.server.app import make_app

    settings = workspace.config.settings.serve
    with listening(settings.host, settings.port) as taken:
        server = uvicorn.Server(uvicorn.Config(make_app(workspace), log_level="warning", server_header=False))
        if announce is not None:
            announce(f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{taken.getsockname()[1]}")
        server.run(sockets=[taken])


def demand_loopback(workspace: Workspace) -> None:
    """Pass where pages would listen on loopback.

    Raises:
        AccessDenied: They would not: pages know no login yet, so nobody else may reach them.
    """
    from kundig.server.loopback import LOOPBACK

    host = workspace.config.settings.serve.host
    if host not in LOOPBACK:
        raise AccessDenied(f"pages would listen on {host} without a login", at="kundig.toml, [serve] host", mend="keep 127.0.0.1 and reach it through a tunnel or a proxy that asks who is there")


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        RunError: The port is taken.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128)
    except OSError as error:
        raise RunError(
            f"port {port} of {host} cannot be used: {error.strerror or error}", at="kundig.toml, [serve] port", mend="stop what listens there (another kundig serve?), or set another port under [serve]"
        ) from error
