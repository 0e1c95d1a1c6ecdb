# A queue of tasks: celery with a broker in files, a worker with two processes that is started and stopped.
# needs: celery==5.5.3 sqlalchemy==2.0.43
# run: $tree/venv/bin/python $tree/celery_case.py
# build: mv $tree/celery.py $tree/celery_case.py
# ignore: .*
import os
import pathlib
import subprocess
import sys

from celery import Celery

os.makedirs("queue", exist_ok=True)
app = Celery("celery_case", broker="filesystem://", backend="file://" + os.path.abspath("queue"))
app.conf.update(broker_transport_options={"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "queue"}, accept_content=["json"])


@app.task(name="square")
def square(number):
    return number * number, os.getpid() != int(os.environ["MAIN_PID"])


if __name__ == "__main__":
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parent), "MAIN_PID": str(os.getpid())}
    worker = subprocess.Popen([sys.executable, "-m", "celery", "-q", "-A", "celery_case", "worker", "-c", "2", "-l", "error", "--without-gossip", "--without-mingle"],
                              env=environment, stdout=subprocess.DEVNULL)
    results = [square.delay(n) for n in range(6)]
    print([result.get(timeout=150) for result in results])
    worker.terminate()
    print("the worker ended:", worker.wait(100))
