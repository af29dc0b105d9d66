"""Chromium for the tests: find it, start it, and handle a machine without one."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Without these, Chromium asks hosts on the network for updates.
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


def missing(sentence: str, detail: object) -> NoReturn:
    """Skip the test on a laptop; in CI, fail it, because no test may be skipped there.

    Args:
        sentence: the missing program, and the command that installs it.
        detail: the error.
    """
    if os.environ.get("CI"):
        pytest.fail(f"{sentence}\n{detail}", pytrace=False)
    pytest.skip(sentence)


@contextlib.contextmanager
def chromium() -> Iterator["Browser"]:
    """Start an installed Chromium or Chrome, or the one that Playwright has installed."""
    trouble: Exception | None = None
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        trouble = error
    if trouble:
        missing("No browser, so this is not tested: pip install playwright.", trouble)
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=next(filter(None, found), None), args=ARGUMENTS)
        except Error as error:
            trouble = error
        if trouble:
            missing("No browser, so this is not tested: playwright install chromium.", trouble)
        yield browser
        browser.close()
