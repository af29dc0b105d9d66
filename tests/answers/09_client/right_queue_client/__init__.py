"""The inbox is an asyncio.Queue, each connection has a queue of messages to send, and a timer detects silence."""
