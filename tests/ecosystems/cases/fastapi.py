# A web framework of Python: FastAPI on uvicorn with its fast loop and two workers.
# needs: fastapi==0.116.1 uvicorn[standard]==0.35.0
# serve: $tree/venv/bin/uvicorn --app-dir $tree --host 0.0.0.0 --port $port --workers 2 --no-access-log fastapi-app:app
# build: mv $tree/fastapi.py $tree/fastapi-app.py
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response

app = FastAPI()


@app.get("/hello")
async def hello(name: str):
    return {"hello": name}


@app.get("/big", response_class=PlainTextResponse)
def big():
    return "0123456789abcdef" * 65536


@app.post("/echo")
async def echo(request: Request):
    return Response(await request.body(), media_type="application/octet-stream")
