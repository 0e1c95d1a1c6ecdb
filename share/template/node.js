// SPDX-License-Identifier: Apache-2.0
// A node that has started: node node.js [MODULE...] requires the modules, and is copied; each copy is the node that it is asked to be (docs/state.md, Templates).
// Of node's options it knows -e, -p and -- ; the others are for its start, which was before. Its random numbers for TLS are OpenSSL's, which cannot be told that it
// is another one: a copy that speaks TLS shares them with the others.
'use strict';
const fs = require('fs');
const Module = require('module');
const path = require('path');
const vm = require('vm');

// What this copy is asked for.
function waitToBeCopied() {
	const request = { arguments: [], environment: {}, directory: '' };
	for (const word of fs.readFileSync('/dev/template').toString().split('\0').slice(0, -1)) {
		const value = word.slice(4), equals = value.indexOf('=');
		if (word.startsWith('arg='))
			request.arguments.push(value);
		else if (word.startsWith('env='))
			request.environment[value.slice(0, equals)] = value.slice(equals + 1);
		else if (word.startsWith('cwd='))
			request.directory = value;
	}
	return request;
}

function takeEnvironment(variables) {
	for (const name of Object.keys(process.env))
		if (!(name in variables))
			delete process.env[name];
	for (const [name, value] of Object.entries(variables))
		if (process.env[name] !== value)
			process.env[name] = value;
}

// Math.random was seeded before, and every copy would have the same numbers: another generator (Doty-Humphrey's sfc32), with a seed of its own.
function forgetNumbers() {
	const seed = new Uint32Array(3), file = fs.openSync('/dev/urandom', 'r');
	fs.readSync(file, seed);
	fs.closeSync(file);
	let [a, b, c] = seed, counter = 1;
	const next = () => {
		const sum = (a + b + counter) | 0;
		counter = (counter + 1) | 0;
		a = b ^ (b >>> 9);
		b = (c + (c << 3)) | 0;
		c = (((c << 21) | (c >>> 11)) + sum) | 0;
		return sum >>> 0;
	};
	for (let i = 0; i < 12; i++)
		next();
	const random = () => ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) / 2 ** 53;
	Object.defineProperty(Math, 'random', { value: random, writable: true, configurable: true, enumerable: false });
}

function evaluate(code, name, print) {
	const inside = new Module(name);
	inside.filename = path.join(process.cwd(), name);
	inside.paths = Module._nodeModulePaths(process.cwd());
	Object.assign(globalThis, { module: inside, exports: inside.exports, require: Module.createRequire(inside.filename), __filename: name, __dirname: '.' });
	const result = vm.runInThisContext(code, { filename: name, importModuleDynamically: vm.constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER });
	if (print)
		console.log(result);
}

// node with these arguments.
function be(words) {
	const [name, ...rest] = words;
	let option = rest[0] ?? '-';
	Object.defineProperty(process, 'argv0', { value: name });
	process.execArgv = [];
	process.mainModule = undefined;
	if (['-e', '--eval', '-p', '--print', '-pe'].includes(option)) {
		if (rest[1] === undefined) {
			process.stderr.write(`${process.execPath}: ${option} requires an argument\n`);
			process.exit(9);
		}
		process.argv = [process.execPath, ...rest.slice(rest[2] === '--' ? 3 : 2)];
		evaluate(rest[1], '[eval]', option !== '-e' && option !== '--eval');
		return;
	}
	if (option === '--') {
		rest.shift();
		option = rest[0] ?? '-';
	} else if (option.length > 1 && option.startsWith('-')) {
		process.stderr.write(`node.js: the option ${option} is of node's start, which was before\n`);
		process.exit(9);
	}
	process.argv = [process.execPath, ...rest];
	if (option === '-') {
		evaluate(fs.readFileSync(0, 'utf8'), '[stdin]', false);
		return;
	}
	process.argv[1] = path.resolve(option);
	Module.runMain();
}

for (const name of process.argv.slice(2))
	require(name);
const request = waitToBeCopied();
forgetNumbers();
if (request.arguments.length) {
	takeEnvironment(request.environment);
	try {
		process.chdir(request.directory); // it is there already: node's own notion of it
	} catch {}
	be(request.arguments);
}
