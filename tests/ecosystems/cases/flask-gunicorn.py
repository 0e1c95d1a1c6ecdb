# A web framework of Python: flask, served by gunicorn's two worker processes.
# needs: flask==3.1.2 gunicorn==23.0.0
# serve: $tree/venv/bin/gunicorn -w 2 --threads 2 -b 0.0.0.0:$port --chdir $tree --worker-tmp-dir /tmp flask-gunicorn:app
# ignore: \.gunicorn|gunicorn\.ctl
from flask import Flask, jsonify, request, Response

app = Flask(__name__)


@app.get("/hello")
def hello():
    return jsonify(hello=request.args.get("name"))


@app.get("/big")
def big():
    return Response("0123456789abcdef" * 65536, mimetype="text/plain")


@app.post("/echo")
def echo():
    return Response(request.get_data(), mimetype="application/octet-stream")
