# ./dev screenshot
# shellcheck shell=bash

# shellcheck source=dev.d/lib/packages.sh
. "$ROOT/dev.d/lib/packages.sh"
# shellcheck source=dev.d/lib/sources.sh
. "$ROOT/dev.d/lib/sources.sh"

help() {
    cat <<TEXT
Usage: ./dev screenshot [FILE] [--seconds N]

Sends orders to the running system as ./dev demo does, N seconds long (default 60), and takes a
picture of the console meanwhile: the way of an order. FILE is a PNG; default: docs/console.png,
which README shows.
TEXT
}

main() {
    local file=$ROOT/docs/console.png seconds=60
    read_arguments screenshot "$@"
    [[ -f $RUN/env ]] || die "Nothing has been started yet." "Start the system with: ./dev up"
    need_packages python3-venv "${DEMO_PACKAGES[@]}"
    step "Tools for Python" make_python_environment
    need_browser
    mkdir -p "$(dirname "$file")"
    step "A picture after $seconds s of orders" "$VENV/bin/python" "$ROOT/tests/console/screenshot.py" \
        "$RUN" "$file" "$seconds"
    say "The picture: $(short_path "$file")"
}

argument() {
    case $1 in
    --seconds)
        [[ ${2:-} =~ ^[1-9][0-9]{0,3}$ ]] || die "--seconds needs a number from 1 to 9999."
        seconds=$2
        take 2
        ;;
    -*) take 0 ;;
    *)
        file=$1
        take 1
        ;;
    esac
}
