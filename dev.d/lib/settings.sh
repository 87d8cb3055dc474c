# What a system remembers between two calls of ./dev, each in a file of the run folder:
#   ports     NAME=PORT, picked when first needed
#   secrets   NAME=VALUE, random, made once
#   settings  NAME=VALUE, what the user had in the environment at `./dev up`
#   scale     SERVICE=REPLICAS
#   env       shell exports of every connection setting, written by `./dev up` for any tool
#   admin-urls  the admin ports of all but the gateways, which read it
# shellcheck shell=bash

# shellcheck source=dev.d/lib/versions.sh
. "$ROOT/dev.d/lib/versions.sh"

# Setting one of these before `./dev up` uses that server instead of a private one.
SERVER_SETTINGS=(POSTGRES_DSN REDIS_ADDR RABBITMQ_URL ELASTICSEARCH_URL)

# Everything else that may be set before `./dev up`; given to the services as it is.
SERVICE_SETTINGS=(ADMIN_TOKEN ADMIN_READ_TOKEN ADMIN_AUTH API_ADMIN SERVICE_ADMIN_URLS IDEMPOTENCY_NAMESPACE LOG_LEVEL MV_REFRESH_SCHEDULE
    VERIFY_SCHEDULE VERIFY_FULL_SCHEDULE INDEX_REPAIR
    DEAD_LETTER_ARCHIVE DEAD_LETTER_ARCHIVE_MAX DEAD_LETTER_RETENTION
    ORDER_QUEUE ORDER_QUEUES ORDER_QUEUE_TYPE ORDER_INDEX ORDER_INDEX_SETTINGS_FILE ORDER_CACHE_TTL
    ORDER_PUBLISH_WINDOW ORDER_PREFETCH
    PERSISTER_BATCH INDEXER_BATCH GATEWAY_THREADS API_ADDRESS API_CORS_ORIGINS API_METRICS API_CONSOLE
    API_MAX_CONNECTIONS API_KEEPALIVE API_DRAIN
    API_BODY_BUDGET API_ANSWER_BUDGET REDIS_USERNAME REDIS_PASSWORD REDIS_CA_FILE RABBITMQ_CA_FILE
    ELASTICSEARCH_CA_FILE ELASTICSEARCH_API_KEY)

# recall FILE NAME: prints the value; fails when there is none.
recall() {
    local line
    [[ -f $RUN/$1 ]] || return 1
    while IFS= read -r line; do
        if [[ $line == "$2="* ]]; then
            printf '%s' "${line#*=}"
            return
        fi
    done <"$RUN/$1"
    return 1
}

forget() {
    [[ -f $RUN/$1 ]] || return 0
    local kept
    kept=$(grep -v "^$2=" "$RUN/$1") || true
    (umask 077 && printf '%s' "${kept:+$kept$'\n'}" >"$RUN/$1.new")
    mv "$RUN/$1.new" "$RUN/$1"
}

remember() {
    forget "$1" "$2"
    (umask 077 && printf '%s=%s\n' "$2" "$3" >>"$RUN/$1")
}

# secret NAME: 128 random bits, the same at every call.
secret() {
    recall secrets "$1" && return
    local value
    value=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    remember secrets "$1" "$value"
    printf '%s' "$value"
}

port_is_busy() {
    (exec 3<>"/dev/tcp/$LOOPBACK/$1") 2>/dev/null
}

# By this system, or by one in a folder beside it, which may be about to start.
port_is_taken() {
    grep -qs "=$1\$" "$RUN/ports" "$(dirname "$RUN")"/{,.}*/ports
}

# port NAME: a free port, the same at every call. Below the range that the kernel hands out;
# each run folder starts its search elsewhere, and goes on behind the last port that it has found.
port() {
    recall ports "$1" && return
    local candidate lock
    candidate=$(tail -qn 1 "$RUN/ports" 2>/dev/null) || candidate=
    candidate=${candidate#*=}
    candidate=$((candidate > 0 ? candidate + 1 : 20000 + RUN_KEY % 240 * 50))
    # Systems in one folder pick one after the other.
    exec {lock}<"$(dirname "$RUN")" && flock "$lock"
    while port_is_taken $candidate || port_is_busy $candidate; do
        candidate=$((candidate < 32000 ? candidate + 1 : 20000))
    done
    remember ports "$1" $candidate
    exec {lock}<&-
    printf '%s' $candidate
}

# While nothing of ours runs, a remembered port that is busy has been taken by somebody else.
forget_lost_ports() {
    local line
    [[ -f $RUN/ports ]] || return 0
    while IFS= read -r line; do
        if port_is_busy "${line#*=}"; then
            say "  Port ${line#*=} (${line%=*}) is used by another program now; taking a new one."
            forget ports "${line%=*}"
        fi
    done < <(cat "$RUN/ports")
}

# A shell that has read our env file holds our own private servers in its variables: those
# must not be taken for servers of the user. The file carries a checksum of each for that.
checksum() {
    printf '%s' "$1" | cksum | tr ' ' -
}

is_our_own() {
    [[ " ${DEV_OWN_SETTINGS:-} " == *" $(checksum "$1=$2") "* ]]
}

# Takes over what the user has set in the environment; set but empty forgets what was remembered.
remember_user_settings() {
    local name value
    [[ -z ${DEV_VERSION:-} ]] || check_version "$DEV_VERSION"
    for name in DEV_VERSION "${SERVER_SETTINGS[@]}" "${SERVICE_SETTINGS[@]}"; do
        [[ -v $name ]] || continue
        value=${!name}
        if [[ -z $value ]]; then
            forget settings "$name"
        elif [[ $value == *$'\n'* ]]; then
            die "$name contains a line break." "Give it on one line."
        elif ! is_our_own "$name" "$value"; then
            remember settings "$name" "$value"
        fi
    done
}

is_private() {
    ! recall settings "$1" >/dev/null
}

# setting NAME: the value that services get: the user's, or that of the private server.
setting() {
    recall settings "$1" && return
    case $1 in
    POSTGRES_DSN)
        postgres_dsn
        ;;
    REDIS_ADDR) printf '%s:%s' "$LOOPBACK_HOST" "$(port REDIS)" ;;
    RABBITMQ_URL)
        rabbitmq_urls
        ;;
    ELASTICSEARCH_URL) elasticsearch_url ;;
    ADMIN_TOKEN | ADMIN_READ_TOKEN | IDEMPOTENCY_NAMESPACE) secret "$1" ;;
    API_ADDRESS) printf '%s' "$LOOPBACK" ;;
    API_DRAIN) printf 0 ;; # no load balancer is in front
    API_CONSOLE) printf on ;; # as API_ADDRESS, for those on this machine
    esac
}

# replicas SERVICE: how many are wanted.
replicas() {
    recall scale "$1" || printf 1
}

# port_urls SERVICE PORT: of all its replicas; PORT is API (gateways only) or ADMIN.
port_urls() {
    local i urls=()
    for ((i = 1; i <= $(replicas "$1"); i++)); do
        urls+=("http://$LOOPBACK_HOST:$(port "${1^^}_${i}_$2")")
    done
    printf '%s' "${urls[*]}"
}

# A file, so that a gateway learns of another scale without a restart.
admin_urls_file() {
    printf '%s/admin-urls' "$RUN"
}

write_admin_urls() {
    local name
    for name in bridge persister indexer scheduler; do
        port_urls "$name" ADMIN
        printf '\n'
    done >"$RUN/admin-urls.new"
    mv "$RUN/admin-urls.new" "$(admin_urls_file)"
}

write_env_file() {
    local name value own=() urls
    urls=$(port_urls gateway API)
    ! is_version nginx || urls=http://127.0.0.1:$(port NGINX)
    install -m 600 /dev/null "$RUN/env.new"
    {
        say "# Connection settings of the system in $RUN; read it with: . $(quoted "$RUN/env")"
        printf 'export API_URL=%s\n' "$(quoted "${urls%% *}")"
        printf 'export API_URLS=%s\n' "$(quoted "$urls")"
        printf 'export ORDER_API_URL=%s\n' "$(quoted "${urls%% *}")"
        # For orderctl, once however often this is read.
        # shellcheck disable=SC2016 # expanded when the file is read
        printf 'case :$PATH: in *:%s:*) ;; *) export PATH=%s:$PATH ;; esac\n' \
            "$(quoted "$(dirname "$(orderctl_binary)")")" "$(quoted "$(dirname "$(orderctl_binary)")")"
        for name in gateway bridge persister indexer scheduler; do
            printf 'export %s_ADMIN_URLS=%s\n' "${name^^}" "$(quoted "$(port_urls "$name" ADMIN)")"
        done
        for name in "${SERVER_SETTINGS[@]}" "${SERVICE_SETTINGS[@]}"; do
            value=$(setting "$name")
            [[ -n $value ]] || continue
            printf 'export %s=%s\n' "$name" "$(quoted "$value")"
            ! is_private "$name" || own+=("$(checksum "$name=$value")")
        done
        printf 'export DEV_OWN_SETTINGS=%s\n' "$(quoted "${own[*]}")"
    } >"$RUN/env.new"
    mv "$RUN/env.new" "$RUN/env"
}
