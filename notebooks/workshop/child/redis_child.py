"""Run a Redis server in this process's group: redis-server if a path is given, otherwise that of fakeredis.

python redis_child.py PORT FOLDER [PATH OF redis-server]
"""

import subprocess
import sys

if __name__ == "__main__":
    port, folder, *real = sys.argv[1:]
    if real:
        options = ["--bind", "127.0.0.1", "--port", port, "--dir", folder, "--save", ""]
        # Sync to the disk before each reply, so a power cut loses no acknowledged write.
        options += ["--appendonly", "yes", "--appendfsync", "always"]
        sys.exit(subprocess.call([*real, *options]))
    from fakeredis import TcpFakeServer

    with TcpFakeServer(("127.0.0.1", int(port)), server_version=(7, 0)) as server:
        server.serve_forever(poll_interval=0.01)
