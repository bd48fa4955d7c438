"""A real S3 server on loopback, behind a front that can be killed and put back.

The server (moto) keeps its objects in memory, so what dies and comes back is a process before it
that carries bytes: to a client the same as a server that restarts on its disk.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

FRONT = """
import asyncio, sys
async def carry(r, w):
    try:
        while data := await r.read(65536):
            w.write(data)
            await w.drain()
    except OSError:
        pass
    finally:
        w.close()
async def serve(r, w):
    r2, w2 = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    await asyncio.gather(carry(r, w2), carry(r2, w))
async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()
asyncio.run(main())
"""


class Server:
    """Start it with `s3_server`."""

    def __init__(self) -> None:
        self.port, self._inner = free_port(), free_port()
        self._moto = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._inner)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        answers(self._inner)
        self.restart()

    @property
    def env(self) -> dict[str, str]:
        """What clients have in their environment."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def bucket(self, name: str) -> str:
        """Make a bucket; its URI."""
        import boto3

        boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self._inner}",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name="us-east-1",
        ).create_bucket(Bucket=name)
        return f"s3://{name}"

    def kill(self) -> None:
        """Nobody answers any more; open connections break."""
        self._front.kill()
        self._front.wait()

    def restart(self) -> None:
        """It answers again, at the same address."""
        self._front = subprocess.Popen(
            [sys.executable, "-c", FRONT, str(self.port), str(self._inner)]
        )
        answers(self.port)

    def close(self) -> None:
        for process in (self._front, self._moto):
            process.kill()
            process.wait()


@contextmanager
def s3_server() -> Iterator[Server]:
    """A server, with this process's environment set for it."""
    server = Server()
    before = {name: os.environ.get(name) for name in server.env}
    os.environ.update(server.env)
    try:
        yield server
    finally:
        for name, old in before.items():
            if old is None:
                del os.environ[name]
            else:
                os.environ[name] = old
        server.close()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def answers(port: int, within: float = 60.0) -> None:
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"nothing answers on port {port}")
