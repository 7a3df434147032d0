"""The same as agent.c, in Python: one call a line, the kernel's answer behind it."""
import os
import socket
import sys

sockets = {}
for line in iter(sys.stdin.readline, ""):
    call, *words = line.split()
    a, b, c, *value = [*map(int, words[:3]), *[0] * (3 - len(words[:3])), *words[3:]]
    try:
        if call == "socket":
            one = socket.socket(a, b, c)
            sockets[one.fileno()] = one
            said = one.fileno()
        elif call == "bind":
            sockets[a].bind(("127.0.0.1" if b == socket.AF_INET else "::", 0))
            said = 0
        elif call == "close":
            sockets.pop(a).close()
            said = 0
        elif call == "set":
            sockets[a].setsockopt(b, c, bytes.fromhex(value[0] if value else ""))
            said = 0
        elif call == "get":
            said = sockets[a].getsockopt(b, c, 1024).hex()
        else:
            sys.exit(2)
    except OSError as error:
        said = f"errno {error.errno}"
    print(said, flush=True)
