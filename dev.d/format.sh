# ./dev format
# shellcheck shell=bash

# shellcheck source=dev.d/lib/packages.sh
. "$ROOT/dev.d/lib/packages.sh"
# shellcheck source=dev.d/lib/sources.sh
. "$ROOT/dev.d/lib/sources.sh"

help() {
    cat <<TEXT
Usage: ./dev format

Formats all C, JavaScript and Python sources in place.
TEXT
}

main() {
    read_arguments format "$@"
    cd "$ROOT" || exit
    need_packages "${LINT_PACKAGES[@]}"
    step "Formatting C" c_sources clang-format -i
    step "Formatting JavaScript" js_sources clang-format -i
    step "Tools for Python" make_python_environment
    step "Sorting imports" ruff check --select I --fix
    step "Formatting Python" ruff format
}
