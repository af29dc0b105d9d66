"""Run a Redis in this process's group: the real one if a path is given, else fakeredis' server.

python redis_child.py PORT FOLDER [PATH OF redis-server]
"""

import subprocess
import sys

if __name__ == "__main__":
    port, folder, *real = sys.argv[1:]
    if real:
        options = ["--bind", "127.0.0.1", "--port", port, "--dir", folder, "--save", ""]
        # What was answered is on the disk, even if the power fails in that moment.
        options += ["--appendonly", "yes", "--appendfsync", "always"]
        sys.exit(subprocess.call([*real, *options]))
    from fakeredis import TcpFakeServer

    with TcpFakeServer(("127.0.0.1", int(port)), server_version=(7, 0)) as server:
        server.serve_forever(poll_interval=0.01)
