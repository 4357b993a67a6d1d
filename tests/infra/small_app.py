"""A small Chalice app with every kind of answer that the WSGI front must carry."""

import threading

from chalice import Chalice, Response


def make() -> Chalice:
    app = Chalice(app_name="small")
    app.meeting = threading.Barrier(2, timeout=10)

    @app.route("/api/echo/{name}", methods=["GET", "POST", "PUT"])
    def echo(name):
        request = app.current_request
        return {
            "name": name,
            "query": {k: request.query_params.getlist(k) for k in request.query_params or {}},
            "agent": request.headers.get("user-agent", ""),
            "forwarded": request.headers.get("x-forwarded-for", ""),
            "body": request.raw_body.decode("utf-8"),
            "id": request.context["requestId"],
            "source": request.context["identity"]["sourceIp"],
        }

    @app.route("/api/echo/literal")
    def literal():
        return {"literal": True}

    @app.route("/api/meet/{who}")
    def meet(who):
        app.meeting.wait()
        return {"who": who, "path": app.current_request.context["path"]}

    @app.route("/api/bytes", methods=["POST"], content_types=["application/octet-stream"])
    def data():
        body = app.current_request.raw_body
        return Response(body[::-1], headers={"Content-Type": "application/octet-stream"})

    @app.route("/api/text", methods=["POST"], content_types=["text/plain"])
    def text():
        return {"length": len(app.current_request.raw_body)}

    @app.route("/api/cookies")
    def cookies():
        return Response("", status_code=303, headers={"Set-Cookie": ["a=1", "b=2"]})

    @app.route("/api/large/{size}")
    def large(size):
        return Response("x" * int(size), headers={"Content-Type": "text/plain"})

    @app.route("/api/open", cors=True)
    def shared():
        return {"shared": True}

    @app.route("/api/broken")
    def broken():
        raise RuntimeError("secret inside")

    @app.route("/")
    def home():
        return Response("<p>home", headers={"Content-Type": "text/html; charset=utf-8"})

    return app
