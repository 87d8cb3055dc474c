# Which files are ours, and the tools that check and test them.
# shellcheck shell=bash

# tracked_files PATTERN...: those in git and new ones, but not the ignored; NUL between them.
tracked_files() {
    git ls-files -z --cached --others --exclude-standard -- "$@" | while IFS= read -r -d '' file; do
        [[ ! -f $file ]] || printf '%s\0' "$file"
    done
}

# c_sources COMMAND...: runs it with the names of all C files appended.
c_sources() {
    tracked_files '*.c' '*.h' | xargs -0 -r "$@"
}

js_sources() {
    tracked_files '*.js' | xargs -0 -r "$@"
}

shell_sources() {
    tracked_files '*.sh' dev .ci/run deploy/make-env 'deploy/debian/p*' tests/containers/build \
        'tests/containers/stand_ins/[ms]*' tests/debian13/order |
        xargs -0 -r "$@"
}

# The Python tools, at the versions that tests/requirements.txt names. Remade when that changes.
VENV=$ROOT/build/python

make_python_environment() {
    cmp -s "$ROOT/tests/requirements.txt" "$VENV/requirements.txt" && return
    rm -rf "$VENV"
    /usr/bin/python3 -m venv "$VENV"
    "$VENV/bin/pip" install -q --disable-pip-version-check -r "$ROOT/tests/requirements.txt"
    cp "$ROOT/tests/requirements.txt" "$VENV/requirements.txt"
}

# A browser that Python drives.
need_browser() {
    need_packages "${BROWSER_PACKAGES[@]}"
    step "Tools for a browser" "$VENV/bin/pip" install -q --disable-pip-version-check \
        -r "$ROOT/tests/console/requirements.txt"
}

ruff() {
    "$VENV/bin/ruff" "$@" "$ROOT/dev.d" "$ROOT/deploy" "$ROOT/services" "$ROOT/tests"
}
