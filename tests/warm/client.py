# Stands for Python: has a warm process run the command if that can, else becomes a real Python. Only what Python itself
# needs to start is imported; `__init__.py` writes REAL and ADDRESS above.
import json
import os
import signal
import socket
import sys

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
arguments = sys.argv[1:]
try:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.connect(ADDRESS)
    order = {
        "arguments": arguments,
        "environment": dict(os.environ),
        "folder": os.getcwd(),  # noqa: PTH109 - pathlib takes as long to import as all else here
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "ignored": [number for number in PASSED_ON if signal.getsignal(number) == signal.SIG_IGN],
    }
    message = json.dumps(order).encode()
    server.sendall(len(message).to_bytes(4, "big") + message)
    socket.send_fds(server, [b"."], [0, 1, 2])
    warm = int.from_bytes(server.recv(4), "big")
except OSError:
    warm = 0
if not warm:
    os.execv(REAL, [REAL, *arguments])
for number in PASSED_ON:
    if number not in order["ignored"]:
        signal.signal(number, lambda number, _: os.kill(warm, number))
status = server.recv(1)  # should this process be killed, the warm one is too
if not status:
    os.kill(os.getpid(), signal.SIGKILL)
os._exit(status[0])
