"""embed_console.py FOLDER: makes one page of the console's files, and writes it as a C file
to standard output.

esbuild bundles main.js with all that it imports, and console.css. Both and the icon take the places that
index.html has for them. The page is there plain and compressed, with its entity tag and its
Content-Security-Policy, which lets run exactly these bytes of script and style."""

import base64
import gzip
import hashlib
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse

BROWSERS = "chrome109,firefox115,safari16.4"
COMPRESSED_MAX_BYTES = 80_000


def bundle(source):
    command = [
        "esbuild",
        source,
        "--bundle",
        "--minify",
        "--format=esm",
        f"--target={BROWSERS}",
        "--log-level=warning",
    ]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode().strip()


def source_hash(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def put(page, place, element):
    if page.count(place) != 1:
        sys.exit(f"embed_console.py: index.html must have {place} once.")
    return page.replace(place, element)


def write_bytes(name, content):
    """As a string literal; octal escapes have three digits, so that a digit may follow."""
    plain = set(range(0x20, 0x7F)) - set(b'"?\\')
    print(f"const char {name}[] =")
    for at in range(0, len(content), 64):
        line = "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in content[at : at + 64])
        print(f'    "{line}"')
    print(";")
    print(f"const size_t {name}_len = sizeof {name} - 1;")


def write_text(name, text):
    print(f"const char {name}[] =", '"' + text.replace('"', '\\"') + '";')


if shutil.which("esbuild") is None:
    sys.exit(
        "embed_console.py: esbuild is missing, which bundles the console; it is in Debian's package esbuild."
    )
folder = pathlib.Path(sys.argv[1])
try:
    script, style = bundle(folder / "main.js"), bundle(folder / "console.css")
except subprocess.CalledProcessError:
    sys.exit("embed_console.py: esbuild refused the console; what it said is above.")
# The page is read by HTML's rules first: an end tag ends the element wherever it stands, a comment hides one.
if re.search(r"</script|<!--", script, re.IGNORECASE) or re.search("</style", style, re.IGNORECASE):
    sys.exit("embed_console.py: script or style has text that HTML reads as a tag of its own.")
icon = "data:image/svg+xml," + urllib.parse.quote(
    (folder / "icon.svg").read_text("utf-8").strip(), safe=" =:/'"
)

page = (folder / "index.html").read_text("utf-8")
page = put(page, "<!-- style -->", f"<style>{style}</style>")
page = put(page, "<!-- script -->", f'<script type="module">{script}</script>')
page = put(page, "<!-- icon -->", f'<link rel="icon" href="{icon}">')
html = page.encode()
compressed = gzip.compress(html, 9, mtime=0)
if len(compressed) > COMPRESSED_MAX_BYTES:
    sys.exit(
        f"embed_console.py: the console has {len(compressed)} bytes compressed, over {COMPRESSED_MAX_BYTES}."
    )
policy = "; ".join(
    [
        "default-src 'none'",
        f"script-src {source_hash(script)}",
        f"style-src {source_hash(style)}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
# Weak: the tag is the same for the plain and the compressed bytes (RFC 9110, 8.8.3.3).
tag = 'W/"' + hashlib.sha256(html + policy.encode()).hexdigest()[:32] + '"'

print("/* Made from the files of console/ by embed_console.py. */")
print('#include "services/gateway/console.h"')
write_bytes("console_html", html)
write_bytes("console_gzip", compressed)
write_text("console_etag", tag)
write_text("console_policy", policy)
