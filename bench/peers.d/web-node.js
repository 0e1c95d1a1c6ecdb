// SPDX-License-Identifier: Apache-2.0
// node's own http, with the paths of the other servers of bench/peers. node web-node.js PORT
const answers = { '/1k': 1 << 10, '/256k': 256 << 10, '/1m': 1 << 20 };
for (const path in answers)
	answers[path] = Buffer.alloc(answers[path]);
require('http').createServer((request, response) => {
	const body = answers[request.url];
	response.writeHead(body ? 200 : 404, { 'Content-Length': body ? body.length : 0 });
	response.end(body);
}).listen(+process.argv[2]);
