// Files that are watched, workers in threads and processes, streams, timers: node's own and chokidar, piscina, execa, undici, ws.
// needs: chokidar@4.0.3 piscina@5.1.3 execa@9.6.0 undici@7.14.0 ws@8.18.3
// run: node $tree/chokidar.mjs
// ignore: .*
import fs from "node:fs";
import path from "node:path";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { isMainThread } from "node:worker_threads";
import child from "node:child_process";
import http from "node:http";
import dns from "node:dns/promises";
import chokidar from "chokidar";
import { Piscina } from "piscina";
import { execa, $ } from "execa";
import { fetch } from "undici";
import WebSocket, { WebSocketServer } from "ws";

export default (number) => number * number;

const me = fileURLToPath(import.meta.url);
if (process.argv[2] == "forked") {
	process.on("message", (message) => { process.send(message.toUpperCase()); process.disconnect(); });
} else if (isMainThread) {
	for (const place of ["watched", "/tmp/watched"]) {
		fs.mkdirSync(place);
		const watcher = chokidar.watch(place);
		await once(watcher, "ready");
		setTimeout(() => fs.writeFileSync(path.join(place, "one"), "1"), 100);
		console.log("add", path.basename((await once(watcher, "add"))[0]));
		setTimeout(() => fs.writeFileSync(path.join(place, "one"), "22"), 100);
		console.log("change", path.basename((await once(watcher, "change"))[0]));
		fs.rmSync(path.join(place, "one"));
		console.log("unlink", path.basename((await once(watcher, "unlink"))[0]));
		await watcher.close();
		fs.rmSync(place, { recursive: true });
	}
	const pool = new Piscina({ filename: me, maxThreads: 3 });
	console.log((await Promise.all([...Array(50).keys()].map((n) => pool.run(n)))).reduce((a, b) => a + b));
	await pool.destroy();
	console.log((await execa("sh", ["-c", "cat; echo $0 >&2; exit 3"], { input: "in", reject: false })).exitCode, (await $`echo a b`.pipe`tr a-z A-Z`).stdout);
	const forked = child.fork(me, ["forked"]);
	forked.send("message");
	console.log((await once(forked, "message"))[0], (await once(forked, "exit"))[0]);
	console.log(child.execSync("ls / | grep -c usr").toString().trim(), child.spawnSync("false").status, child.spawnSync("none").error.code);
	const killed = child.spawn("sleep", ["100"]);
	killed.kill();
	console.log(await once(killed, "exit"));
	try { child.execFileSync("sleep", ["100"], { timeout: 200 }); } catch (error) { console.log(error.code, error.signal); }
	const server = http.createServer((request, response) => request.pipe(response)).listen(0);
	await once(server, "listening");
	const answers = await Promise.all([...Array(20).keys()].map(async (n) => (await (await fetch(`http://localhost:${server.address().port}`, { method: "POST", body: "x".repeat(n * 1000) })).text()).length));
	console.log(answers.reduce((a, b) => a + b));
	const sockets = new WebSocketServer({ server });
	sockets.on("connection", (one) => one.on("message", (data) => one.send(data)));
	const socket = new WebSocket(`ws://127.0.0.1:${server.address().port}`);
	await once(socket, "open");
	socket.send("over a websocket");
	console.log((await once(socket, "message"))[0].toString());
	socket.close();
	sockets.close();
	server.close();
	console.log((await dns.lookup("localhost", { family: 4 })).address, new Date(0).toString(), (1234.5).toLocaleString("de"));
	process.once("SIGUSR2", () => console.log("a signal"));
	process.kill(process.pid, "SIGUSR2");
	await new Promise((go) => setTimeout(go, 100));
	process.kill(process.pid, "SIGTERM");
}
