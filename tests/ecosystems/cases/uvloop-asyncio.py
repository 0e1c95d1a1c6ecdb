# asyncio and uvloop: subprocesses, sockets, signals, timers, DNS; requests of a server of its own with TLS.
# needs: uvloop==0.21.0 aiohttp==3.12.15 aiosqlite==0.21.0 trustme==1.2.1
# run: $tree/venv/bin/python $tree/uvloop-asyncio.py
import asyncio
import os
import signal
import ssl
import sys

import aiohttp
import aiosqlite
import trustme
import uvloop
from aiohttp import web


async def subprocesses():
    child = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    print(await child.communicate(b"through a pipe"), child.returncode)
    child = await asyncio.create_subprocess_shell("sleep 100 & echo $((1 + 1)); kill -9 $!; wait $!; exit 5", stdout=asyncio.subprocess.PIPE)
    print(await child.stdout.read(), await child.wait())
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(100)")
    child.terminate()
    print("ended by", -await child.wait())


async def web_server():
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    certificate.configure_cert(server)
    authority.configure_trust(client)
    app = web.Application()

    async def socket(request):
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        async for message in answer:
            await answer.send_str(message.data[::-1])
        return answer

    app.router.add_get("/socket", socket)
    app.router.add_post("/", lambda request: request.text())
    app.router.add_get("/", lambda request: asyncio.sleep(0, web.Response(text="hello")))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "localhost", 0, ssl_context=server)
    await site.start()
    url = f"https://localhost:{site._server.sockets[0].getsockname()[1]}"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client)) as session:
        async with session.get(url) as answer:
            print(answer.status, await answer.text())
        async with session.ws_connect(url + "/socket") as opened:
            await opened.send_str("abc")
            print(await opened.receive_str())
    await runner.cleanup()


async def database():
    async with aiosqlite.connect("/tmp/async.db") as db:
        await db.execute("pragma journal_mode=wal")
        await db.execute("create table t (n)")
        await asyncio.gather(*(db.execute("insert into t values (?)", (n,)) for n in range(20)))
        await db.commit()
        async with db.execute("select sum(n) from t") as rows:
            print(await rows.fetchone())


async def main():
    got = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, got.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.wait_for(got.wait(), 30)
    print(type(asyncio.get_running_loop()).__module__)
    await subprocesses()
    await web_server()
    await database()
    os.unlink("/tmp/async.db")


asyncio.run(main())
uvloop.run(main())
