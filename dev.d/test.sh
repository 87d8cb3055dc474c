# ./dev test
# shellcheck shell=bash

# shellcheck source=dev.d/lib/packages.sh
. "$ROOT/dev.d/lib/packages.sh"
# shellcheck source=dev.d/lib/settings.sh
. "$ROOT/dev.d/lib/settings.sh"
# shellcheck source=dev.d/lib/servers.sh
. "$ROOT/dev.d/lib/servers.sh"
# shellcheck source=dev.d/lib/services.sh
. "$ROOT/dev.d/lib/services.sh"
# shellcheck source=dev.d/lib/prometheus.sh
. "$ROOT/dev.d/lib/prometheus.sh"
# shellcheck source=dev.d/lib/sources.sh
. "$ROOT/dev.d/lib/sources.sh"

KINDS=(unit sanitize integration chaos containers)

help() {
    cat <<TEXT
Usage: ./dev test [KIND...] [-- PYTEST-ARGUMENT...]

Runs the tests of the named kinds, or of all. Ends with one line "N passed, M failed", and with 0 only if
something ran and nothing failed.

  unit         the unit tests of every module; the clients of a server start a private one
  sanitize     the same, built with AddressSanitizer and UndefinedBehaviorSanitizer
  integration  the whole system on real servers, seen through independent clients; started by
               the tests beside whatever runs, in .run-test
  chaos        faults fired at the whole system under load, each with the verdict of an independent
               ledger; started beside whatever runs, in .run-chaos
  containers   the images, docker-compose.yml, the Debian package and the manifests; the whole system in
               containers under load, scaled and killed. Needs root: left out for others, unless named

These take options of their own, which --help tells:

  chaos [SCENARIO...]  some of the scenarios; --list tells what there is
  soak                 the same faults at random, several at once, for as long as you like
  simulate             the bridge's state machine under any number of seeded schedules

What follows -- goes to pytest, for example: ./dev test integration -- -k bulk -x
TEXT
}

main() {
    local kinds=() kind
    pytest_arguments=()
    case ${1:-} in
    chaos | soak | simulate)
        "run_$1" "${@:2}"
        return
        ;;
    esac
    while [[ $# -gt 0 ]]; do
        case $1 in
        -h | --help)
            help
            return
            ;;
        --)
            shift
            pytest_arguments=("$@")
            break
            ;;
        *)
            [[ " ${KINDS[*]} " == *" $1 "* ]] || die "There are no tests of kind '$1'." "Kinds: ${KINDS[*]}"
            kinds+=("$1")
            ;;
        esac
        shift
    done
    if [[ ${#kinds[@]} == 0 ]]; then
        kinds=("${KINDS[@]}")
        [[ $(id -u) == 0 ]] || unset 'kinds[-1]'
    fi

    RESULTS=$ROOT/build/test-results
    rm -rf "$RESULTS"
    mkdir -p "$RESULTS"
    cd "$ROOT" || exit
    need_packages "${BUILD_PACKAGES[@]}"
    # Each kind runs even if one before it failed; what failed is read from the results.
    set +e
    for kind in "${kinds[@]}"; do
        (
            set -e
            "test_$kind"
        )
    done
    set -e
    print_sum "${kinds[@]}"
}

test_unit() {
    run_ctest release
}

test_sanitize() {
    run_ctest asan
}

run_ctest() {
    say '' "${BOLD}Unit tests, $1$PLAIN"
    need_packages "${UNIT_TEST_PACKAGES[@]}"
    step "Building ($1)" build_preset "$1"
    LSAN_OPTIONS=suppressions=$ROOT/tests/lsan.supp:print_suppressions=0 \
        ctest --preset "$1" -j "$(nproc)" --output-junit "$RESULTS/unit-$1.xml"
}

test_integration() {
    say '' "${BOLD}Integration tests$PLAIN"
    prepare_whole_system
    "$VENV/bin/pytest" tests/integration tests/bench --junitxml "$RESULTS/integration.xml" "${pytest_arguments[@]}"
}

test_chaos() {
    say '' "${BOLD}Faults under load$PLAIN"
    run_chaos --junitxml "$RESULTS/chaos.xml"
}

run_chaos() {
    prepare_chaos
    "$VENV/bin/python" "$ROOT/tests/chaos" --folder "$ROOT/.run-chaos" "$@"
}

run_soak() {
    prepare_chaos
    "$VENV/bin/python" "$ROOT/tests/chaos/soak.py" --folder "$ROOT/.run-chaos" "$@"
}

# A verdict that finds nothing must be able to find something.
prepare_chaos() {
    prepare_whole_system
    step "Trying the verdict on what it must find" "$VENV/bin/pytest" -q "$ROOT/tests/chaos"
}

test_containers() {
    local image
    say '' "${BOLD}Containers$PLAIN"
    [[ $(id -u) == 0 ]] || die "Networks between containers need root." "Run: sudo ./dev test containers"
    need_packages "${CONTAINER_PACKAGES[@]}" "${RUN_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
    [[ -d $(elasticsearch_home) ]] || step "Fetching Elasticsearch $ELASTICSEARCH_VERSION (80 MB)" fetch_elasticsearch
    step "Tools for Python" make_python_environment
    step "Tools for containers" "$VENV/bin/pip" install -q -r tests/containers/requirements.txt
    export CONTAINERS_CONF=$ROOT/tests/containers/containers.conf
    export CONTAINERS_STORAGE_CONF=$ROOT/tests/containers/storage.conf
    step "Images of the servers, from Debian's packages" tests/containers/stand_ins/make "$(elasticsearch_home)"
    for image in build "${SERVICES[@]}"; do
        step "Image: $image" tests/containers/build "$image"
    done
    step "Image: machine with the Debian package" tests/containers/build machine tests/containers/package/Dockerfile
    "$VENV/bin/pytest" tests/containers -o "pythonpath=tests/integration tests/chaos" \
        --junitxml "$RESULTS/containers.xml" "${pytest_arguments[@]}"
}

prepare_whole_system() {
    need_packages "${BUILD_PACKAGES[@]}" "${RUN_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
    [[ -d $(elasticsearch_home) ]] || step "Fetching Elasticsearch $ELASTICSEARCH_VERSION (80 MB)" fetch_elasticsearch
    need_prometheus
    step "Building (release)" build_preset release
    step "Tools for Python" make_python_environment
}

run_simulate() {
    need_packages "${BUILD_PACKAGES[@]}"
    step "Building (release)" build_preset release
    "$ROOT/build/release/tests/unit/bridge/bridge_simulation" "$@"
}

# Sums the counts of the result files. A kind without such a file did not get as far as running.
print_sum() {
    local kind file line total failed=0 passed=0 bad
    for kind in "$@"; do
        case $kind in
        unit) file=$RESULTS/unit-release.xml ;;
        sanitize) file=$RESULTS/unit-asan.xml ;;
        integration | chaos | containers) file=$RESULTS/$kind.xml ;;
        esac
        if [[ ! -f $file ]]; then
            say "The $kind tests did not run."
            failed=$((failed + 1))
            continue
        fi
        line=$(tr '\n\t' '  ' <"$file" | grep -o '<testsuite [^>]*>')
        total=$(attribute tests "$line")
        bad=$(($(attribute failures "$line") + $(attribute errors "$line")))
        failed=$((failed + bad))
        passed=$((passed + total - bad - $(attribute skipped "$line") - $(attribute disabled "$line")))
    done
    say '' "$passed passed, $failed failed"
    ((passed > 0 && failed == 0))
}

# attribute NAME TAG: the number in NAME="…", or 0.
attribute() {
    [[ $2 =~ [[:space:]]$1=\"([0-9]+)\" ]] && printf '%s' "${BASH_REMATCH[1]}" || printf 0
}
