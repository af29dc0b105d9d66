"""Run an event loop inside a running one, without nest_asyncio2's patch and with it: python nested_loop.py

Notebook 01 runs it in a Python process of its own, because the patch must not reach the kernel.
"""

import asyncio

import nest_asyncio2


async def inner() -> str:
    """Return a sentence."""
    return "the inner loop ran"


async def outer() -> str:
    """Call `asyncio.run`, as a library might, although a loop already runs."""
    coroutine = inner()
    try:
        return asyncio.run(coroutine)
    finally:
        coroutine.close()


if __name__ == "__main__":
    try:
        asyncio.run(outer())
    except RuntimeError as error:
        print("without the patch:", error)
    nest_asyncio2.apply()
    print("with the patch:", asyncio.run(outer()))
