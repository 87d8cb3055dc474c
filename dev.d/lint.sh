# ./dev lint
# shellcheck shell=bash

# shellcheck source=dev.d/lib/packages.sh
. "$ROOT/dev.d/lib/packages.sh"
# shellcheck source=dev.d/lib/sources.sh
. "$ROOT/dev.d/lib/sources.sh"

help() {
    cat <<TEXT
Usage: ./dev lint

Checks without changing anything: format of C and JavaScript, builds with gcc and with clang where every
warning is an error, types of JavaScript (tsc), shell (shellcheck), Python (ruff). ./dev format repairs the format.
TEXT
}

main() {
    read_arguments lint "$@"
    cd "$ROOT" || exit
    need_build_packages "${LINT_PACKAGES[@]}"
    step "Format of C" c_sources clang-format --dry-run -Werror
    step "Format of JavaScript" js_sources clang-format --dry-run -Werror
    step "Types of JavaScript" tsc --project services/gateway/console/jsconfig.json
    step "Shell" shell_sources shellcheck
    step "Tools for Python" make_python_environment
    step "Python" ruff check
    step "Format of Python" ruff format --check
    step "Build with gcc, warnings are errors" build_with gcc
    step "Build with clang, warnings are errors" build_with clang
    say "No complaints."
}

build_with() {
    cmake -S . -B "build/lint-$1" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_COMPILER="$1"
    cmake --build "build/lint-$1"
}
