"""Step 13: the measurements of this machine."""

import os
import time

import psutil

DISK_INTERVAL = 30.0
"""Seconds between two values of disk. The samples in between don't have this topic."""


class Machine:
    """This machine: percent of cpu, memory and disk, KB/s of the network, and this process's TCP connections."""

    def __init__(self) -> None:
        self.measured_at = time.monotonic()
        self.network = network_bytes()
        self.disk_at = -DISK_INTERVAL

    def sample(self) -> dict[str, float]:
        """Return the newest value of each topic that has a new one.

        Raises:
            psutil.Error: the machine may not be read.
        """
        now, network = time.monotonic(), network_bytes()
        seconds = max(now - self.measured_at, 0.001)
        received, sent = ((new - old) / seconds / 1000 for new, old in zip(network, self.network, strict=True))
        self.measured_at, self.network = now, network
        tcp = psutil.Process().net_connections("tcp")
        values = {
            "cpu": psutil.cpu_percent(),  # The mean since the last call of this thread, and 0.0 for the first one.
            "memory": psutil.virtual_memory().percent,
            "received": received,
            "sent": sent,
            "connections": float(sum(each.status == psutil.CONN_ESTABLISHED for each in tcp)),
        }
        if now - self.disk_at >= DISK_INTERVAL:
            self.disk_at = now
            values["disk"] = psutil.disk_usage(os.path.abspath(os.sep)).percent
        return values


def network_bytes() -> tuple[int, int]:
    """Return the bytes that this machine has received and sent."""
    counters = psutil.net_io_counters()  # None on a machine without a network.
    return (counters.bytes_recv, counters.bytes_sent) if counters else (0, 0)
