# Servers of other versions and makes than the usual ones, for ./dev test versions, and for DEV_VERSION=NAME ./dev up in a
# run folder of its own. A version changes one thing of the usual system.
# shellcheck shell=bash

# shellcheck source=dev.d/lib/debian13.sh
. "$ROOT/dev.d/lib/debian13.sh"

# NAME, and the server that runs in a Debian 13, if one does. Names of Elasticsearch and OpenSearch are those of their
# archives; the newest of both need Java 21, which Debian 13 has.
VERSIONS=(
    'usual'
    'redis-8 redis'
    'valkey-8 redis'
    'rabbitmq-4 rabbitmq'
    'rabbitmq-cluster'
    'postgres-17 postgres'
    'postgres-standby'
    'pgbouncer-1.18'
    'pgbouncer-1.24 pgbouncer'
    'nginx'
    'elasticsearch-cluster'
    'elasticsearch-7.17.29'
    'elasticsearch-8.19.0'
    'elasticsearch-9.0.0 elasticsearch'
    'opensearch-2.19.6'
    'opensearch-3.0.0 elasticsearch'
)
SERVERS_OF_DEBIAN13=(postgresql redis-server valkey-server rabbitmq-server pgbouncer openjdk-21-jre-headless)

version_names() {
    local line
    for line in "${VERSIONS[@]}"; do
        printf '%s\n' "${line%% *}"
    done
}

check_version() {
    [[ $'\n'$(version_names)$'\n' == *$'\n'"$1"$'\n'* ]] ||
        die "There is no version '$1'." "Versions: $(version_names | tr '\n' ' ')"
}

# The version of this system.
version() {
    if [[ -n ${DEV_VERSION:-} ]]; then
        printf '%s' "$DEV_VERSION"
    else
        recall settings DEV_VERSION || printf usual
    fi
}

# is_version PATTERN
is_version() {
    # shellcheck disable=SC2053 # a pattern on purpose
    [[ $(version) == $1 ]]
}

needs_nginx() {
    is_version nginx || is_version elasticsearch-cluster
}

# --- servers in a Debian 13 ---------------------------------------------------------------------

servers13_root() {
    printf '%s/servers13' "$(cache_folder)"
}

runs_in_debian13() {
    local line
    for line in "${VERSIONS[@]}"; do
        [[ $line != *" ${1%%_*}" ]] || ! is_version "${line%% *}" || return 0
    done
    return 1
}

# entering SERVER FOLDER...: how a line of a shell script begins that runs the rest of it where SERVER is installed, with
# these folders at their own places; nothing if that is here.
entering() {
    runs_in_debian13 "$1" || return 0
    shift
    printf '%s ' "$(quoted "$ROOT/dev.d/lib/enter.sh")" "$(quoted "$(servers13_root)")" "$SERVER_USER" \
        "$(quoted "$(IFS=: && printf '%s' "$*")")"
}

# Only root may enter; the server then runs as the servers' user.
user_to_start() {
    if runs_in_debian13 "$1"; then printf root; else printf '%s' "$SERVER_USER"; fi
}

# need_version: fetches and installs what this system's version has that the usual one has not.
need_version() {
    local server
    ! needs_nginx || need_packages nginx-light
    ! is_version pgbouncer-1.18 || need_packages pgbouncer
    for server in postgres pgbouncer redis rabbitmq elasticsearch; do
        ! runs_in_debian13 "$server" || need_servers13
    done
}

need_servers13() {
    [[ ! -d $(servers13_root) ]] || return 0
    [[ $(id -u) == 0 ]] || die "Servers in a Debian 13 need root." "Run the same command with sudo."
    need_packages debootstrap
    mkdir -p "$(cache_folder)"
    exec 7>"$(servers13_root).lock"
    flock 7
    [[ -d $(debian13_root).new ]] || step "Debian 13: debootstrap" make_debian13
    [[ -d $(servers13_root) ]] || step "Debian 13: its servers" make_servers13
    exec 7>&-
}

make_servers13() {
    local new
    new=$(servers13_root).new
    rm -rf --one-file-system "$new"
    cp -a "$(debian13_root).new" "$new"
    connect_debian13 "$new"
    "$ROOT/dev.d/lib/enter.sh" "$new" root '' sh -euc '
        export DEBIAN_FRONTEND=noninteractive
        apt-get -q update
        apt-get -y -q install --no-install-recommends "$@"
        apt-get clean' - "${SERVERS_OF_DEBIAN13[@]}"
    mv "$new" "$(servers13_root)"
}

# --- PostgreSQL with a standby that has all that was committed -----------------------------------

postgres_dsn() {
    # Some drivers, Go's pq among them, insist on TLS unless told otherwise.
    local hosts parameters='?sslmode=disable'
    hosts=$LOOPBACK_HOST:$(if is_version 'pgbouncer-*'; then port PGBOUNCER; else port POSTGRES; fi)
    ! is_version postgres-standby || hosts+=,127.0.0.1:$(port POSTGRES_2) parameters+='&target_session_attrs=read-write'
    printf 'postgresql://postgres:%s@%s/ecommerce%s' "$(secret POSTGRES_PASSWORD)" "$hosts" "$parameters"
}

write_postgres_2() {
    write_postgres "$1" _2
    # Before the line that becomes the server.
    sed -i "1r /dev/stdin" "$1/start" <<TEXT
export PGPASSWORD=$(secret POSTGRES_PASSWORD)
until [ -d $(quoted "$1/data") ]; do
    rm -rf $(quoted "$1/data.new")
    $(postgres_bin)/pg_basebackup -R -c fast -h 127.0.0.1 -p $(port POSTGRES) -U postgres -D $(quoted "$1/data.new") &&
        mv $(quoted "$1/data.new") $(quoted "$1/data") || sleep 0.5
done
TEXT
}

postgres_2_is_ready() {
    postgres_answers _2 postgres
}

# --- a cluster of three RabbitMQ nodes ----------------------------------------------------------

# rabbitmq_nodes: the end of each node's name; that of the first is empty.
rabbitmq_nodes() {
    if is_version rabbitmq-cluster; then printf '%s\n' '' _2 _3; else printf '\n'; fi
}

rabbitmq_urls() {
    local node urls=()
    while IFS= read -r node; do
        urls+=("amqp://pipeline:$(secret RABBITMQ_PASSWORD)@$LOOPBACK_HOST:$(port "RABBITMQ$node")/")
    done < <(rabbitmq_nodes)
    (IFS=, && printf '%s' "${urls[*]}")
}

write_rabbitmq_2() {
    write_rabbitmq "$1" _2
}

write_rabbitmq_3() {
    write_rabbitmq "$1" _3
}

# join_rabbitmq_cluster FOLDER: appends to the node's configuration whom it looks for; all have one cookie.
join_rabbitmq_cluster() {
    local node number=0
    say 'cluster_formation.peer_discovery_backend = classic_config'
    while IFS= read -r node; do
        number=$((number + 1))
        say "cluster_formation.classic_config.nodes.$number = pipeline$node@localhost"
    done < <(rabbitmq_nodes) >>"$1/rabbitmq.conf"
    rm -f "$1/.erlang.cookie"
    (umask 377 && secret ERLANG_COOKIE >"$1/.erlang.cookie")
}

rabbitmq_2_is_ready() {
    rabbitmq_answers _2
}

rabbitmq_3_is_ready() {
    rabbitmq_answers _3 && "$SERVERS/rabbitmq/rabbitmqctl" -q await_online_nodes 3
}

# --- PgBouncer, with its defaults but for the pool's mode ----------------------------------------

write_pgbouncer() {
    cat >"$1/pgbouncer.ini" <<TEXT
[databases]
* = host=127.0.0.1 port=$(port POSTGRES)
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $(port PGBOUNCER)
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $1/users.txt
pool_mode = transaction
admin_users = postgres
TEXT
    (umask 077 && printf '"postgres" "%s"\n' "$(secret POSTGRES_PASSWORD)" >"$1/users.txt")
    cat >"$1/start" <<TEXT
#!/bin/sh
exec $(entering pgbouncer "$1")/usr/sbin/pgbouncer $(quoted "$1/pgbouncer.ini")
TEXT
}

pgbouncer_is_ready() {
    port_is_busy "$(port PGBOUNCER)"
}

# --- a cluster of three Elasticsearch nodes, behind nginx ----------------------------------------

elasticsearch_nodes() {
    if is_version elasticsearch-cluster; then printf '%s\n' '' _2 _3; else printf '\n'; fi
}

elasticsearch_url() {
    printf 'http://%s:%s' "$LOOPBACK_HOST" \
        "$(if is_version elasticsearch-cluster; then port NGINX; else port ELASTICSEARCH; fi)"
}

write_elasticsearch_2() {
    write_elasticsearch "$1" _2
}

write_elasticsearch_3() {
    write_elasticsearch "$1" _3
}

# elasticsearch_discovery NODE: the lines of its configuration that say whom it looks for.
elasticsearch_discovery() {
    local node
    if ! is_version elasticsearch-cluster; then
        say 'discovery.type: single-node'
        return
    fi
    say "node.name: node$1" 'cluster.initial_master_nodes: [node, node_2, node_3]' 'discovery.seed_hosts:'
    while IFS= read -r node; do
        say "  - 127.0.0.1:$(port "ELASTICSEARCH${node}_TRANSPORT")"
    done < <(elasticsearch_nodes)
}

elasticsearch_2_is_ready() {
    elasticsearch_answers _2
}

elasticsearch_3_is_ready() {
    elasticsearch_answers _3
}

# --- nginx in front of all gateways, or of the Elasticsearch nodes -------------------------------

nginx_upstreams() {
    local i count node
    if is_version elasticsearch-cluster; then
        while IFS= read -r node; do
            port "ELASTICSEARCH$node"
            say ''
        done < <(elasticsearch_nodes)
        return
    fi
    # While no gateway is wanted, nginx goes on knowing the first.
    count=$(replicas gateway)
    for ((i = 1; i <= (count > 0 ? count : 1); i++)); do
        port "GATEWAY_${i}_API"
        say ''
    done
}

write_nginx() {
    local upstream
    {
        cat <<TEXT
pid $1/nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path $1/body;
    proxy_temp_path $1/proxy;
    fastcgi_temp_path $1/fastcgi;
    uwsgi_temp_path $1/uwsgi;
    scgi_temp_path $1/scgi;
    server {
        listen 127.0.0.1:$(port NGINX);
        location / {
            proxy_pass http://upstreams;
            client_max_body_size 16m; # _bulk
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
    upstream upstreams {
        keepalive 32;
TEXT
        while IFS= read -r upstream; do
            say "        server 127.0.0.1:$upstream max_fails=0;"
        done < <(nginx_upstreams)
        say '    }' '}'
    } >"$1/nginx.conf"
    cat >"$1/start" <<TEXT
#!/bin/sh
exec /usr/sbin/nginx -e stderr -g 'daemon off;' -c $(quoted "$1/nginx.conf")
TEXT
}

nginx_is_ready() {
    port_is_busy "$(port NGINX)"
}
