"""`page`: a server's web page, below a cell or in a tab of JupyterLab."""

import html
import json
import os
from dataclasses import dataclass

from .server import Server


def address(port: int, path: str = "/") -> str:
    """Return the URL at which your browser reaches a server on this machine.

    On your own machine, it's the URL of the server itself. If the browser runs elsewhere, the URL goes through
    jupyter-server-proxy: under JupyterHub and Binder, which set JUPYTERHUB_SERVICE_PREFIX, and if you set
    WORKSHOP_PROXY to the path of JupyterLab, such as `/`.

    Args:
        port: the TCP port of the server.
        path: the path of the URL, with its leading slash.
    """
    prefix = os.environ.get("WORKSHOP_PROXY") or os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if prefix:
        return f"{prefix.rstrip('/')}/proxy/{port}{path}"
    return f"http://127.0.0.1:{port}{path}"


@dataclass(frozen=True)
class Page:
    """A server's web page, shown below a cell."""

    url: str
    height: int

    def _repr_html_(self) -> str:
        url = html.escape(self.url)
        # The command of jupyter-server-proxy: a tab of JupyterLab with a frame. It keeps the page, and so its
        # connections, while the notebook scrolls or its cells run again.
        tab = {"id": self.url, "title": "The server's page", "url": self.url, "newBrowserTab": False}
        return (
            f'<p><a href="{url}" target="_blank" rel="noopener">Open {url} in a tab of your browser</a> '
            '<button data-commandlinker-command="server-proxy:open" '
            f'data-commandlinker-args="{html.escape(json.dumps(tab))}">Open it in a tab of JupyterLab</button></p>'
            f'<iframe src="{url}" title="The page of the server" '
            f'style="width:100%;height:{self.height}px;border:1px solid #8888"></iframe>'
        )

    def __repr__(self) -> str:
        return self.url


def page(server: Server, path: str = "/", *, height: int = 560) -> Page:
    """Return a server's web page, which the notebook shows below the cell.

    A button opens the page in a tab of JupyterLab. Drag this tab to a side, and the cells stay in view.

    Args:
        server: the server that `serve` has returned.
        path: the path of the page.
        height: the height of the frame, in pixels.
    """
    return Page(address(server.port, path), height)
