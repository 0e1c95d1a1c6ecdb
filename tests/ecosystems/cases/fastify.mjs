// A web framework of node: fastify, with a cluster of two workers that the first one starts and ends.
// needs: fastify@5.2.1
// serve: node $tree/fastify.mjs $port
import cluster from "node:cluster";
import fastify from "fastify";

if (cluster.isPrimary) {
	const workers = [cluster.fork(), cluster.fork()];
	process.on("SIGTERM", () => workers.forEach((worker) => worker.process.kill("SIGTERM")));
	let ended = 0;
	cluster.on("exit", (worker, code, signal) => {
		console.log("a worker ended:", code, signal);
		if (++ended == 2) process.exit(3);
	});
} else {
	const app = fastify();
	app.addContentTypeParser("application/octet-stream", { parseAs: "buffer" }, (request, body, done) => done(null, body));
	app.get("/hello", async (request) => ({ hello: request.query.name }));
	app.get("/big", async (request, reply) => reply.type("text/plain").send("0123456789abcdef".repeat(65536)));
	app.post("/echo", async (request, reply) => reply.type("application/octet-stream").send(request.body));
	process.on("SIGTERM", () => app.close().then(() => process.exit(0)));
	await app.listen({ port: Number(process.argv[2]), host: "0.0.0.0" });
}
