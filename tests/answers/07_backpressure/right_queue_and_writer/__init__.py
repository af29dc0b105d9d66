"""An asyncio.Queue and a writer task for each tab, and sleep(0) after each message."""
