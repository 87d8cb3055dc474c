# ./dev status
# shellcheck shell=bash

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
Usage: ./dev status

One line for each process: its state, process id and time since its start, its address, and
whether it is ready. Ends with 0 when everything is ready.
TEXT
}

main() {
    read_arguments status "$@"
    if ! supervisor_runs; then
        say "Nothing runs. Start it with: ./dev up"
        return 3
    fi
    local name state rest all=0
    printf "$BOLD%-16s %-10s %-28s %-24s %s$PLAIN\n" NAME STATE SINCE ADDRESS READY
    while read -r name state rest; do
        print_line "$name" "$state" "$rest" || all=1
    done < <(supervisorctl status || true)
    for name in "${SERVER_SETTINGS[@]}"; do
        is_private "$name" || say "$name: not private, as you have set it"
    done
    return $all
}

print_line() {
    local name=$1 state=$2 rest=$3 address ready=no color=$RED
    case $name in
    *-[0-9]*)
        local port=ADMIN
        [[ $name != gateway-* ]] || port=API
        address=$(replica_url "${name%-*}" "${name##*-}" $port)
        ! replica_is_ready "${name%-*}" "${name##*-}" >/dev/null 2>&1 || ready=yes
        ;;
    *)
        address=127.0.0.1:$(port "${name^^}")
        ! "${name}_is_ready" >/dev/null 2>&1 || ready=yes
        ;;
    esac
    [[ $ready == no ]] || color=$GREEN
    printf '%-16s %-10s %-28s %-24s %s\n' "$name" "$state" "$rest" "${address#http://}" "$color$ready$PLAIN"
    [[ $ready == yes ]]
}
