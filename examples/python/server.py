# A server of HTTP that takes its socket by LISTEN_FDS and ends well: told to end, it accepts nothing more, answers
# what it has accepted, and goes. `GET /slow` takes two seconds. Each answer names the generation.
import asyncio
import os
import signal
import socket
import sys

BODY = ("generation=" + os.environ.get("INUSE_GENERATION", str(os.getpid())) + "\n").encode()
ending = False
used, tasks = set(), set()


async def serve(reader, writer):
    tasks.add(asyncio.current_task())
    try:
        while not (ending and writer in used):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            used.discard(writer)
            if head.startswith(b"get /slow "):
                await asyncio.sleep(2)
            closes = ending or b"connection: close" in head
            answer = "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n"
            writer.write((answer % (len(BODY), "close" if closes else "keep-alive")).encode() + BODY)
            await writer.drain()
            if closes:
                break
            used.add(writer)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        pass
    finally:
        used.discard(writer)
        writer.close()
        tasks.discard(asyncio.current_task())


async def main():
    global ending
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        sys.exit("no socket was given to this process")
    servers = [
        await asyncio.start_server(serve, sock=socket.socket(fileno=3 + at))
        for at in range(int(os.environ["LISTEN_FDS"]))
    ]
    await told.wait()
    ending = True
    # Nothing more is accepted. A server that is closed drops what it has accepted and not begun to serve, so before
    # that some turns of the loop: what was accepted a moment ago has its task then.
    for server in servers:
        for listener in server.sockets:
            loop.remove_reader(listener.fileno())
    for writer in list(used):
        writer.close()
    for _ in range(20):
        await asyncio.sleep(0)
    for server in servers:
        server.close()
    if tasks:
        await asyncio.wait(tasks, timeout=20)


asyncio.run(main())
