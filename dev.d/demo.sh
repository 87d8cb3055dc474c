# ./dev demo
# shellcheck shell=bash

# shellcheck source=dev.d/lib/packages.sh
. "$ROOT/dev.d/lib/packages.sh"

help() {
    cat <<TEXT
Usage: ./dev demo [--orders N] [--rate R]

Posts N orders (default 500), R per second (default 100), and shows live where they are:
accepted by the gateway, in the queue, in PostgreSQL, in Elasticsearch, dead-lettered; then
what they did to the day's revenue on the dashboard.
TEXT
}

main() {
    local options=()
    read_arguments demo "$@"
    [[ -f $RUN/env ]] || die "Nothing has been started yet." "Start the system with: ./dev up"
    need_packages "${DEMO_PACKAGES[@]}"
    # shellcheck source=/dev/null
    . "$RUN/env"
    exec /usr/bin/python3 "$ROOT/dev.d/demo.py" "${options[@]}"
}

# demo.py knows what they mean.
argument() {
    options+=("$1")
    take 1
}
