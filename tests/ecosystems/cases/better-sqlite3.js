// A database: SQLite in the process, with a write-ahead log, and readers beside the writer.
// needs: better-sqlite3@12.2.0
// run: node $tree/better-sqlite3.js
// ignore: \.db
const Database = require("better-sqlite3");
const { spawnSync } = require("node:child_process");

if (process.argv[2] == "write") {
	const db = new Database("people.db", { timeout: 20000 });
	const insert = db.prepare("insert into people (name) values (?)");
	for (let i = 0; i < 50; i++) insert.run(`${process.argv[3]}-${i}`);
	process.exit(0);
}
const db = new Database("people.db");
console.log(db.pragma("journal_mode = wal"));
db.exec("create table people (id integer primary key, name text unique)");
for (const who of ["a", "b", "c"]) console.log(spawnSync(process.execPath, [__filename, "write", who]).status);
console.log(db.prepare("select count(*) as n, min(name) as first, max(name) as last from people").get());
console.log(db.pragma("integrity_check"), db.pragma("wal_checkpoint(TRUNCATE)"));
