#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fake_vms.py STATE COUNT COMMAND...: COUNT copies of the one VM in STATE/vms, their records locked as by living monitors, while COMMAND runs."""
import fcntl, os, resource, shutil, subprocess, sys

state, count = sys.argv[1], int(sys.argv[2])
vms = os.path.join(state, 'vms')
first, = os.listdir(vms)
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
locks = []
for i in range(count):
    copy = os.path.join(vms, '%012x' % i)
    os.mkdir(copy, 0o700)
    for name in ('status', 'config.json'):
        shutil.copy(os.path.join(vms, first, name), copy)
    os.symlink(os.readlink(os.path.join(vms, first, 'row')), os.path.join(copy, 'row'))
    locks.append(open(os.path.join(copy, 'status')))
    fcntl.flock(locks[-1], fcntl.LOCK_EX)
try:
    sys.exit(subprocess.run(sys.argv[3:]).returncode)
finally:
    for i in range(count):
        shutil.rmtree(os.path.join(vms, '%012x' % i))
