"""Pages and API of a workspace: server-rendered, on loopback, each page also as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kundig.errors import AccessDenied

if TYPE_CHECKING:
    from kundig.workspace import Workspace

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def serve(workspace: Workspace) -> None:
    """Serve the workspace's pages until stopped.

    Raises:
        AccessDenied: The address is not loopback: pages know no login yet, so nobody else may reach them.
    """
    import uvicorn

    from kundig.server.app import make_app

    settings = workspace.config.settings.serve
    if settings.host not in LOOPBACK:
        raise AccessDenied(
            f"pages would listen on {settings.host} without a login", at="kundig.toml, [serve] host", mend="keep 127.0.0.1 and reach it through a tunnel or a proxy that asks who is there"
        )
    uvicorn.run(make_app(workspace), host=settings.host, port=settings.port, log_level="warning", server_header=False)
