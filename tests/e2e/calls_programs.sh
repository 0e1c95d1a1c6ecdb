#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Programs of every runtime that is here, once they run for a while: no system call of theirs traps any more.
# timeout: 300
. "$(dirname "$0")/lib_net.sh"
way_out
. "$(dirname "$0")/lib.sh"
counted() { "$lightvm" stats --no-stream --format json "$1" | jq -r '.[0] | "\(.system_calls) \(.system_calls_trapped)"'; }
# Of a monitor that has no time to answer there are no numbers. Sets numbers, made.
known() { numbers=$(counted "$1") && [[ $numbers =~ ^[0-9]+\ [0-9]+$ ]] && made=${numbers% *}; }
grew() { known "$1" && [ "$made" -ge "$2" ]; }

# steady NAME WHAT: two looks, thousands of calls apart. A site that is met for the first time traps before it is patched: few do, in between.
steady() {
	local before after
	await 60 "numbers of $2" known "$1" || { not_ok "$2: no call traps" 'there are no numbers'; return; }
	before=$numbers
	await 60 "calls of $2" grew "$1" $((${before% *} + 4000)) || { not_ok "$2: no call traps" "it does not make any"; return; }
	after=$numbers
	check "$2: no call traps" test $((${after#* } - ${before#* })) -le $(((${after% *} - ${before% *}) / 100))
	[ $((${after#* } - ${before#* })) -le $(((${after% *} - ${before% *}) / 100)) ] ||
		"$lightvm" inspect "$1" | jq -c '.[0].record.system_calls | [.made, .trapped, .sites[:5]]'
}

# works NAME WHAT COMMAND...: it says "up" when it has warmed up, and goes on.
works() {
	local name=$1 what=$2
	shift 2
	"$lightvm" run -d --name "$name" "$@" >/dev/null || { not_ok "$what: no call traps" 'it does not start'; return; }
	if await 60 "$what" grep -q up <("$lightvm" logs -f "$name"); then
		steady "$name" "$what"
	else
		not_ok "$what: no call traps" 'it does not get ready'
		"$lightvm" logs "$name" | tail -n 5
	fi
	"$lightvm" rm -f "$name" >/dev/null
}

# Only what is here as a program that can be packed (version managers put scripts in its place).
program() { local path; path=$(command -v "$1") && file -bL "$path" | grep -q '^ELF' && echo "$path"; }
lacks() { skip "$1: no call traps" "there is no $2 here"; }

if command -v go >/dev/null; then
	cat >"$work/main.go" <<'G'
package main

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

func main() {
	var end [2]int
	syscall.Pipe(end[:])
	null, _ := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	done := make(chan int)
	b := make([]byte, 1)
	for n := 0; ; n++ {
		syscall.Write(end[1], b)
		syscall.Read(end[0], b)
		null.Write(b)
		os.Getppid()
		time.Now()
		go func() { done <- n }()
		<-done
		if n%16 == 0 {
			time.Sleep(50 * time.Microsecond)
		}
		if n == 2000 {
			fmt.Println("up")
		}
	}
}
G
	if (cd "$work" && HOME=$work GOFLAGS=-mod=mod GO111MODULE=off GOCACHE=$work/go within 200 go build -o "$work/gone" main.go) >"$work/log" 2>&1; then
		works gone Go "$work/gone"
	else
		lacks Go "Go that builds: $(tail -n 1 "$work/log")"
	fi
else
	lacks Go go
fi

if command -v rustc >/dev/null; then
	cat >"$work/rusty.rs" <<'R'
use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex};
fn main() {
    let pair = Arc::new((Mutex::new(0u64), Condvar::new()));
    let other = pair.clone();
    std::thread::spawn(move || loop {
        let mut turn = other.0.lock().unwrap();
        while *turn % 2 == 0 { turn = other.1.wait(turn).unwrap(); }
        *turn += 1;
        other.1.notify_one();
    });
    let mut zero = std::fs::File::open("/dev/zero").unwrap();
    let mut null = std::fs::File::create("/dev/null").unwrap();
    let mut byte = [0u8; 1];
    for n in 0u64.. {
        let mut turn = pair.0.lock().unwrap();
        while *turn % 2 == 1 { turn = pair.1.wait(turn).unwrap(); }
        *turn += 1;
        pair.1.notify_one();
        drop(turn);
        zero.read(&mut byte).unwrap();
        null.write(&byte).unwrap();
        std::thread::yield_now();
        if n == 2000 { println!("up"); }
    }
}
R
	if within 100 rustc -O -o "$work/rusty" "$work/rusty.rs" >"$work/log" 2>&1; then works rusty Rust "$work/rusty"; else lacks Rust "rustc that builds: $(tail -n 1 "$work/log")"; fi
else
	lacks Rust rustc
fi

if node=$(program node); then
	cat >"$work/turns.js" <<'J'
const fs = require('fs'), http = require('http');
const zero = fs.openSync('/dev/zero', 'r'), sink = fs.openSync('/dev/null', 'w'), b = Buffer.alloc(1);
const agent = new http.Agent({ keepAlive: true });
let n = 0;
const server = http.createServer((ask, say) => say.end('x')).listen(8080, '127.0.0.1', turn);
function turn() {
	fs.readSync(zero, b);
	fs.writeSync(sink, b);
	fs.stat('/', () => http.get({ port: 8080, host: '127.0.0.1', agent }, (answer) => { answer.resume(); answer.on('end', turn); }));
	if (++n === 300) console.log('up');
}
J
	works turns node -v "$work/turns.js:/turns.js" "$node" /turns.js
else
	lacks node node
fi

if java=$(program java) && command -v javac >/dev/null; then
	cat >"$work/Turns.java" <<'J'
import java.io.*;
public class Turns {
	static int turn;
	public static void main(String[] words) throws Exception {
		Object lock = new Object();
		Thread other = new Thread(() -> {
			try {
				for (;;) synchronized (lock) { while (turn % 2 == 0) lock.wait(); turn++; lock.notify(); }
			} catch (InterruptedException e) { }
		});
		other.setDaemon(true);
		other.start();
		try (FileInputStream zero = new FileInputStream("/dev/zero"); FileOutputStream sink = new FileOutputStream("/dev/null")) {
			for (int n = 0;; n++) {
				synchronized (lock) { while (turn % 2 == 1) lock.wait(); turn++; lock.notify(); }
				sink.write(zero.read());
				if (n % 64 == 0) { Thread t = new Thread(() -> { }); t.start(); t.join(); }
				if (n == 2000) System.out.println("up");
			}
		}
	}
}
J
	if (cd "$work" && within 100 javac -d "$work/classes" Turns.java) >"$work/log" 2>&1; then
		works java Java -v "$work/classes:/classes" -m 512M "$java" -cp /classes Turns
	else
		lacks Java "javac of the same: $(tail -n 1 "$work/log")"
	fi
else
	lacks Java 'java and javac'
fi

if python=$(program /usr/bin/python3); then
	cat >"$work/turns.py" <<'P'
import os, threading, time
zero, sink = os.open("/dev/zero", os.O_RDONLY), os.open("/dev/null", os.O_WRONLY)
n, turn = 0, threading.Event()
threading.Thread(target=lambda: [time.sleep(0.0001) or turn.set() for _ in iter(int, 1)], daemon=True).start()
while True:
    os.write(sink, os.read(zero, 1))
    os.getppid(), os.stat("/"), os.lseek(zero, 0, 0), time.sleep(0)
    if n % 50 == 0:
        turn.wait(); turn.clear()
    n += 1
    if n == 2000:
        print("up", flush=True)
P
	works python Python -v "$work/turns.py:/turns.py" "$python" /turns.py
else
	lacks Python /usr/bin/python3
fi

# A static program of musl's, and one of glibc's: their sites are in the program itself, its heap behind it.
cat >"$work/turns.c" <<'C'
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static int turn;
static void take_turn(int mine)
{
	pthread_mutex_lock(&lock);
	while (turn % 2 != mine)
		pthread_cond_wait(&turned, &lock);
	turn++;
	pthread_cond_signal(&turned);
	pthread_mutex_unlock(&lock);
}
static void *other(void *unused)
{
	for (;;)
		take_turn(1);
}
int main(void)
{
	int zero = open("/dev/zero", O_RDONLY), sink = open("/dev/null", O_WRONLY);
	pthread_t thread;
	struct stat st;
	char byte;
	pthread_create(&thread, NULL, other, NULL);
	for (int n = 0;; n++) {
		take_turn(0);
		if (read(zero, &byte, 1) != 1 || write(sink, &byte, 1) != 1 || stat("/", &st) || syscall(SYS_getppid) < 0 || lseek(zero, 0, SEEK_SET))
			return 1;
		if (n % 20 == 0 && n < 2000 && !malloc(100000)) /* the heap grows, behind the room for jumps */
			return 1;
		if (n == 2000)
			puts("up"), fflush(stdout);
	}
}
C
gcc -O1 -pthread -static -o "$work/turns-glibc" "$work/turns.c" && works glibc 'static, of glibc' "$work/turns-glibc"
if command -v musl-gcc >/dev/null; then
	musl-gcc -O1 -static -o "$work/turns-musl" "$work/turns.c" && works musl 'static, of musl' "$work/turns-musl"
	musl-gcc -O1 -o "$work/turns-musl-so" "$work/turns.c" && works musl-so 'dynamic, of musl' "$work/turns-musl-so"
else
	lacks 'of musl' musl-gcc
fi
gcc -O1 -pthread -o "$work/turns-so" "$work/turns.c" && works glibc-so 'dynamic, of glibc' "$work/turns-so"

# Servers, behind passt, asked by a connection that stays.
cat >"$work/ask.py" <<'P'
import socket, sys
port, ask, end = int(sys.argv[1]), sys.argv[2].encode().decode("unicode_escape").encode(), sys.argv[3].encode()
link = socket.create_connection(("127.0.0.1", port))
for i in range(4 if len(sys.argv) > 4 else 10**9):
    link.sendall(ask)
    got = b""
    while not got.endswith(end):
        part = link.recv(65536)
        if not part:
            sys.exit("hung up after %d" % i)
        got += part
P
# serves NAME WHAT PORT ASK END RUN-OPTION... PROGRAM ARG...
serves() {
	local name=$1 what=$2 inner=$3 ask=$4 end=$5 port
	port=$(free_port)
	shift 5
	"$lightvm" run -d --name "$name" -m 128M -p "$port:$inner" "$@" >/dev/null || { not_ok "$what: no call traps" 'it does not start'; return; }
	if await 60 "$what" python3 "$work/ask.py" "$port" "$ask" "$end" once; then
		start python3 "$work/ask.py" "$port" "$ask" "$end"
		await 60 "answers of $what" grew "$name" 3000 && steady "$name" "$what"
		kill "$pid"
	else
		not_ok "$what: no call traps" 'it does not answer'
	fi
	"$lightvm" rm -f "$name" >/dev/null
}
if [ -x /usr/sbin/nginx ]; then
	printf '%s\n' 'daemon off;' 'master_process off;' 'pid /tmp/nginx.pid;' 'events { }' 'http {' 'access_log /tmp/access.log; keepalive_requests 1000000000;' \
		'client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;' \
		"server { listen 80; location / { root $work/www; } } }" >"$work/nginx.conf"
	mkdir -p "$work/www" && echo the-end >"$work/www/page"
	serves web nginx 80 'GET /page HTTP/1.1\r\nHost: x\r\n\r\n' $'the-end\n' -v "$work:$work:ro" /usr/sbin/nginx -c "$work/nginx.conf" -e /dev/stderr
else
	lacks nginx /usr/sbin/nginx
fi
if [ -x /usr/bin/redis-server ]; then
	serves store redis 6379 'SET a b\r\nGET a\r\n' $'b\r\n' /usr/bin/redis-server --save '' --bind 0.0.0.0 --protected-mode no
else
	lacks redis /usr/bin/redis-server
fi

finish
