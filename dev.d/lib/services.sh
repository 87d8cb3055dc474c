# The five services: how many of each, the environment that each replica gets, when it is ready.
# shellcheck shell=bash disable=SC2034

SERVICES=(persister indexer bridge scheduler gateway)
MAX_REPLICAS=32

build_preset() {
    cd "$ROOT" || return
    [[ -f build/$1/build.ninja ]] || cmake --preset "$1"
    cmake --build --preset "$1"
}

service_binary() {
    printf '%s/build/release/services/%s/%s' "$ROOT" "$1" "$1"
}

orderctl_binary() {
    printf '%s/build/release/services/orderctl/orderctl' "$ROOT"
}

# A bridge has three sockets: persist jobs, index jobs, replies. Who may enter their folder is trusted.
bridge_endpoint() {
    printf 'ipc://%s/links/bridge-%s' "$(socket_folder links/bridge-$MAX_REPLICAS.persist)" "$1"
}

make_links_folder() {
    local folder
    folder=$(socket_folder links/bridge-$MAX_REPLICAS.persist)/links
    mkdir -p "$folder"
    chmod 700 "$folder"
}

# While no bridge is wanted, the others go on knowing the first.
bridge_endpoints() {
    local i endpoints=() count
    count=$(replicas bridge)
    for ((i = 1; i <= (count > 0 ? count : 1); i++)); do
        endpoints+=("$(bridge_endpoint "$i")")
    done
    (IFS=, && printf '%s' "${endpoints[*]}")
}

# What all replicas of SERVICE have in their environment, as NAME=VALUE lines: of the settings those that its --help
# lists, so that it has no other's secrets.
common_environment() {
    local name value known
    known=$("$(service_binary "$1")" --help) || return
    for name in "${SERVER_SETTINGS[@]}" "${SERVICE_SETTINGS[@]}"; do
        [[ $known =~ $'\n  '"$name"[[:space:]] ]] || continue
        value=$(setting "$name")
        [[ -z $value ]] || printf '%s=%s\n' "$name" "$value"
    done
}

# What one replica has besides.
own_environment() {
    local service=$1 i=$2
    case $service in
    gateway)
        printf 'API_PORT=%s\n' "$(port "GATEWAY_${i}_API")"
        printf 'SERVICE_ADMIN_URLS=%s\n' "$(admin_urls_file)"
        ;;
    bridge) printf 'BRIDGE_BIND=%s\n' "$(bridge_endpoint "$i")" ;;
    persister | indexer) printf 'BRIDGE_ENDPOINTS=%s\n' "$(bridge_endpoints)" ;;
    esac
    printf 'ADMIN_ADDRESS=%s\n' "$LOOPBACK"
    printf 'ADMIN_PORT=%s\n' "$(port "${service^^}_${i}_ADMIN")"
}

# A script that starts one replica; also handy for running it by hand or under a debugger.
write_start_script() {
    local script=$1 service=$2 i=$3 common=$4 line
    install -m 700 /dev/null "$script"
    {
        # shellcheck disable=SC2016 # expanded when the script runs
        say '#!/bin/bash' 'ulimit -n $(($(ulimit -Hn) < 65536 ? $(ulimit -Hn) : 65536)) 2>/dev/null'
        while IFS= read -r line; do
            printf 'export %s=%s\n' "${line%%=*}" "$(quoted "${line#*=}")"
        done < <(say "$common" && own_environment "$service" "$i")
        printf 'exec %s\n' "$(quoted "$(service_binary "$service")")"
    } >"$script"
}

# A replica restarts when its environment or its program has changed.
write_services() {
    local service i name script common keep=' '
    mkdir -p "$RUN/start"
    make_links_folder
    for service in "${SERVICES[@]}"; do
        common=$(common_environment "$service")
        for ((i = 1; i <= $(replicas "$service"); i++)); do
            name=$service-$i
            script=$RUN/start/$name
            keep+="$name "
            write_start_script "$script" "$service" "$i" "$common"
            write_program "$name" "$script" "$RUN/work" 50 root \
                "$(cat "$script" "$(service_binary "$service")" | cksum | tr ' ' -)"
        done
    done
    for script in "$RUN/start/"*; do
        name=$(basename "$script")
        [[ $keep == *" $name "* ]] || rm -f "$script" "$PROGRAMS/$name.conf"
    done
}

# replica_url SERVICE NUMBER PORT: of its port API (gateways only) or ADMIN.
replica_url() {
    printf 'http://%s:%s' "$LOOPBACK_HOST" "$(recall ports "${1^^}_${2}_$3")"
}

# A bridge is ready only with workers of both kinds, and they only with a bridge. Prints what is
# missing for SERVICE at the wanted scale; fails if nothing is.
missing_partner() {
    local partner
    case $1 in
    bridge) set -- persister indexer ;;
    persister | indexer) set -- bridge ;;
    *) return 1 ;;
    esac
    for partner in "$@"; do
        if [[ $(replicas "$partner") == 0 ]]; then
            printf '%s' "$partner"
            return
        fi
    done
    return 1
}

replica_is_ready() {
    [[ $(curl -s -m 3 -o /dev/null -w '%{http_code}' "$(replica_url "$1" "$2" ADMIN)/readyz") == 200 ]]
}
