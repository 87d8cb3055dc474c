# ./dev up
# shellcheck shell=bash

# shellcheck source=dev.d/lib/packages.sh
. "$ROOT/dev.d/lib/packages.sh"
# shellcheck source=dev.d/lib/settings.sh
. "$ROOT/dev.d/lib/settings.sh"
# shellcheck source=dev.d/lib/servers.sh
. "$ROOT/dev.d/lib/servers.sh"
# shellcheck source=dev.d/lib/services.sh
. "$ROOT/dev.d/lib/services.sh"
# shellcheck source=dev.d/lib/supervisor.sh
. "$ROOT/dev.d/lib/supervisor.sh"

help() {
    cat <<TEXT
Usage: ./dev up [--scale SERVICE=N...] [--no-build] [--open]

Installs what is missing (with apt; sudo only for that), builds, starts private servers and the
five services, waits until all are ready, and prints what to try. Running it again brings the
system to the wanted state and leaves alone what is already right.

  --scale SERVICE=N...  how many of each service, remembered for the next time (0..$MAX_REPLICAS, default 1);
                        services: ${SERVICES[*]}
  --no-build            use the programs as they were built last
  --open                open the console in a browser

Taken from the environment and remembered, until set to the empty string:
  ${SERVER_SETTINGS[*]}
                        use that server instead of starting a private one
$(fold -s -w 96 <<<"${SERVICE_SETTINGS[*]}" | sed 's/^/  /')
                        given to the services

  DEV_VERSION           one of those that ./dev test versions tries, in a run folder of its own

Examples:
  ./dev up --scale persister=3 indexer=2
  POSTGRES_DSN=postgresql://me@db.example/shop ./dev up
  POSTGRES_DSN= ./dev up                                  (back to the private PostgreSQL)
TEXT
}

main() {
    local build=yes open=no scale=() pair
    read_arguments up "$@"

    is_run_folder || [[ -z $(ls -A "$RUN") ]] || die "There are files of something else in $RUN." "Set DEV_RUN to a folder of its own."
    lock_run_folder
    chmod 711 "$RUN"
    remember_user_settings
    for pair in "${scale[@]}"; do
        remember scale "${pair%=*}" "${pair#*=}"
    done

    local started=$SECONDS
    say "${BOLD}Order pipeline in $RUN$PLAIN"
    install_what_is_missing
    start_servers
    [[ $build == no ]] || step "Building" build_preset release
    check_binaries
    wait_for_servers
    start_services
    wait_for_services
    say '' "${GREEN}Everything is ready$PLAIN after $((SECONDS - started)) s."
    print_what_to_try
    [[ $open == no ]] || open_console
}

argument() {
    case $1 in
    --no-build)
        build=no
        take 1
        ;;
    --open)
        open=yes
        take 1
        ;;
    --scale)
        [[ ${2:-} == *=* ]] || die "--scale needs SERVICE=N, for example: ./dev up --scale persister=3 indexer=2"
        local count=1
        for pair in "${@:2}"; do
            [[ $pair == *=* && $pair != -* ]] || break
            check_scale "$pair"
            scale+=("$pair")
            count=$((count + 1))
        done
        take $count
        ;;
    esac
}

check_scale() {
    local service=${1%%=*} count=${1#*=}
    [[ " ${SERVICES[*]} " == *" $service "* ]] || die "There is no service '$service'." "Services: ${SERVICES[*]}"
    [[ $count =~ ^(0|[1-9][0-9]?)$ && $count -le $MAX_REPLICAS ]] ||
        die "'$1': the number of replicas must be 0 to $MAX_REPLICAS."
}

install_what_is_missing() {
    need_build_packages "${RUN_PACKAGES[@]}"
    ! is_private ELASTICSEARCH_URL || need_elasticsearch
    need_version
}

start_servers() {
    if ! supervisor_runs; then
        stop_leftover_processes
        forget_lost_ports
        # The services start after the servers, from what will have been built by then.
        rm -f "$PROGRAMS/"*.conf
    fi
    make_server_folder
    write_supervisor_configuration
    mapfile -t private < <(private_servers)
    step "Preparing the servers" prepare_servers "${private[@]}"
    step "Starting the servers" start_supervisor_and_programs
    write_env_file
}

start_supervisor_and_programs() {
    start_supervisor
    wait_until 10 supervisor_runs
    update_programs
}

wait_for_servers() {
    local server
    for server in "${private[@]}"; do
        step "Waiting for $server" wait_for_program "$server" 180 "${server}_is_ready"
    done
}

check_binaries() {
    local service program programs=("$(orderctl_binary)")
    for service in "${SERVICES[@]}"; do
        programs+=("$(service_binary "$service")")
    done
    for program in "${programs[@]}"; do
        [[ -x $program ]] || die "$(short_path "$program") has not been built." "Run ./dev up without --no-build."
    done
}

start_services() {
    step "Starting the services" write_services_and_update
}

write_services_and_update() {
    write_services
    write_admin_urls
    write_env_file
    update_programs
}

wait_for_services() {
    local service i partner
    for service in "${SERVICES[@]}"; do
        if [[ $(replicas "$service") != 0 ]] && partner=$(missing_partner "$service"); then
            say "  Not waiting for $service: it is not ready without a $partner, and none is wanted."
            continue
        fi
        for ((i = 1; i <= $(replicas "$service"); i++)); do
            step "Waiting for $service-$i" wait_for_program "$service-$i" 60 replica_is_ready "$service" "$i"
        done
    done
}

# wait_for_program NAME SECONDS COMMAND...: COMMAND tells whether it is ready. What is printed
# on failure is shown to the user by step().
wait_for_program() {
    local name=$1 seconds=$2 status=0
    shift 2
    wait_until "$seconds" ready_or_given_up "$name" "$@" || status=1
    if [[ $status == 0 && $(program_state "$name") != FATAL ]]; then
        return 0
    fi
    if [[ $1 == replica_is_ready ]]; then
        say "what $name says about itself:"
        curl -s -m 3 "$(replica_url "$2" "$3" ADMIN)/readyz" || say "(nothing: it does not answer)"
        say ''
    fi
    say "$name is $(program_state "$name") and not ready after $seconds s; the end of its log ($(short_path "$LOGS/$name.log")):"
    tail -n 15 "$LOGS/$name.log"
    return 1
}

ready_or_given_up() {
    local name=$1
    shift
    "$@" || [[ $(program_state "$name") == FATAL ]]
}

print_what_to_try() {
    local api name
    say ''
    [[ $(replicas gateway) == 0 ]] ||
        say "  console       $(console_url)    in a browser; its token is \$ADMIN_TOKEN of the settings, or \$ADMIN_READ_TOKEN to look only"
    say "  settings      . $(short_path "$RUN/env")    exports every address, user and token" \
        "  operators     orderctl status    after reading the settings; orderctl --help tells the rest" \
        "  logs          ./dev logs [service] [-f]"
    for name in "${SERVER_SETTINGS[@]}"; do
        is_private "$name" || say "  not private   $name as you have set it; go back with: $name= ./dev up"
    done
    if [[ $(replicas gateway) == 0 ]]; then
        say "  no API        start a gateway with: ./dev up --scale gateway=1"
        return
    fi
    api=$(replica_url gateway 1 API)
    say "  API           $api" '' 'Try:' \
        "  curl -i $api/api/orders -d '{\"product_name\":\"Laptop\",\"amount\":1299.99}'" \
        "  curl '$api/api/search?q=laptop'" \
        "  ./dev demo"
}

# Where a browser gets the console: the admin port always has it.
console_url() {
    local port=ADMIN
    [[ $(setting API_CONSOLE) != on ]] || port=API
    printf '%s/' "$(replica_url gateway 1 $port)"
}

# The browser goes on after us, and so must not hold the lock of the run folder.
open_console() {
    local url place
    if [[ $(replicas gateway) == 0 ]]; then
        say '' "There is no console to open, because no gateway is wanted: ./dev up --scale gateway=1"
        return
    fi
    url=$(console_url)
    if [[ -z ${DISPLAY:-}${WAYLAND_DISPLAY:-} ]]; then
        place=${url#http://} place=${place%/}
        say '' "There is no desktop here to open a browser on. On the machine that has one, run" \
            "  ssh -L ${place##*:}:$place $(hostname)" "and open $url there."
    elif ! command -v xdg-open >/dev/null; then
        say '' "There is no xdg-open here (it is in the package xdg-utils). Open $url in a browser."
    else
        setsid xdg-open "$url" </dev/null >/dev/null 2>&1 9>&- &
    fi
}
