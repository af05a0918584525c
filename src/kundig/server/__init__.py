"""Pages and API of a workspace: server-rendered, on loopback, each page also as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kundig.errors import AccessDenied

if TYPE_CHECKING:
    from kundig.workspace import Workspace


def serve(workspace: Workspace) -> None:
    """Serve the workspace's pages until stopped.

    Raises:
        AccessDenied: The address is not loopback: pages know no login yet, so nobody else may reach them.
    """
    from kundig.server.loopback import LOOPBACK

    settings = workspace.config.settings.serve
    if settings.host not in LOOPBACK:
        raise AccessDenied(
            f"pages would listen on {settings.host} without a login", at="kundig.toml, [serve] host", mend="keep 127.0.0.1 and reach it through a tunnel or a proxy that asks who is there"
        )
    import uvicorn

    from kundig.server.app import make_app

    uvicorn.run(make_app(workspace), host=settings.host, port=settings.port, log_level="warning", server_header=False)
