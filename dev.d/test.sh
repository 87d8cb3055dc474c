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

# A kind of tests is a function prepare_KIND, which installs and builds what it needs, and test_KIND, which leaves JUnit
# files in $results.
KINDS=(quick unit sanitize integration console attacks ipv6 faults chaos containers debian13)
USUAL=(sanitize integration faults)
ALL=(unit sanitize integration console attacks chaos)
ALL_AS_ROOT=(ipv6 containers debian13)
# Most of a test's time is waiting, so these run while integration runs. All others have the machine to themselves.
BESIDE_INTEGRATION=(unit sanitize)

help() {
    cat <<TEXT
Usage: ./dev test [KIND...] [-- PYTEST-ARGUMENT...]

Runs the tests of the named kinds; without a name: ${USUAL[*]}. That takes some 14 minutes on 2 cores.
Prints the time of each kind, without that of packages and of building, then "N passed, M failed". Ends with 0
only if something ran and nothing failed.

  quick        everything that needs no server; took 82 s
  all          everything, a little more than an hour: ${ALL[*]}, and as root ${ALL_AS_ROOT[*]}

  unit         the unit tests of every module; the clients of a server start a private one
  sanitize     the same, built with AddressSanitizer and UndefinedBehaviorSanitizer
  integration  the whole system on real servers, seen through independent clients; started by
               the tests beside whatever runs, in .run-test; with a short look at the console
  console      the console in a browser: every view, what it says while servers fail, whom it does not serve
  attacks      what must be alone on the machine: clients and strangers that take all that they can get, thousands of
               right and wrong requests made of openapi.yaml, and systems behind a pooler, with a standby, and with
               users of little privilege
  ipv6         orders, searches and the rest of what the system is for, in a network without IPv4. Needs root
  faults       one fault of each class, fired at the whole system under load, with the verdict of an
               independent ledger; started beside whatever runs, in .run-chaos
  chaos        every fault
  containers   the images, docker-compose.yml, the Debian package and the manifests; the whole system in
               containers under load, scaled and killed. Needs root
  debian13     what README promises, in a fresh Debian 13: ./dev up as an ordinary user, an order through all
               services, the quick tests. Needs root

These take options of their own, which --help tells:

  chaos [SCENARIO...]  some of the scenarios; --list tells what there is
  soak                 the same faults at random, several at once, for as long as you like
  operate [SCENARIO...]
                       dead letters archived and replayed, the search index rebuilt, verified and repaired, jobs,
                       orders that are waited for, two groups on three nodes of RabbitMQ: in full. Every service
                       and server is killed at seeded points, and services between each two steps of their work
  simulate             the bridge's state machine under any number of seeded schedules
  versions [NAME...]   the contract, and a kill of every process, on other versions and makes of the servers. Needs root

What follows -- goes to pytest, for example: ./dev test integration -- -k bulk -x
TEXT
}

main() {
    local kinds=() kind started
    pytest_arguments=()
    case ${1:-} in
    chaos | soak | operate | simulate | versions)
        "run_$1" "${@:2}"
        return
        ;;
    esac
    read_arguments test "$@"
    [[ ${#kinds[@]} -gt 0 ]] || kinds=("${USUAL[@]}")

    RESULTS=$ROOT/build/test-results
    rm -rf "$RESULTS"
    mkdir -p "$RESULTS"
    cd "$ROOT" || exit
    # All is built before the first test, so that the times are those of the tests.
    for kind in "${kinds[@]}"; do
        "prepare_$kind"
    done
    started=$SECONDS
    trap 'exit 130' INT # pytest ends with an interrupt as with a failed test, and the next kind would follow
    if [[ " ${kinds[*]} " == *" integration "* ]]; then
        run_integration
    fi
    for kind in "${kinds[@]}"; do
        [[ -f $RESULTS/$kind/time ]] || run_kind "$kind"
    done
    print_sum
}

# Integration, and beside it those of the wanted kinds that go with it. Their output follows its own.
run_integration() {
    local kind beside=()
    for kind in "${BESIDE_INTEGRATION[@]}"; do
        [[ " ${kinds[*]} " != *" $kind "* ]] || beside+=("$kind")
    done
    if [[ ${#beside[@]} == 0 ]]; then
        run_kind integration
        return
    fi
    set -m # a process group of its own, which can be interrupted
    run_kinds "${beside[@]}" >"$RESULTS/beside" 2>&1 </dev/null &
    set +m
    # shellcheck disable=SC2064 # this process, now
    trap "kill -INT -- -$! 2>/dev/null || true; wait" EXIT
    run_kind integration
    wait
    trap - EXIT
    cat "$RESULTS/beside"
}

run_kinds() {
    local kind
    for kind in "$@"; do
        run_kind "$kind"
    done
}

argument() {
    take 1
    case $1 in
    --)
        pytest_arguments=("${@:2}")
        take $#
        ;;
    all)
        kinds+=("${ALL[@]}")
        if [[ $(id -u) == 0 ]]; then
            kinds+=("${ALL_AS_ROOT[@]}")
        else
            say "Left out, because they need root: ${ALL_AS_ROOT[*]}"
        fi
        ;;
    -*) take 0 ;;
    *)
        [[ " ${KINDS[*]} " == *" $1 "* ]] || die "There are no tests of kind '$1'." "Kinds: ${KINDS[*]} all"
        kinds+=("$1")
        ;;
    esac
}

# Each kind runs even if one before it failed. Every kind has a folder for its results, its seconds and its status.
run_kind() {
    local begun=$SECONDS status results=$RESULTS/$1
    mkdir -p "$results"
    set +e
    (
        set -e
        "test_$1"
    )
    status=$?
    set -e
    printf '%s %s\n' $((SECONDS - begun)) $status >"$results/time"
}

prepare_quick() {
    need_build_packages "${QUICK_TEST_PACKAGES[@]}"
    need_prometheus
    step "Building (release)" build_preset release
    step "Tools for Python" make_python_environment
}

test_quick() {
    say '' "${BOLD}What needs no server$PLAIN"
    run_ctest release -LE server
    "$VENV/bin/pytest" -q tests/chaos tests/bench tests/integration -m "not system" --junitxml "$results/python.xml" \
        "${pytest_arguments[@]}"
}

prepare_unit() {
    need_build_packages "${UNIT_TEST_PACKAGES[@]}"
    step "Building (release)" build_preset release
}

test_unit() {
    say '' "${BOLD}Unit tests$PLAIN"
    run_ctest release
}

prepare_sanitize() {
    need_build_packages "${UNIT_TEST_PACKAGES[@]}"
    step "Building (asan)" build_preset asan
}

test_sanitize() {
    say '' "${BOLD}Unit tests under the sanitizers$PLAIN"
    run_ctest asan
}

run_ctest() {
    LSAN_OPTIONS=suppressions=$ROOT/tests/lsan.supp:print_suppressions=0 \
        ctest --preset "$1" -j "$(nproc)" --output-junit "$results/unit.xml" "${@:2}"
}

prepare_integration() {
    prepare_console
}

test_integration() {
    say '' "${BOLD}Integration tests$PLAIN"
    # Four workers with a system each.
    "$VENV/bin/pytest" -n 4 tests/integration tests/bench tests/console/test_smoke.py \
        -m "not attack and not versions and not ipv6" --junitxml "$results/integration.xml" "${pytest_arguments[@]}"
}

prepare_console() {
    prepare_whole_system
    need_browser
}

test_console() {
    say '' "${BOLD}The console in a browser$PLAIN"
    "$VENV/bin/pytest" tests/console --junitxml "$results/console.xml" "${pytest_arguments[@]}"
}

prepare_attacks() {
    prepare_whole_system
}

test_attacks() {
    say '' "${BOLD}Attacks$PLAIN"
    "$VENV/bin/pytest" tests/integration -m attack --junitxml "$results/attacks.xml" "${pytest_arguments[@]}"
}

prepare_ipv6() {
    [[ $(id -u) == 0 ]] || die "To make a network needs root." "Run: sudo ./dev test ipv6"
    prepare_whole_system
    need_packages iproute2
}

test_ipv6() {
    say '' "${BOLD}Without IPv4$PLAIN"
    in_ipv6_network "$VENV/bin/pytest" tests/integration/test_{ipv6,orders,bulk,search,dashboard,idempotency}.py \
        tests/integration/test_configuration.py::test_check --junitxml "$results/ipv6.xml" "${pytest_arguments[@]}"
}

# in_ipv6_network COMMAND...: with ::1 for its only address, and of that name.
in_ipv6_network() {
    printf '::1 localhost %s\n' "$(hostname)" >"$results/hosts"
    # shellcheck disable=SC2016 # expanded by the inner shell
    DEV_LOOPBACK=::1 unshare --net --mount bash -euc '
        mount --bind "$1" /etc/hosts
        ip link set lo up
        ip -4 address flush dev lo
        exec "${@:2}"' - "$results/hosts" "$@"
}

prepare_faults() {
    prepare_whole_system
}

test_faults() {
    say '' "${BOLD}One fault of each class under load$PLAIN"
    play_scenarios --one-per-class --junitxml "$results/chaos.xml"
}

prepare_chaos() {
    prepare_whole_system
}

test_chaos() {
    say '' "${BOLD}Every fault under load$PLAIN"
    play_scenarios --junitxml "$results/chaos.xml"
}

run_chaos() {
    prepare_chaos
    play_scenarios "$@"
}

play_scenarios() {
    try_verdict
    "$VENV/bin/python" "$ROOT/tests/chaos" --folder "$ROOT/.run-chaos" "$@"
}

# A verdict that finds nothing must be able to find something.
try_verdict() {
    step "Trying the verdict on what it must find" "$VENV/bin/pytest" -q "$ROOT/tests/chaos"
}

run_soak() {
    prepare_chaos
    try_verdict
    "$VENV/bin/python" "$ROOT/tests/chaos/soak.py" --folder "$ROOT/.run-chaos" "$@"
}

run_operate() {
    prepare_chaos
    try_verdict
    "$VENV/bin/python" "$ROOT/tests/chaos/operate.py" --folder "$ROOT/.run-chaos" "$@"
}

prepare_containers() {
    local image
    [[ $(id -u) == 0 ]] || die "Networks between containers need root." "Run: sudo ./dev test containers"
    need_packages "${CONTAINER_PACKAGES[@]}" "${RUN_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
    need_elasticsearch
    step "Tools for Python" make_python_environment
    step "Tools for containers" "$VENV/bin/pip" install -q -r tests/containers/requirements.txt
    export CONTAINERS_CONF=$ROOT/tests/containers/containers.conf
    export CONTAINERS_STORAGE_CONF=$ROOT/tests/containers/storage.conf
    step "Images of the servers, from Debian's packages" tests/containers/stand_ins/make "$(elasticsearch_home)"
    for image in build "${SERVICES[@]}"; do
        step "Image: $image" tests/containers/build "$image"
    done
    step "Image: machine with the Debian package" tests/containers/build machine tests/containers/package/Dockerfile
}

test_containers() {
    say '' "${BOLD}Containers$PLAIN"
    "$VENV/bin/pytest" tests/containers --junitxml "$results/containers.xml" "${pytest_arguments[@]}"
}

prepare_whole_system() {
    need_build_packages "${RUN_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
    need_elasticsearch
    need_prometheus
    step "Building (release)" build_preset release
    step "Tools for Python" make_python_environment
}

run_simulate() {
    need_build_packages
    step "Building (release)" build_preset release
    "$ROOT/build/release/tests/unit/bridge/bridge_simulation" "$@"
}

# What a version must keep: the contract that clients and foreign programs rely on, and every accepted order.
CONTRACT=(orders amounts bulk dashboard idempotency queue_sharing search index_alias document_reader health versions)
# Most tests that start a second system take longer than all others together.
CONTRACT_WITHOUT='empty_view or another_deployment or foreign_consumer or drained_by_both or another_type'
NGINX_ANSWERS=' or an_encoded_id or TRACE or two_tokens' # itself, with pages of its own

help_versions() {
    cat <<TEXT
Usage: ./dev test versions [NAME...]

Starts the system on each version of the servers, one after the other. Runs the integration tests of the
contract on it: ${CONTRACT[*]::9}, ${CONTRACT[9]}.
Then kills every process under load, and compares an independent ledger with the stores. Prints a line for each.
A run that was interrupted, or in which something failed, goes on with what has not passed yet. Each takes some
three minutes; the first time, the servers are fetched before. Needs root.

$(version_names | sed 's/^/  /')
TEXT
}

run_versions() {
    local DEV_VERSION name names=("$@") passed_in=$ROOT/build/versions number=0 passed=0 failed=0
    if [[ " $* " == *" --help "* || " $* " == *" -h "* ]]; then
        help_versions
        return
    fi
    [[ $(id -u) == 0 ]] || die "Servers in a Debian 13 need root." "Run: sudo ./dev test versions"
    for name in "${names[@]}"; do
        check_version "$name"
        rm -f "$passed_in/$name"
    done
    [[ ${#names[@]} -gt 0 ]] || mapfile -t names < <(version_names)
    prepare_whole_system
    for name in "${names[@]}"; do
        DEV_VERSION=$name
        need_elasticsearch
        need_version
    done
    mkdir -p "$passed_in"
    for name in "${names[@]}"; do
        number=$((number + 1))
        printf '%2d of %d  %-22s ' $number ${#names[@]} "$name"
        if [[ -f $passed_in/$name ]] || try_version "$name"; then
            passed=$((passed + 1))
            cat "$passed_in/$name"
        else
            failed=$((failed + 1))
            say "FAILED: $(short_path "$passed_in/$name.log"), $(short_path "$ROOT/.run-test-$name/log")"
        fi
    done
    say '' "$passed passed, $failed failed"
    ((failed == 0)) || return 1
    [[ $passed -lt ${#VERSIONS[@]} ]] || rm -r "$passed_in" # the next run is a new one
}

# try_version NAME: its line is in $passed_in/NAME if it has passed.
try_version() {
    local begun=$SECONDS results=$passed_in/$1.results files=("${CONTRACT[@]/#/tests/integration/test_}")
    local without=$CONTRACT_WITHOUT
    [[ $1 != nginx ]] || without+=$NGINX_ANSWERS
    files=("${files[@]/%/.py}")
    rm -rf "$results"
    mkdir -p "$results"
    DEV_VERSION=$1 VERSION_REPORT=$results/line timeout 900 "$VENV/bin/pytest" -q --timeout 600 \
        "${files[@]}" -k "not ($without)" \
        --junitxml "$results/contract.xml" >"$passed_in/$1.log" 2>&1 </dev/null || return
    count_results "$results"
    printf '%s; %d tests, %s, %s\n' "$(<"$results/line")" "$kind_passed" "$(minutes $((SECONDS - begun)))" "$(date +%F)" \
        >"$passed_in/$1"
    rm -r "$results"
}

# Sums the counts of the result files. A kind that ended badly has failed, whatever its files say.
print_sum() {
    local kind seconds status passed=0 failed=0 kind_passed kind_failed
    say ''
    for kind in "${kinds[@]}"; do
        read -r seconds status <"$RESULTS/$kind/time"
        count_results "$RESULTS/$kind"
        ((kind_failed > 0 || status == 0)) || kind_failed=1
        passed=$((passed + kind_passed)) failed=$((failed + kind_failed))
        printf '%-14s %s  %5d passed, %d failed\n' "$kind" "$(minutes "$seconds")" "$kind_passed" "$kind_failed"
    done
    printf '%-14s %s\n\n' "together" "$(minutes $((SECONDS - started)))"
    print_longest
    say "$passed passed, $failed failed"
    ((passed > 0 && failed == 0))
}

# The ten longest tests and scenarios, with their kinds.
print_longest() {
    local file kind case name seconds
    say "The longest:"
    for file in "$RESULTS"/*/*.xml; do
        [[ -f $file ]] || continue
        kind=$(basename "$(dirname "$file")")
        while IFS= read -r case; do
            [[ $case =~ [[:space:]]name=\"([^\"]*)\" ]] || continue
            name=${BASH_REMATCH[1]}
            [[ $case =~ [[:space:]]time=\"([0-9.]+)\" ]] || continue
            seconds=${BASH_REMATCH[1]}
            printf '%s\t%s\t%s\n' "$seconds" "$kind" "$name"
        done < <(tr '\n\t' '  ' <"$file" | grep -o '<testcase [^>]*>')
    done | LC_ALL=C sort -rn | sed -n '1,10p' | sed 's/&lt;/</g; s/&gt;/>/g; s/&quot;/"/g; s/&amp;/\&/g' |
        while IFS=$'\t' read -r seconds kind name; do
            printf '%10s s  %-14s %s\n' "$seconds" "$kind" "$name"
        done
    say ''
}

minutes() {
    printf '%2d min %02d s' $(($1 / 60)) $(($1 % 60))
}

# count_results FOLDER: sets kind_passed and kind_failed.
count_results() {
    local file suite bad
    kind_passed=0 kind_failed=0
    for file in "$1"/*.xml; do
        [[ -f $file ]] || continue
        suite=$(tr '\n\t' '  ' <"$file" | grep -o '<testsuite [^>]*>')
        bad=$(($(attribute failures "$suite") + $(attribute errors "$suite")))
        kind_failed=$((kind_failed + bad))
        kind_passed=$((kind_passed + $(attribute tests "$suite") - bad - $(attribute skipped "$suite") - \
            $(attribute disabled "$suite")))
    done
}

# attribute NAME TAG: the number in NAME="…", or 0.
attribute() {
    [[ $2 =~ [[:space:]]$1=\"([0-9]+)\" ]] && printf '%s' "${BASH_REMATCH[1]}" || printf 0
}
