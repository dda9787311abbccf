"""The page at `/`, for people."""

from html import escape

from starlette.responses import Response

from striate.serving.network import Network
from striate.serving.responses import html_response


def front_page(network: Network) -> Response:
    """What is served, and how to ask it."""
    title, name = escape(network.title), escape(network.name)
    classes = escape(", ".join(network.classes[:20])) + (" …" if len(network.classes) > 20 else "")
    return html_response(
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{name} · Striate</title>
<style>:root{{color-scheme:light dark}}body{{font:1rem/1.5 system-ui;max-width:40rem;margin:2rem auto;padding:0 1rem}}
pre{{overflow:auto;padding:.75rem;border:1px solid;border-radius:.4rem}}</style></head>
<body><main><h1>{title}</h1>
<p>{len(network.classes)} classes: {classes}.</p>
<pre>curl --data-binary @photo.jpg http://HOST:PORT/predict</pre>
<p><a href="/openapi.json">All that can be asked</a></p></main></body></html>"""
    )
