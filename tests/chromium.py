"""Where a Chromium is on this machine, and how to start it so that it asks nobody on the network."""

import shutil

ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


def executable() -> str | None:
    """The path of an installed Chromium or Chrome; None leaves the choice to Playwright."""
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return next(filter(None, found), None)
