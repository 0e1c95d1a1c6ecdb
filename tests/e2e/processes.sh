#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# Programs that are made of several processes, as processes and as a VM: shells, pipelines, jobs, timeout, python, make with cc; and what becomes of a
# VM of several processes when memory is short, when one of them fails, and when it is saved.
# timeout: 240
. "$(dirname "$0")/lib.sh"

mkdir "$work/bin" "$work/tree"
for name in dash bash echo cat tr wc sleep true false sort head seq timeout env ls grep sed make chmod rm; do cp -L "$(command -v "/usr/bin/$name")" "$work/bin/"; done
cp -L /usr/bin/dash "$work/bin/sh"
here=(--copy "$work/bin:/bin" --copy "$work/bin:/usr/bin")
shell() { local name=$1; shift; same "$name" "${here[@]}" -- "$@"; }

shell 'sh: a program and its status' /bin/sh -c 'true; echo $?; false; echo $?; echo done'
shell 'sh: a pipeline' /bin/sh -c 'echo a | tr a b'
shell 'bash: a pipeline of five' /bin/bash -c 'seq 1 20000 | grep 7 | sort -r | sed -n 1,5p | tr 7 x; echo "${PIPESTATUS[@]}"'
shell 'bash: what a command prints' /bin/bash -c 'x=$(seq 1 1000 | wc -l); echo $x; y=`echo inner $(echo innermost)`; echo $y'
shell 'bash: jobs in the background' /bin/bash -c 'sleep 0.1 & p=$!; wait $p; echo $?; (sleep 0.1; exit 7) & wait $!; echo $?'
shell 'bash: subshells, traps, signals' /bin/bash -c '(exit 3); echo $?; trap "echo got" USR1; kill -USR1 $$; sh -c "kill -TERM \$\$"; echo $?; cat <(echo sub)'
shell 'bash: exec of another program' /bin/bash -c 'exec /bin/echo "this is" another'
shell 'bash: a script, its interpreter and arguments' /bin/bash -c 'printf "#!/bin/sh\necho \$0 \$#; exit 4\n" >/tmp/script.$PPID.lv; chmod +x /tmp/script.$PPID.lv; /tmp/script.$PPID.lv a "b c" | sed "s/script.*lv/script/"; rm /tmp/script.$PPID.lv'
shell 'bash: what is not there, not executable' /bin/bash -c '/no/such; echo $?; /bin; echo $?' 2>&1
shell 'the status of a signal' /bin/sh -c 'kill -9 $$'
shell 'timeout' /bin/timeout 0.2 /bin/sleep 10
shell 'env' /bin/env -i A=1 /bin/env
shell 'bash: a loop of processes' /bin/bash -c 'for ((i = 0; i < 50; i++)); do /bin/true || echo bad; done; echo end'
shell 'bash: a here document, a coprocess' /bin/bash -c 'cat <<X
text
X
coproc cat; echo hi >&${COPROC[1]}; read line <&${COPROC[0]}; echo $line'

cat >"$work/processes.py" <<'PY'
import multiprocessing, os, signal, subprocess, time

print(subprocess.run(["/bin/echo", "hi"], capture_output=True).stdout)
print(subprocess.check_output("echo a | tr a b", shell=True))
p = subprocess.Popen(["/bin/sleep", "60"])
print(open(f"/proc/{p.pid}/stat").read().split()[3] == str(os.getpid()))
def words():
    return open(f"/proc/{p.pid}/cmdline").read().split("\0")
end = time.monotonic() + 60
while words() == [""] and time.monotonic() < end:  # its parent may go on when it is about to have its words
    pass
print(words())
p.kill()
print(p.wait())
try:
    subprocess.run(["/bin/sleep", "60"], timeout=0.2)
except subprocess.TimeoutExpired:
    print("expired")
try:
    subprocess.run(["/no/such"])
except FileNotFoundError as error:
    print(error)

def square(x):
    return x * x

if __name__ == "__main__":
    with multiprocessing.Pool(3) as pool:
        print(pool.map(square, range(10)))
    value = multiprocessing.Value("i", 0)
    def add():
        for _ in range(100):
            with value.get_lock():
                value.value += 1
    workers = [multiprocessing.Process(target=add) for _ in range(3)]
    [w.start() for w in workers]
    [w.join() for w in workers]
    print(value.value, [w.exitcode for w in workers])
PY
cp "$work/processes.py" "$work/tree/"
[ ! -x /usr/bin/python3 ] || same 'python3: subprocess and multiprocessing' "${here[@]}" --copy "$work/tree:$work/tree" -- /usr/bin/python3 "$work/tree/processes.py"

# make and cc, which start cc1, as, collect2 and ld.
mkdir "$work/source"
printf '#include <stddef.h>\nint puts(const char *);\nint main(void)\n{\n\tputs("built");\n\treturn 3;\n}\n' >"$work/source/a.c"
printf 'all: a\n\t@./a; echo $$?\na: a.o\n\t@cc -o a a.o\na.o: a.c\n\t@cc -O2 -c a.c\n' >"$work/source/Makefile"
own=$(dirname "$(cc -print-prog-name=cc1)") libraries=$(dirname "$(cc -print-file-name=crt1.o)")
if [ -d "$own" ] && [ -d "$libraries" ]; then
	for name in cc as ld; do cp -L "$(command -v "/usr/bin/$name")" "$work/bin/"; done
	libraries=$(realpath "$libraries") own=$(realpath "$own")
	run -m 512M "${here[@]}" --copy "$own:$own" --copy "$libraries:$libraries" -v "$work/source:/source" -w /source /bin/make >"$work/out" 2>"$work/err"
	[ "$(paste -sd' ' "$work/out")" = 'built 3' ] && ok 'make and cc build a program, which runs' || { cat "$work/out" "$work/err"; not_ok 'make and cc build a program, which runs' 'it says something else'; }
else
	skip 'make and cc build a program, which runs' 'no compiler'
fi

check 'what was built lies on the host' test -x "$work/source/a"

# A server that forks to save what it holds.
if command -v redis-server redis-cli >/dev/null; then
	cp -L "$(command -v redis-server)" "$(command -v redis-cli)" "$work/bin/"
	run -m 256M "${here[@]}" /bin/bash -c 'redis-server --dir /tmp --save "" --logfile /tmp/log &
		until redis-cli ping 2>/dev/null | grep -q PONG; do sleep 0.05; done
		redis-cli set a 1 >/dev/null; redis-cli bgsave >/dev/null
		until redis-cli info persistence | grep -q rdb_bgsave_in_progress:0; do sleep 0.05; done
		redis-cli info persistence | grep -o "rdb_last_bgsave_status:ok"; redis-cli shutdown nosave; wait; ls /tmp | grep dump.rdb' >"$work/out" 2>"$work/err"
	[ "$(paste -sd' ' "$work/out")" = 'rdb_last_bgsave_status:ok dump.rdb' ] && ok 'redis saves in the background' || { cat "$work/out" "$work/err"; not_ok 'redis saves in the background' 'it says something else'; }
else
	skip 'redis saves in the background' 'no redis'
fi
# What a shell's words name comes along, and the commands of every system; with a program that starts another one, that one.
same 'nothing was named: a pipeline of commands' -- bash -c 'printf "b\na\n" | sort | tr a-z A-Z; x=$(ls -d /usr | wc -l); echo "$x"'
same '  a program of the machine' -- bash -c 'printf "all:\n\t@echo made\n" | make -s -f -'
same '  timeout starts sleep' -- timeout 0.2 sleep 10
same '  env starts a shell' -- env -i PATH=/usr/bin:/bin sh -c 'seq 3 | head -n 2'
printf '#!/bin/sh\nset -e\nseq 1 5 | sed -n 2p\nbasename /a/b\n' >"$work/script" && chmod +x "$work/script"
same '  a script' -- "$work/script"
same '  perl starts a pipeline' -- perl -e 'print `echo b a | tr " " "\n" | sort`'

# A child that fails is its parent's matter; the VM goes on.
run "${here[@]}" /bin/sh -c 'sh -c "kill -SEGV \$\$"; echo $?; echo on' >"$work/out" 2>/dev/null
check 'a child that dies of SIGSEGV ends alone' test "$(paste -sd' ' "$work/out")" = '139 on'
# As many children as there is memory for, which all want more.
run -m 64M "${here[@]}" /bin/bash -c 'for i in 1 2 3 4; do (x=$(seq 1 3000000); echo never) & done; wait; echo alive' >"$work/out" 2>"$work/err"
check 'children that use up memory end, their parent does not' grep -q alive "$work/out"
run -m 64M "${here[@]}" /bin/bash -c 'bomb() { sleep 1000 & bomb; }; (bomb) 2>/dev/null; echo alive' >"$work/out" 2>"$work/err"
check 'a fork bomb ends in a refusal' grep -q alive "$work/out"

# What was saved goes on with all of its processes.
last() { "$lightvm" logs "$1" | tail -n 1; }
grows() { [ "$(last "$1")" != "$2" ]; }
"$lightvm" run -d --name family "${here[@]}" /bin/bash -c 'while read -r line; do echo "$line"; done < <(i=0; while :; do echo $((i++)); sleep 0.05; done)' >/dev/null
await 20 'the first number' grows family ''
"$lightvm" save family >/dev/null
before=$(last family)
"$lightvm" restore family >/dev/null
check 'a VM of several processes that was saved goes on' await 20 'the next number' grows family "$before"
check '  no number left out or twice' test "$("$lightvm" logs family | awk '{ if ($1 != NR - 1) bad = 1 } END { print bad + 0 }')" = 0
"$lightvm" rm -f family >/dev/null
finish
