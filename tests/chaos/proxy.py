"""A TCP proxy to put between two parts: it can stall, cut, trickle or lose one direction, or be slow.

Runs on a thread of its own. A change of mode applies to the connections that are open, too.
"""

import asyncio
import contextlib
import enum
import socket
import threading


class Mode(enum.Enum):
    PASS = "pass"
    STALL = "stall"  # accept, carry nothing on, either way
    REFUSE = "refuse"  # close new connections at once
    TRICKLE = "trickle"  # one byte a second
    DROP_REPLIES = "drop replies"  # requests go through, answers vanish
    DROP_REQUESTS = "drop requests"


class Proxy:
    def __init__(self, target_host: str, target_port: int, bytes_per_second: float | None = None):
        """`bytes_per_second`: what each direction of a connection carries at most; None: no limit."""
        self._target = (target_host, target_port)
        self.bytes_per_second = bytes_per_second  # may change at any time
        self.mode = Mode.PASS
        self.connections = 0
        self.bytes_carried = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._resume = None
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        started.wait(5)

    def set_mode(self, mode: Mode) -> None:
        self._call(self._set_mode, mode)

    def reset(self) -> int:
        """Cut every open connection with a RST; returns how many."""
        return self._call(self._cut, True)

    def half_close(self) -> int:
        """Send FIN both ways and keep the sockets open."""
        return self._call(self._half_close)

    def close(self) -> None:
        self._call(self._cut, True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _call(self, function, *arguments):
        async def inside():
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(inside(), self._loop).result(10)

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._resume = asyncio.Event()
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        self._loop.run_forever()
        server.close()

    def _set_mode(self, mode: Mode) -> None:
        self.mode = mode
        self._resume.set()
        self._resume = asyncio.Event()

    def _cut(self, hard: bool) -> int:
        cut = len(self._writers) // 2
        for writer in list(self._writers):
            raw = writer.get_extra_info("socket")
            if hard and raw is not None:
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            writer.transport.abort()
        return cut

    def _half_close(self) -> int:
        for writer in list(self._writers):
            if writer.can_write_eof() and not writer.is_closing():
                writer.write_eof()
        return len(self._writers) // 2

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.mode is Mode.REFUSE:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(
                self._carry(reader, far_writer, Mode.DROP_REQUESTS),
                self._carry(far_reader, writer, Mode.DROP_REPLIES),
            )
        finally:
            self._writers -= {writer, far_writer}

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dropping: Mode
    ) -> None:
        try:
            while chunk := await reader.read(4096 if self.bytes_per_second else 65536):
                while self.mode is Mode.STALL:
                    await self._resume.wait()
                if self.mode is dropping:
                    continue
                self.bytes_carried += len(chunk)
                if self.bytes_per_second:
                    await asyncio.sleep(len(chunk) / self.bytes_per_second)
                while self.mode is Mode.TRICKLE and chunk:
                    writer.write(chunk[:1])
                    await writer.drain()
                    chunk = chunk[1:]
                    await asyncio.sleep(1)
                writer.write(chunk)
                await writer.drain()
        except (ConnectionError, OSError, RuntimeError):
            pass
        finally:
            if self.mode in (Mode.STALL, Mode.REFUSE):
                writer.transport.abort()
            else:
                writer.close()
