// SPDX-License-Identifier: Apache-2.0
// What lightvmd knows, live. All text goes through textContent; whatever a VM is called, it is never markup.
"use strict";

const ROWS = 200, EVENTS = 200, POINTS = 2000, LEDGERS_AT_ONCE = 4, POOLS_MS = 2000;
const SVG = "http://www.w3.org/2000/svg";
const token = location.hash.slice(1);
const vms = new Map(); // by id: {vm, row, ledger}
const points = []; // {running, ms, hit}
const steps = new Map(); // colours, by the step's name
let last = 0; // id of the last event

const at = id => document.getElementById(id);

async function get(path, options = {}) {
	const headers = token ? { Authorization: "Bearer " + token } : {};
	const answer = await fetch(path, { headers, cache: "no-store", ...options });
	if (!answer.ok) {
		const error = new Error((await answer.json().catch(() => null))?.error?.message ?? "status " + answer.status);
		error.status = answer.status;
		throw error;
	}
	return answer;
}

const json = async path => (await get(path)).json();

function element(name, text, ...classes) {
	const made = document.createElement(name);
	if (text !== undefined)
		made.textContent = text;
	made.classList.add(...classes);
	return made;
}

function drawn(name, attributes, text) {
	const made = document.createElementNS(SVG, name);
	for (const [key, value] of Object.entries(attributes))
		made.setAttribute(key, value);
	if (text !== undefined)
		made.textContent = text;
	return made;
}

function bytes(n) {
	if (!Number.isFinite(n))
		return "";
	for (const unit of ["", " KiB", " MiB", " GiB"]) {
		if (n < 1024 || unit === " GiB")
			return (unit && n < 100 ? n.toFixed(1) : Math.round(n)) + unit;
		n /= 1024;
	}
	return "";
}

const ms = ns => (ns / 1e6).toFixed(2);

function say(text, on) {
	at("live").textContent = text;
	at("live").className = on ? "on" : "off";
}

// ---- virtual machines

function colour(step) {
	if (!steps.has(step)) {
		steps.set(step, "step" + steps.size % 8);
		const box = drawn("svg", { viewBox: "0 0 10 10" });
		const line = element("span", "");
		box.append(drawn("rect", { width: 10, height: 10, class: steps.get(step) }));
		line.append(box, step);
		at("steps").append(line);
	}
	return steps.get(step);
}

// The start, up to the program's first instruction, as a bar; all bars have the scale of the longest.
function drawLedgers() {
	const shown = [...vms.values()].filter(one => one.ledger?.length);
	const longest = Math.max(1, ...shown.map(one => one.ledger[one.ledger.length - 1].ns));
	for (const { ledger, row } of shown) {
		const bar = drawn("svg", { viewBox: "0 0 1000 10", preserveAspectRatio: "none", class: "bar" });
		for (const step of ledger) {
			const from = (step.ns - step.delta_ns) / longest * 1000;
			const rect = drawn("rect", { x: from, y: 0, width: Math.max(step.delta_ns / longest * 1000, 0.5), height: 10, class: colour(step.step) });
			rect.append(drawn("title", {}, `${step.step}: ${ms(step.delta_ns)} ms`));
			bar.append(rect);
		}
		row.children[5].replaceChildren(bar);
		row.children[6].textContent = ms(ledger[ledger.length - 1].ns);
	}
}

const wanting = []; // ids whose ledger is to be fetched
let fetching = 0;

async function fetchLedgers() {
	while (fetching < LEDGERS_AT_ONCE && wanting.length) {
		const id = wanting.shift();
		fetching++;
		json(`v1/vms/${id}/ledger`).then(answer => {
			const one = vms.get(id);
			const end = answer.steps.findIndex(step => step.step === "program");
			if (one)
				one.ledger = answer.steps.slice(1, end < 0 ? undefined : end + 1).filter(step => step.step !== "exit" && step.step !== "listen");
			drawLedgers();
		}).catch(() => {}).finally(() => { fetching--; fetchLedgers(); });
	}
}

function wantLedger(id) {
	if (vms.get(id)?.row.isConnected && !wanting.includes(id))
		wanting.push(id);
	fetchLedgers();
}

function fill(one) {
	const { vm, row } = one;
	const cells = [vm.name ?? "", vm.id, vm.status ?? vm.state, vm.program ?? "", bytes(vm.memory_used)];
	cells.forEach((text, i) => { row.children[i].textContent = row.children[i].title = text; });
	row.children[2].className = vm.crashed ? "crashed" : vm.state;
}

function show(vm) {
	let one = vms.get(vm.id);
	if (!one) {
		const row = element("tr");
		row.append(element("td"), element("td", "", "id"), element("td"), element("td"), element("td", "", "number"), element("td", "", "wide"), element("td", "", "number"));
		row.dataset.vm = vm.id;
		one = { vm, row };
		vms.set(vm.id, one);
		if (at("vms").tBodies[0].rows.length < ROWS)
			at("vms").tBodies[0].prepend(row);
		wantLedger(vm.id);
	}
	one.vm = { ...one.vm, ...vm };
	fill(one);
	count();
}

function hide(id) {
	const one = vms.get(id);
	if (!one)
		return;
	one.row.remove();
	vms.delete(id);
	for (const other of vms.values())
		if (!other.row.isConnected && at("vms").tBodies[0].rows.length < ROWS) {
			at("vms").tBodies[0].append(other.row);
			wantLedger(other.vm.id);
		}
	count();
}

function count() {
	const hidden = vms.size - at("vms").tBodies[0].rows.length;
	at("more").textContent = vms.size === 0 ? "None." : hidden > 0 ? `And ${hidden} more.` : "";
}

async function loadVms() {
	const answer = await json("v1/vms?all=true");
	const there = new Set(answer.vms.map(vm => vm.id));
	for (const id of vms.keys())
		if (!there.has(id))
			hide(id);
	answer.vms.forEach(show);
	count();
}

// ---- start latency over the number of VMs

function ceiling(n) {
	const power = 10 ** Math.floor(Math.log10(n));
	return [1, 2, 5, 10].find(step => step * power >= n) * power;
}

function drawStarts() {
	const chart = at("starts"), left = 50, right = 790, top = 20, bottom = 230;
	const most = 4 * ceiling(Math.max(1, ...points.map(point => point.running / 4)));
	// Times of a hit and of an image that is packed first differ by orders of magnitude: each power of ten has the same room.
	const low = Math.floor(Math.log10(Math.min(1, ...points.map(point => point.ms)))), high = Math.ceil(Math.log10(Math.max(10, ...points.map(point => point.ms))));
	const x = n => left + n / most * (right - left), y = n => bottom - (Math.log10(n) - low) / (high - low) * (bottom - top);
	chart.replaceChildren();
	for (let power = low; power <= high; power++) {
		const at = y(10 ** power);
		chart.append(drawn("line", { x1: left, x2: right, y1: at, y2: at, class: power === low ? "axis" : "grid" }));
		chart.append(drawn("text", { x: left - 6, y: at + 4, "text-anchor": "end" }, String(+(10 ** power).toPrecision(1))));
	}
	for (let i = 0; i <= 4; i++)
		chart.append(drawn("text", { x: x(most * i / 4), y: bottom + 16, "text-anchor": "middle" }, String(most * i / 4)));
	chart.append(drawn("text", { x: left, y: 12 }, "ms from the command to the program's first instruction; green: a shell was ready"));
	chart.append(drawn("text", { x: right, y: bottom + 28, "text-anchor": "end" }, "VMs that live"));
	for (const point of points)
		chart.append(drawn("circle", { cx: x(point.running), cy: y(point.ms), r: 3, class: "point " + (point.hit ? "hit" : "cold") }));
}

let drawing = false;
function drawSoon() {
	if (!drawing)
		requestAnimationFrame(() => { drawing = false; drawStarts(); });
	drawing = true;
}

function addStart(attributes) {
	if (!attributes?.latency_ns)
		return;
	points.push({ running: attributes.running, ms: attributes.latency_ns / 1e6, hit: attributes.claim === "hit" });
	if (points.length > POINTS)
		points.shift();
	drawSoon();
}

// ---- pools, from the metrics

function readMetrics(text) {
	const pools = new Map();
	for (const line of text.split("\n")) {
		const match = /^lightvm_pool_([a-z_]+)\{pool="((?:[^"\\]|\\.)*)"(?:,(?:state|result)="([a-z]*)")?\} (.*)$/.exec(line);
		if (!match)
			continue;
		const name = match[2].replace(/\\(.)/g, "$1");
		if (!pools.has(name))
			pools.set(name, {});
		pools.get(name)[match[1] + (match[3] ? "." + match[3] : "")] = Number(match[4]);
	}
	return pools;
}

async function loadPools() {
	const rows = [];
	for (const [name, pool] of readMetrics(await (await get("v1/metrics")).text())) {
		const misses = Object.entries(pool).reduce((sum, [key, n]) => sum + (key.startsWith("claims_total.") && key !== "claims_total.hit" ? n : 0), 0);
		const row = element("tr");
		row.append(element("td", name), ...[pool["shells.ready"], pool["shells.making"], pool["shells.wanted"], pool["claims_total.hit"], misses,
			bytes(pool.memory_bytes), Math.round(pool.saved_seconds_total * 1000)].map(value => element("td", String(value ?? ""), "number")));
		rows.push(row);
	}
	at("pools").tBodies[0].replaceChildren(...rows);
}

// ---- events

const looking = new Set(); // ids that are being asked for
const gone = new Set(); // that will not come again
async function look(id) {
	if (looking.has(id))
		return;
	looking.add(id);
	await new Promise(resolve => setTimeout(resolve, 50)); // several events of one VM are one look
	looking.delete(id);
	if (gone.has(id))
		return;
	const answer = await json(`v1/vms/${id}`).catch(error => error.status === 404 ? null : Promise.reject(error));
	if (answer)
		show(answer);
	else
		hide(id);
}

function log(event) {
	const time = new Date(event.time_ns / 1e6).toLocaleTimeString();
	const more = Object.entries(event.attributes ?? {}).map(([key, value]) => key.endsWith("_ns") ? `${key.slice(0, -3)}=${ms(value)}ms` : `${key}=${value}`);
	at("events").prepend(element("li", [time, event.type, event.vm ?? "", event.name ?? "", ...more].join(" ")));
	while (at("events").children.length > EVENTS)
		at("events").lastChild.remove();
}

function take(event) {
	const fresh = event.id > started;
	last = event.id;
	log(event);
	if (event.type === "lost")
		loadVms();
	else if (event.type === "start")
		addStart(event.attributes);
	if (event.type === "destroy")
		gone.add(event.vm);
	if (fresh && event.type === "destroy")
		hide(event.vm);
	else if (fresh && event.vm)
		look(event.vm).then(() => event.type === "start" && wantLedger(event.vm), () => {});
}

let started = 0; // events up to this one are told by the list already
async function follow() {
	const reader = (await get("v1/events?after=" + last)).body.pipeThrough(new TextDecoderStream()).getReader();
	let rest = "";
	say("live", true);
	for (;;) {
		const { value, done } = await reader.read();
		if (done)
			return;
		const blocks = (rest + value).split("\n\n");
		rest = blocks.pop();
		for (const block of blocks)
			for (const line of block.split("\n"))
				if (line.startsWith("data: "))
					take(JSON.parse(line.slice(6)));
	}
}

// The list comes after the last event that it may not know of.
async function begin() {
	const text = await (await get("v1/events?follow=false&after=" + last)).text();
	const ids = [...text.matchAll(/^id: (\d+)$/gm)].map(match => Number(match[1]));
	started = Math.max(started, ...ids);
	const health = await json("v1/health");
	at("about").textContent = `lightvmd ${health.version}, process ${health.pid}, since ${new Date(health.started_ns / 1e6).toLocaleString()}`;
	await loadVms();
	await loadPools();
}

async function run() {
	drawStarts();
	for (;;) {
		try {
			await begin();
			await follow();
			say("lightvmd has ended the stream", false);
		} catch (error) {
			say(error.status === 401 ? "This address needs the whole of what \"lightvm daemon page\" printed." : String(error.message), false);
			if (error.status === 401)
				return;
		}
		await new Promise(resolve => setTimeout(resolve, 1000));
	}
}

setInterval(() => document.hidden || loadPools().catch(() => {}), POOLS_MS);
run();
