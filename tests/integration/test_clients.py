"""HTTP clients of several languages post orders, half of the bodies chunked, some after "100 Continue"."""

import asyncio
import json
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import aiohttp
import httpx
import pytest

CLIENTS = Path(__file__).parent / "clients"
COUNT = 200
AT_ONCE = 8


def order(i):
    return b'{"product_name":"Python","amount":%d.%02d}' % (1 + i // 100, i % 100)


async def in_pieces(body):
    yield body[:5]
    yield body[5:]


async def post_all(post):
    """post(i) returns a status; 8 are under way at a time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(i):
        async with room:
            return await post(i)

    return Counter(await asyncio.gather(*map(one, range(COUNT))))


async def with_httpx(url):
    async with httpx.AsyncClient(timeout=30) as client:

        async def post(i):
            content = in_pieces(order(i)) if i % 2 else order(i)
            headers = {"Expect": "100-continue"} if i % 4 >= 2 else {}
            return (await client.post(url, content=content, headers=headers)).status_code

        return await post_all(post)


async def with_aiohttp(url):
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session:

        async def post(i):
            data = in_pieces(order(i)) if i % 2 else order(i)
            async with session.post(url, data=data, expect100=i % 4 >= 2) as answer:
                await answer.read()
                return answer.status

        return await post_all(post)


@pytest.mark.parametrize("client", [with_httpx, with_aiohttp])
def test_python(api, client):
    assert asyncio.run(client(api.url + "/api/orders")) == {202: COUNT}


@pytest.mark.parametrize(
    ("needs", "command"),
    [
        ("node", ["node", "fetch.mjs"]),
        ("javac", ["java", "Post.java"]),
        ("go", ["go", "run", "post.go"]),
    ],
    ids=["node", "java", "go"],
)
@pytest.mark.timeout(300)  # Go compiles its library the first time
def test_other_languages(api, needs, command):
    if shutil.which(needs) is None:
        pytest.skip(f"{needs} is not installed")
    result = subprocess.run(
        [*command, api.url + "/api/orders", str(COUNT)],
        cwd=CLIENTS,
        env=os.environ | {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"202": COUNT}
