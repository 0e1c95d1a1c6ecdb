#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A walk over what can be done to a running VM: STEPS steps at random in a row, chosen by SEED, on one VM with tests/data/walker.c, which checks all that
it has. After each step the program must go on, from where it was, and find nothing wrong.

state_walk.py LIGHTVM PROGRAM STEPS SEED"""
import os
import random
import subprocess
import sys
import time

lightvm, program, steps, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
patience = 20 * float(os.environ.get("LV_TIME_FACTOR", "1"))
work = os.environ["work"]
chance = random.Random(seed)


def run(*words):
    done = subprocess.run([lightvm, *words], capture_output=True, text=True, timeout=patience)
    if done.returncode:
        raise SystemExit(f"lightvm {' '.join(words)}: status {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()


class Walk:
    def __init__(self):
        self.vm = "walker"
        self.clones = 0
        run("run", "-d", "--name", self.vm, "--net", "none", "-m", "32M", program)
        self.nonce, self.count = None, -1
        self.goes_on()

    def last(self):
        lines = run("logs", "-n", "3", self.vm).splitlines()
        for line in lines:
            if "wrong" in line:
                raise SystemExit(f"the program says: {line}")
        return lines[-1].split() if lines else None

    def goes_on(self):
        """Further than it was, as the same program."""
        end, last = time.monotonic() + patience, None
        while not last or int(last[1]) <= self.count:
            if time.monotonic() > end:
                raise SystemExit(f"it does not go on from {self.nonce} {self.count}: {last}; state {run('inspect', '-f', 'state', self.vm)}")
            last = self.last()
        if self.nonce not in (None, last[0]):
            raise SystemExit(f"it is another program: {last[0]} instead of {self.nonce}")
        self.nonce, self.count = last[0], int(last[1])

    def pause(self):
        run("pause", self.vm)
        run("resume", *chance.choice([[], ["--advance"]]), self.vm)

    def save(self):
        run("save", self.vm)
        run("restore", *chance.choice([[], ["--advance"]]), self.vm)

    def save_paused(self):
        run("pause", self.vm)
        run("save", self.vm)
        run("restore", "--paused", self.vm)
        run("resume", self.vm)

    def copy(self):
        """A save beside it, from which it goes on after it was killed: what it did in between has never been."""
        before = self.count
        run("save", "--leave-running", self.vm, f"{work}/copy")
        self.goes_on()
        run("kill", self.vm)
        run("restore", f"{work}/copy")
        self.count = before

    def clone(self):
        self.clones += 1
        name = f"clone-{self.clones}"
        run("clone", "--name", name, self.vm)
        run("rm", "-f", self.vm)
        self.vm, self.count = name, -1


walk, did = Walk(), {}
for number in range(steps):
    step = chance.choice([walk.pause, walk.pause, walk.save, walk.save_paused, walk.copy, walk.clone])
    did[step.__name__] = did.get(step.__name__, 0) + 1
    try:
        step()
        walk.goes_on()
    except (SystemExit, subprocess.TimeoutExpired) as failed:
        print(f"seed {seed}, step {number} ({step.__name__}): {failed}")
        sys.exit(1)
run("rm", "-f", walk.vm)
print(f"seed {seed}: {did}")
