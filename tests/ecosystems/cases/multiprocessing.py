# Pools of processes, shared memory, managers, subprocesses: Python's own ways, and joblib's.
# needs: joblib==1.5.1 numpy==2.3.2
# run: $tree/venv/bin/python $tree/multiprocessing-case.py
# build: mv $tree/multiprocessing.py $tree/multiprocessing-case.py
import concurrent.futures
import multiprocessing
import subprocess
import sys
from multiprocessing import shared_memory

import joblib
import numpy


def square(number):
    return number * number


def add_one(name, count):
    memory = shared_memory.SharedMemory(name)
    numpy.ndarray((count,), dtype=numpy.int64, buffer=memory.buf)[:] += 1
    memory.close()


def main():
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with context.Pool(3) as pool:
            print(method, sum(pool.map(square, range(1000))), pool.apply_async(square, (7,)).get())
        memory = shared_memory.SharedMemory(create=True, size=8000)
        numbers = numpy.ndarray((1000,), dtype=numpy.int64, buffer=memory.buf)
        numbers[:] = numpy.arange(1000)
        child = context.Process(target=add_one, args=(memory.name, 1000))
        child.start()
        child.join()
        print(child.exitcode, int(numbers.sum()))
        del numbers
        memory.close()
        memory.unlink()
    with multiprocessing.Manager() as manager:
        shared = manager.dict()
        shared["list"] = manager.list([1, 2])
        print(dict(shared)["list"][1])
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        print(list(pool.map(square, range(5))))
    print(joblib.Parallel(n_jobs=2)(joblib.delayed(square)(i) for i in range(10)))
    done = subprocess.run([sys.executable, "-c", "import sys; print(sys.stdin.read().upper()); sys.exit(4)"], input="text", text=True, capture_output=True)
    print(done.stdout.strip(), done.returncode, subprocess.getoutput("echo $((6 * 7)) | cat"))
    try:
        subprocess.run(["sleep", "10"], timeout=0.2)
    except subprocess.TimeoutExpired as expired:
        print("ended by its limit:", round(expired.timeout, 1))


if __name__ == "__main__":
    main()
