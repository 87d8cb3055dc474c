"""embed_openapi.py openapi.yaml: writes it as JSON in a C file, to standard output."""

import json
import sys

import yaml

with open(sys.argv[1], encoding="utf-8") as source:
    text = json.dumps(yaml.safe_load(source), separators=(",", ":")).encode()
print("/* Made from openapi.yaml by embed_openapi.py. */")
print('#include "services/gateway/openapi.h"')
print(f"const size_t openapi_json_len = {len(text)};")
print("const char openapi_json[] = {", *(f"{byte}," for byte in text), "0};")
