#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The start files of share/template: what a copy does is what the process does that it is asked to be: output, exit status, for the same arguments, environment, directory and input.

template_files.py VMM LIBOS IMAGE PROGRAM python3|node|java"""
import os
import socket
import struct
import subprocess
import sys

from clones import ARG, AWAIT, AWAIT_TEMPLATE, CLONE, CWD, ENV, configure, text
from monitor_client import KILL, Monitor, ask, image, machine, need, program, records
from saved import STATE, Saved, connect, save

MEMORY = 1 << 30
APP = os.environ["APP"]  # a directory that the VM has, too
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "MARK": "a=b c", "EMPTY": "", "HOME": "/"}


def template(words):
    """The program is started, says that it is ready, and is saved."""
    monitor = Monitor("--mem", "1024M")
    monitor.await_created()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(b"\0lightvm-template-%d" % os.getpid())
    listener.listen(4)
    requests = connect(listener.getsockname())
    sent = [machine(MEMORY, image=0, control=1, out=2), text(3, program), *(text(ARG, word) for word in words), text(ENV, "PATH=/usr/bin:/bin"), text(ENV, "LANG=C.UTF-8"), text(ENV, "OLD=1")]
    configure(monitor, sent, [os.open(image, os.O_RDONLY), listener.fileno(), os.dup(2)], None)
    listener.close()
    need("it says that it is ready", ask(requests, AWAIT, arg=AWAIT_TEMPLATE)[0] == 0)
    saved = Saved()
    save(requests, saved)
    need("KILL is answered", ask(requests, KILL)[0] == 0)
    monitor.ended()
    return saved


def pipe_of(data):
    """The end to read from, of a file, so that it is never too small for it."""
    name = os.memfd_create("input")
    os.write(name, data)
    os.lseek(name, 0, os.SEEK_SET)
    return name


def copy(saved, words, directory, given):
    """Output and exit status of a copy."""
    monitor = Monitor("--mem", "1024M")
    monitor.await_created()
    read_end, write_end = os.pipe()
    fds = [os.open(image, os.O_RDONLY), write_end, *saved.opened(), pipe_of(given), os.dup(2)]
    sent = [machine(MEMORY, image=0, out=1, in_=4, err=5), (STATE, struct.pack("<iiII", 2, 3, CLONE, 0)), *(text(ARG, word) for word in words),
            *(text(ENV, f"{name}={value}") for name, value in ENVIRONMENT.items()), text(CWD, directory)]
    configure(monitor, sent, fds, None)
    for fd in fds:
        os.close(fd)
    with os.fdopen(read_end, "rb") as output:
        said = output.read()
    return said, monitor.ended()[0]


def process(words, directory, given):
    done = subprocess.run(words, executable=os.environ.get("NATIVE", program), stdin=pipe_of(given), stdout=subprocess.PIPE, cwd=directory, env=ENVIRONMENT, check=False)
    return done.stdout, done.returncode & 0xFF if done.returncode >= 0 else 128 - done.returncode


def same(saved, words, directory="/", given=b""):
    as_copy, as_process = copy(saved, words, directory, given), process(words, directory, given)
    need(f"{words} in {directory}: {as_copy} as a copy is {as_process} as a process", as_copy == as_process)


def differs(saved, words):
    """What copies of one state must not have in common."""
    several = {copy(saved, words, "/", b"")[0] for _ in range(3)}
    need(f"{words} is another one in each copy: {several}", len(several) == 3)


FILES = {
    "beside.py": "value = 5\n",
    "script.py": "import sys, os, beside\nprint(__file__, __name__, sys.argv, beside.value, os.getcwd())\nif __name__ == '__main__':\n    sys.exit(beside.value)\n",
    "beside.js": "exports.value = 5;\n",
    "script.js": "console.log(__filename, process.argv.slice(1), require('./beside').value, require.main === module, process.cwd()); process.exit(5);\n",
    "module.mjs": "import { value } from './beside.js'; console.log(import.meta.url, value); await new Promise((done) => setTimeout(done, 5));\n",
    "throws.js": "throw new Error('no');\n",
    "Show.java": """
        public class Show {
            public static void main(String[] words) throws Exception {
                System.out.println(String.join("|", words) + new java.util.TreeMap<>(System.getenv()) + System.getProperty("key") + new java.io.File("x").getAbsolutePath());
                System.out.println(java.nio.file.Path.of("y").toAbsolutePath() + " " + java.nio.file.Files.exists(java.nio.file.Path.of("Show.class")) + new String(System.in.readAllBytes()));
                Thread late = new Thread(() -> System.out.println("late"));
                late.start();
                if (words.length > 0 && words[0].length() == 1) { late.join(); System.exit(Integer.parseInt(words[0])); }
            }
        }""",
    "Throws.java": 'public class Throws { public static void main(String[] words) { throw new IllegalStateException("no"); } }',
    "Numbers.java": "public class Numbers { public static void main(String[] words) { System.out.println(new java.security.SecureRandom().nextLong()); } }",
}


def prepare():
    """The programs, in the directory that will be the image's, too."""
    for name, content in FILES.items():
        with open(os.path.join(APP, name), "w", encoding="ascii") as file:
            file.write(content)


def python3():
    saved = template(["python3", "/template/python3.py", "json", "ssl", "tempfile"])
    show = "import os, sys; print(sys.argv, sys.path[0], sorted(os.environ.items()), os.getcwd(), repr(sys.stdin.read()), sys.stdout.isatty(), __name__, sys.orig_argv)"
    same(saved, ["python3", "-c", show, "one", "two  words", ""], "/usr", b"line\nand more")
    same(saved, ["python3", "-c", "pass"])
    same(saved, ["python3", "-u", "-cimport sys; sys.exit(7)"])
    same(saved, ["python3", "-c", "import sys; sys.exit('a reason')"])
    same(saved, ["python3", "-c", "raise ValueError('no')"])
    same(saved, ["python3", "-c", "import os; os._exit(9)"])
    same(saved, ["python3", "-c", "import os; os.kill(os.getpid(), 15)"])
    same(saved, ["python3", "-m", "json.tool"], "/", b'{"a": [1, 2]}')
    same(saved, ["python3"], "/", b"import sys\nprint(sys.argv, __name__)")
    same(saved, ["python3", "-", "word"], "/", b"import sys\nprint(sys.argv)")
    same(saved, ["python3", f"{APP}/script.py", "-x", "--", "y"], "/usr")
    same(saved, ["python3", "script.py"], APP)
    same(saved, ["python3", "/not/there.py"])
    for source in ("os.urandom(8)", "random.random()", "uuid.uuid4()", "ssl.RAND_bytes(8)", "next(tempfile._get_candidate_names())"):
        differs(saved, ["python3", "-c", f"import os, random, uuid, ssl, tempfile; print({source})"])


def node():
    saved = template(["node", "/template/node.js", "http"])
    show = "console.log(process.argv.slice(1), process.env, process.cwd(), require('fs').readFileSync(0, 'utf8'), process.stdout.isTTY, require.main === undefined)"
    same(saved, ["node", "-e", show, "one", "two  words"], "/usr", b"line\nand more")
    same(saved, ["node", "-e", "1"])
    same(saved, ["node", "-p", "6 * 7"])
    same(saved, ["node", "-e", "process.exitCode = 7; setTimeout(() => console.log('later'), 10)"])
    same(saved, ["node", "-e", "process.exit(300)"])
    same(saved, ["node"], "/", b"console.log('from input', process.argv.length)")
    same(saved, ["node", f"{APP}/script.js", "-x", "y"], "/usr")
    same(saved, ["node", "script.js"], APP)
    same(saved, ["node", f"{APP}/module.mjs"])
    for words in (["node", f"{APP}/throws.js"], ["node", "/not/there.js"]):
        status = copy(saved, words, "/", b"")[1]
        need(f"{words}: status {status}", status == process(words, "/", b"")[1] == 1)
    differs(saved, ["node", "-e", "console.log(Math.random())"])


def java():
    opens = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.lang", "java.io", "sun.nio.fs")]
    saved = template(["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", *opens, "-cp", "/template", "Java"])
    for words, directory, given in ((["Show", "one", "two  words"], "/usr", b"line"), (["-Dkey=value", "Show"], APP, b""), (["-cp", f"/not/there:.", "Show", "7"], APP, b"")):
        same(saved, ["java", *words] if "-cp" in words else ["java", "-cp", APP, *words], directory, given)
    same(saved, ["java", "-jar", f"{APP}/show.jar", "0"], "/")
    for name, want in ("Throws", 1), ("Missing", 1):
        status = copy(saved, ["java", "-cp", APP, name], "/", b"")[1]
        need(f"{name}: status {status}", status == want)
    differs(saved, ["java", "-cp", APP, "Numbers"])


if __name__ == "__main__":
    globals()[sys.argv[5]]()
