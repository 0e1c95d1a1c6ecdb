# Files that are watched: watchdog, and watchfiles of Rust; celery's kind of worker: a queue of files between processes (huey).
# needs: watchdog==6.0.0 watchfiles==1.1.0 psutil==7.0.0 huey==2.5.3
# run: $tree/venv/bin/python $tree/watchers.py
# ignore: .*
import os
import pathlib
import queue
import subprocess
import sys
import threading

import psutil
import watchfiles
from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer


def watchdog(place):
    seen = queue.Queue()

    class Noting(FileSystemEventHandler):
        def on_created(self, event):
            seen.put(("created", os.path.basename(event.src_path), event.is_directory))

        def on_moved(self, event):
            seen.put(("moved", os.path.basename(event.src_path), os.path.basename(event.dest_path)))

        def on_deleted(self, event):
            seen.put(("deleted", os.path.basename(event.src_path)))

    observer = Observer()
    observer.schedule(Noting(), str(place), recursive=True)
    observer.start()
    (place / "one").write_text("1")
    print(seen.get(timeout=60))
    (place / "one").rename(place / "two")
    print(seen.get(timeout=60))
    (place / "two").unlink()
    print(seen.get(timeout=60))
    subprocess.run(["mkdir", str(place / "dir")])
    print(seen.get(timeout=60))
    observer.stop()
    observer.join()


def rust(place):
    stop = threading.Event()
    timer = threading.Timer(1, lambda: (place / "three").write_text("3"))
    timer.start()
    for changes in watchfiles.watch(place, stop_event=stop, rust_timeout=60000):
        print(sorted((change.name, os.path.basename(path)) for change, path in changes))
        break


for place in (pathlib.Path("watched"), pathlib.Path("/tmp/watched")):
    place.mkdir()
    watchdog(place)
    rust(place)
    subprocess.run(["rm", "-r", str(place)])

me = psutil.Process()
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print([p.name().startswith("python") for p in me.children()], me.status(), me.num_threads() >= 1, me.cwd() == os.getcwd())
print(psutil.Process(child.pid).ppid() == me.pid, psutil.pid_exists(child.pid), len(me.open_files()) >= 0, me.memory_info().rss > 1 << 20)
child.communicate(b"\n")
print(child.returncode, psutil.virtual_memory().total > 0, psutil.cpu_count() >= 1, bool(psutil.net_if_addrs()), psutil.boot_time() > 0)
print(psutil.disk_usage("/").total > 0, bool(psutil.disk_partitions(all=True)), bool(psutil.net_io_counters()), psutil.cpu_times().user >= 0)
print(me.environ()["LANG"], me.cmdline()[-1].endswith("watchers.py"), me.username(), me.nice(), me.io_counters().read_count > 0, me.num_fds() > 2)
print([c.status for c in psutil.net_connections(kind="tcp") if c.pid == me.pid], me.cpu_affinity() != [], me.terminal(), me.uids().real)
