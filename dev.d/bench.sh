# ./dev bench
# shellcheck shell=bash

# shellcheck source=dev.d/lib/packages.sh
. "$ROOT/dev.d/lib/packages.sh"
# shellcheck source=dev.d/lib/settings.sh
. "$ROOT/dev.d/lib/settings.sh"
# shellcheck source=dev.d/lib/servers.sh
. "$ROOT/dev.d/lib/servers.sh"
# shellcheck source=dev.d/lib/services.sh
. "$ROOT/dev.d/lib/services.sh"
# shellcheck source=dev.d/lib/sources.sh
. "$ROOT/dev.d/lib/sources.sh"

main() {
    cd "$ROOT" || exit
    need_build_packages "${RUN_PACKAGES[@]}" "${TEST_PACKAGES[@]}" "${BENCH_PACKAGES[@]}"
    need_elasticsearch
    step "Tools for Python" make_python_environment
    # Its own --help lists the measures.
    if [[ " $* " != *' -h '* && " $* " != *' --help '* ]]; then
        step "Trying the arithmetic" "$VENV/bin/pytest" -q "$ROOT/tests/bench"
        step "Building (release)" build_preset release
    fi
    exec "$VENV/bin/python" "$ROOT/tests/bench" "$@"
}
