"""`page`: the browser page of a server, below a cell or in a panel of its own."""

import html
import os
from dataclasses import dataclass

from .server import Server


def address(port: int, path: str = "/") -> str:
    """Where a browser reaches a server that listens on this machine.

    On your own machine that is the server itself. Where the browser is elsewhere, it goes through
    jupyter-server-proxy: under JupyterHub and Binder, which set JUPYTERHUB_SERVICE_PREFIX, and where
    WORKSHOP_PROXY is set to the path of JupyterLab, such as `/`.

    Args:
        port: of the server.
        path: what follows the host, with its slash.
    """
    prefix = os.environ.get("WORKSHOP_PROXY") or os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if prefix:
        return f"{prefix.rstrip('/')}/proxy/{port}{path}"
    return f"http://127.0.0.1:{port}{path}"


@dataclass(frozen=True)
class Page:
    """A page of a server, shown below a cell."""

    url: str

    def _repr_html_(self) -> str:
        url = html.escape(self.url)
        return (
            f'<p><a href="{url}" target="_blank" rel="noopener">Open {url} in a tab of its own</a> '
            '<button data-commandlinker-command="notebook:create-output-view">'
            "Open it in a panel of its own</button></p>"
            f'<iframe src="{url}" title="The page of the server" '
            'style="width:100%;height:480px;border:1px solid #8888"></iframe>'
        )

    def __repr__(self) -> str:
        return self.url


def page(server: Server, path: str = "/") -> Page:
    """The browser page of a server, with a button that opens it in a panel of its own, so that the cells stay in view.

    Args:
        server: what `serve` gave you.
        path: which page of it.
    """
    return Page(address(server.port, path))
