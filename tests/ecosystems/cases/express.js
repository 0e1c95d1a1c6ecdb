// A web framework of node: express.
// needs: express@5.1.0
// serve: node $tree/express.js $port
const express = require("express");
const app = express();
app.get("/hello", (request, response) => response.json({ hello: request.query.name }));
app.get("/big", (request, response) => response.type("text/plain").send("0123456789abcdef".repeat(65536)));
app.post("/echo", express.raw({ limit: "2mb" }), (request, response) => response.type("application/octet-stream").send(request.body));
const server = app.listen(Number(process.argv[2]), () => console.log("listening"));
process.on("SIGTERM", () => server.close(() => console.log("closed")) && server.closeIdleConnections());
