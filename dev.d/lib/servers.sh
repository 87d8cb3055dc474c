# The private servers: for each a folder with its data, its configuration and a script
# `start`, which the supervisor runs. All listen on the loopback address only, each on a port of its own.
# shellcheck shell=bash

ELASTICSEARCH_VERSION=8.10.2

# server=setting: a private one runs unless the user has set the setting.
private_servers() {
    local node
    ! is_private POSTGRES_DSN || say postgres
    ! is_version postgres-standby || say postgres_2
    ! is_version 'pgbouncer-*' || say pgbouncer
    ! is_private REDIS_ADDR || say redis
    if is_private RABBITMQ_URL; then
        say epmd
        while IFS= read -r node; do
            say "rabbitmq$node"
        done < <(rabbitmq_nodes)
    fi
    if is_private ELASTICSEARCH_URL; then
        while IFS= read -r node; do
            say "elasticsearch$node"
        done < <(elasticsearch_nodes)
    fi
    ! needs_nginx || say nginx
}

# Root's home is closed to others, so a checkout in it is closed to the servers' user. Then their
# folder lies in /var/lib, with a link in the run folder.
make_server_folder() {
    SERVERS=$RUN/servers
    if [[ $(id -u) == 0 ]]; then
        if [[ ! -e $SERVERS ]] && ! as_server_user test -x "$RUN"; then
            install -d /var/lib/order-pipeline
            install -d "/var/lib/order-pipeline/$RUN_KEY"
            ln -sfn "/var/lib/order-pipeline/$RUN_KEY" "$SERVERS"
        fi
    fi
    install -d "$SERVERS/"
    SERVERS=$(readlink -f "$SERVERS")
}

# own FOLDER: hands it over to the servers' user, closed to everybody else. The data in it is
# made by that user, and a running server changes it all the time.
own() {
    chmod go= "$1"
    [[ $(id -u) != 0 ]] || find "$1" -name data -prune -o -exec chown "$SERVER_USER": {} +
}

# prepare_servers NAME...: these run from now on, the others no more.
prepare_servers() {
    local server folder
    rm -f "$PROGRAMS/"{postgres{,_2},pgbouncer,redis,epmd,rabbitmq{,_2,_3},elasticsearch{,_2,_3},nginx}.conf
    for server in "$@"; do
        folder=$SERVERS/$server
        mkdir -p "$folder"
        "write_$server" "$folder"
        chmod 700 "$folder/start"
        own "$folder"
        [[ $server != postgres || -d $folder/data ]] || make_postgres_cluster "$folder"
        write_program "$server" "$folder/start" "$folder" 10 "$(user_to_start "$server")" \
            "$(find "$folder" -name data -prune -o \( -name start -o -name '*.conf' -o -name '*.yml' -o -name '*.ini' \) -exec cat {} + |
                cksum | tr ' ' -)"
    done
}

# --- PostgreSQL -------------------------------------------------------------------------------

postgres_bin() {
    local below='' bin
    ! runs_in_debian13 postgres || below=$(servers13_root)
    for bin in "$below"/usr/lib/postgresql/*/bin; do :; done
    [[ -x $bin/postgres ]] || die "PostgreSQL is not where Debian puts it (/usr/lib/postgresql)."
    printf '%s' "${bin#"$below"}"
}

write_postgres() {
    local node=${2:-} settings=''
    [[ $(version)$node != postgres-standby ]] || settings=" -c synchronous_standby_names='*'"
    cat >"$1/start" <<TEXT
#!/bin/sh
exec $(entering postgres "$1")$(postgres_bin)/postgres -D $(quoted "$1/data") -c port=$(port "POSTGRES$node")$settings \\
    -c listen_addresses=$LOOPBACK -c unix_socket_directories= -c max_connections=200 \\
    -c shared_buffers=256MB -c max_wal_size=2GB -c log_timezone=UTC -c timezone=UTC
TEXT
}

# initdb in another place first: an interrupted one leaves nothing that looks complete.
make_postgres_cluster() {
    rm -rf "$1/data.new"
    (umask 077 && secret POSTGRES_PASSWORD >"$1/password")
    cat >"$1/initdb" <<TEXT
exec $(entering postgres "$1")$(postgres_bin)/initdb -D $(quoted "$1/data.new") -U postgres -A scram-sha-256 \\
    --pwfile $(quoted "$1/password") -E UTF8 --locale C.UTF-8
TEXT
    own "$1"
    as_user "$(user_to_start postgres)" sh "$1/initdb"
    rm "$1/password" "$1/initdb"
    mv "$1/data.new" "$1/data"
}

# The database is made here and not at the first start, which may have been interrupted.
postgres_is_ready() {
    postgres_answers '' ecommerce || postgres_answers '' postgres 'CREATE DATABASE ecommerce'
}

# postgres_answers NODE DATABASE [STATEMENT]
postgres_answers() {
    PGPASSWORD=$(secret POSTGRES_PASSWORD) PGCONNECT_TIMEOUT=2 psql -w -X -q -A -t -h "$LOOPBACK" \
        -p "$(port "POSTGRES$1")" -U postgres -d "$2" -c "${3:-SELECT 1}"
}

# --- Redis ------------------------------------------------------------------------------------

# Only a cache: nothing is written to disk, and the oldest entries go when memory is full. No
# password: programs that share the contract know REDIS_ADDR alone.
write_redis() {
    cat >"$1/redis.conf" <<TEXT
bind $LOOPBACK
port $(port REDIS)
save ""
appendonly no
maxmemory 256mb
maxmemory-policy allkeys-lru
TEXT
    cat >"$1/start" <<TEXT
#!/bin/sh
exec $(entering redis "$1")$(is_version 'valkey-*' && printf valkey || printf redis)-server $(quoted "$1/redis.conf")
TEXT
}

redis_is_ready() {
    [[ $(redis-cli -h "$LOOPBACK" -p "$(port REDIS)" PING) == PONG ]]
}

# --- RabbitMQ ---------------------------------------------------------------------------------

# Erlang's port mapper. Without one of its own, the node would use or start the machine's.
write_epmd() {
    local address="-address $LOOPBACK"
    [[ $LOOPBACK != *:* ]] || address= # any: else it would demand 127.0.0.1, too
    cat >"$1/start" <<TEXT
#!/bin/sh
exec epmd $address -port $(port EPMD)
TEXT
}

epmd_is_ready() {
    port_is_busy "$(port EPMD)"
}

# RUNNING_UNDER_SYSTEMD makes the start script become the server instead of its parent.
# +sbwt none: idle schedulers sleep instead of spinning, which matters on small machines.
write_rabbitmq() {
    local node=${2:-}
    local distribution='-kernel inet_dist_use_interface {127,0,0,1}' protocol=
    if [[ $LOOPBACK == *:* ]]; then
        echo '{inet6, true}.' >"$1/inetrc"
        protocol="-proto_dist inet6_tcp -kernel inetrc '$1/inetrc'"
        distribution='-kernel inet_dist_use_interface {0,0,0,0,0,0,0,1}'
    fi
    cat >"$1/rabbitmq.conf" <<TEXT
listeners.tcp.1 = $LOOPBACK:$(port "RABBITMQ$node")
default_user = pipeline
default_pass = $(secret RABBITMQ_PASSWORD)
disk_free_limit.absolute = 200MB
log.console = true
log.console.level = info
log.file = false
TEXT
    ! is_version rabbitmq-cluster || join_rabbitmq_cluster "$1"
    echo '[].' >"$1/enabled_plugins"
    cat >"$1/environment" <<TEXT
export HOME=$(quoted "$1") ERL_EPMD_PORT=$(port EPMD) ERL_EPMD_ADDRESS=$LOOPBACK
export RABBITMQ_NODENAME=pipeline$node@localhost RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_LOGS=-
export RABBITMQ_NODE_IP_ADDRESS=$LOOPBACK RABBITMQ_NODE_PORT=$(port "RABBITMQ$node") RABBITMQ_DIST_PORT=$(port "RABBITMQ${node}_DIST")
export RABBITMQ_CONFIG_FILE=$(quoted "$1/rabbitmq.conf") RABBITMQ_ENABLED_PLUGINS_FILE=$(quoted "$1/enabled_plugins")
export RABBITMQ_CTL_ERL_ARGS=$(quoted "$protocol")
export RABBITMQ_MNESIA_BASE=$(quoted "$1/data") RABBITMQ_LOG_BASE=$(quoted "$1/log")
TEXT
    cat >"$1/start" <<TEXT
#!/bin/bash
. $(quoted "$1/environment")
export RUNNING_UNDER_SYSTEMD=true
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+sbwt none +sbwtdcpu none +sbwtdio none $distribution $protocol"
until (exec 3<>/dev/tcp/$LOOPBACK/$(port EPMD)) 2>/dev/null; do sleep 0.1; done
exec $(entering rabbitmq "$1")/usr/lib/rabbitmq/bin/rabbitmq-server
TEXT
    cat >"$1/rabbitmqctl" <<TEXT
#!/bin/sh
# rabbitmqctl for this private server.
. $(quoted "$1/environment")
exec $(entering rabbitmq "$1")/usr/lib/rabbitmq/bin/rabbitmqctl "\$@"
TEXT
    chmod 700 "$1/rabbitmqctl"
}

rabbitmq_is_ready() {
    rabbitmq_answers ''
}

# rabbitmq_answers NODE: the port is opened last; a server that is up answers the AMQP header with a method frame.
rabbitmq_answers() {
    local answer
    # shellcheck disable=SC2261
    exec 3<>"/dev/tcp/$LOOPBACK/$(port "RABBITMQ$1")" || return 1
    printf 'AMQP\0\0\11\1' >&3
    LC_ALL=C IFS= read -r -t 3 -n 1 answer <&3
    exec 3>&-
    [[ $answer == $'\1' ]]
}

# --- Elasticsearch ----------------------------------------------------------------------------

# Not in Debian; Maven Central has the real server without its optional modules. An archive's name begins with the
# product's: elasticsearch or opensearch.
elasticsearch_archive() {
    if is_version 'elasticsearch-[0-9]*' || is_version 'opensearch-*'; then
        version
    else
        printf 'elasticsearch-%s' "$ELASTICSEARCH_VERSION"
    fi
}

elasticsearch_home() {
    printf '%s/%s' "$(cache_folder)" "$(elasticsearch_archive)"
}

need_elasticsearch() {
    [[ -d $(elasticsearch_home) ]] || step "Fetching $(elasticsearch_archive) (80 MB)" fetch_elasticsearch
}

fetch_elasticsearch() {
    local home cache new archive product
    home=$(elasticsearch_home)
    archive=$(elasticsearch_archive)
    product=${archive%%-*}
    cache=$(cache_folder)
    mkdir -p "$cache"
    exec 8>"$cache/lock"
    flock 8
    [[ ! -d $home ]] || return 0 # another checkout was faster
    new=$cache/unpacking
    rm -rf "$new"
    mkdir "$new"
    cd "$new" || exit # it leaves a folder behind where it runs
    mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:unpack \
        "-Dartifact=org.$product.distribution.integ-test-zip:$product:${archive#*-}:zip" \
        "-DoutputDirectory=$new" || die "$archive could not be downloaded from Maven Central." \
        "Check the network, then run the same command again." \
        "To use a server of your own: ELASTICSEARCH_URL=http://host:9200 ./dev up"
    [[ -x $new/$archive/bin/$product ]] || die "The archive $archive is incomplete." \
        "Delete ~/.m2/repository/org/$product/distribution, then run the same command again."
    chmod -R go=rX "$new"
    mv "$new/$archive" "$home"
    rm -rf "$new"
}

# jvm.options and log4j2.properties of the archive write logs of their own: replaced.
write_elasticsearch() {
    local node=${2:-} archive product prefix
    archive=$(elasticsearch_archive)
    product=${archive%%-*}
    prefix=ES
    [[ $product == elasticsearch ]] || prefix=OPENSEARCH
    mkdir -p "$1/config" "$1/tmp"
    cat >"$1/config/$product.yml" <<TEXT
cluster.name: order-pipeline-$RUN_KEY
$(elasticsearch_discovery "$node")
network.host: "$LOOPBACK"
http.port: $(port "ELASTICSEARCH$node")
transport.port: $(port "ELASTICSEARCH${node}_TRANSPORT")
path.data: ["$1/data"]
path.logs: "$1/log"
path.repo: ["$1/snapshots"]
cluster.routing.allocation.disk.threshold_enabled: false
TEXT
    # On by default since 8.
    [[ $archive != elasticsearch-[89]* ]] || say 'xpack.security.enabled: false' >>"$1/config/$product.yml"
    cat >"$1/config/jvm.options" <<TEXT
-Xms512m
-Xmx512m
-XX:+UseG1GC
-XX:+ExitOnOutOfMemoryError
-Djava.io.tmpdir=\${${prefix}_TMPDIR}
TEXT
    # OpenSearch 3 does not start without its agent; the archive's options name it relative to the server's folder.
    [[ ! -d $(elasticsearch_home)/agent ]] || say '-javaagent:agent/opensearch-agent.jar' >>"$1/config/jvm.options"
    cat >"$1/config/log4j2.properties" <<TEXT
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%c{1.}] %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
TEXT
    cat >"$1/start" <<TEXT
#!/bin/sh
export HOME=$(quoted "$1") ${prefix}_TMPDIR=$(quoted "$1/tmp") ${prefix}_PATH_CONF=$(quoted "$1/config")
export ${prefix}_JAVA_HOME=$(java_home)
exec $(entering elasticsearch "$1" "$(elasticsearch_home)")$(quoted "$(elasticsearch_home)/bin/$product")
TEXT
}

java_home() {
    if runs_in_debian13 elasticsearch; then
        printf '/usr/lib/jvm/java-21-openjdk-amd64'
    else
        printf '/usr/lib/jvm/default-java'
    fi
}

elasticsearch_is_ready() {
    elasticsearch_answers ''
}

# elasticsearch_answers NODE
elasticsearch_answers() {
    curl -sf -m 3 -o /dev/null "http://$LOOPBACK_HOST:$(port "ELASTICSEARCH$1")/_cluster/health?wait_for_status=yellow&timeout=2s"
}
