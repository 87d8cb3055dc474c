# supervisord keeps every process running: one [program] per process, each in a file of
# its own, so that `update` starts, stops or restarts exactly those that have changed.
# shellcheck shell=bash

PROGRAMS=$RUN/programs

# The kernel limits a socket's path to 107 bytes, and supervisord appends its process id first.
supervisor_socket() {
    local socket=$RUN/supervisor.sock
    if ((${#socket} > 90)); then
        local folder
        folder=/tmp/order-pipeline-$(id -u)-$RUN_KEY
        (umask 077 && mkdir -p "$folder")
        [[ -O $folder ]] || die "$folder belongs to somebody else." "Delete it, or move the checkout to a shorter path."
        socket=$folder/supervisor.sock
    fi
    printf '%s' "$socket"
}

write_supervisor_configuration() {
    local socket
    socket=$(supervisor_socket)
    mkdir -p "$PROGRAMS" "$LOGS" "$RUN/work"
    cat >"$RUN/supervisord.conf" <<TEXT
[supervisord]
logfile=${LOGS//%/%%}/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
pidfile=${RUN//%/%%}/supervisord.pid
childlogdir=${LOGS//%/%%}

[unix_http_server]
file=${socket//%/%%}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://${socket//%/%%}

[include]
files=programs/*.conf
TEXT
}

supervisorctl() {
    command supervisorctl -c "$RUN/supervisord.conf" "$@"
}

# Before the first `up` supervisor may not be installed, and there is no configuration.
supervisor_runs() {
    [[ -f $RUN/supervisord.conf ]] && [[ -S $(supervisor_socket) ]] && supervisorctl pid >/dev/null 2>&1
}

# A clean environment: what is set in the user's shell (PGHOST, RABBITMQ_…, JAVA_…) must not
# reach the servers by accident. The lock of this program must not be inherited either.
start_supervisor() {
    supervisor_runs && return
    env -i HOME="$HOME" LANG=C.UTF-8 PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        supervisord -c "$RUN/supervisord.conf" 9>&-
}

# write_program NAME SCRIPT FOLDER PRIORITY USER ID: ID is any text that changes whenever the
# process has to be restarted though the rest is the same.
write_program() {
    local script=${2//%/%%} folder=${3//%/%%}
    cat >"$PROGRAMS/$1.conf.new" <<TEXT
[program:$1]
command="$script"
directory=$folder
environment=START_ID="$6"
user=$5
priority=$4
autorestart=true
startsecs=1
startretries=5
stopsignal=$(stop_signal "$1")
stopwaitsecs=15
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile=${LOGS//%/%%}/$1.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=2
TEXT
    [[ $(id -u) == 0 ]] || sed -i '/^user=/d' "$PROGRAMS/$1.conf.new"
    mv "$PROGRAMS/$1.conf.new" "$PROGRAMS/$1.conf"
}

# TERM makes PostgreSQL wait until its last client has gone.
stop_signal() {
    case $1 in
    postgres) printf INT ;;
    *) printf TERM ;;
    esac
}

# Starts what is new, stops what is gone, restarts what has changed, and starts again what
# had given up.
update_programs() {
    local name state _
    supervisorctl update
    while read -r name state _; do
        case $state in
        FATAL | EXITED | STOPPED) supervisorctl start "$name" || true ;;
        esac
    done < <(supervisorctl status || true)
}

# program_state NAME: RUNNING, STARTING, BACKOFF, FATAL, … or nothing when there is no such program.
program_state() {
    local name state _
    while read -r name state _; do
        [[ $name != "$1" ]] || printf '%s' "$state"
    done < <(supervisorctl status "$1" || true)
}

# Processes of this system that outlived a killed supervisord. They carry its address in their
# environment; PostgreSQL and Redis write their titles over that, but stay in their folders. A
# shell of the user that had a look in there has a terminal.
leftover_processes() {
    local process folder terminal servers marker
    servers=$(readlink -f "$RUN/servers") || servers=$RUN/servers
    marker=SUPERVISOR_SERVER_URL=unix://$(supervisor_socket)
    for process in /proc/[0-9]*; do
        folder=$(readlink "$process/cwd" 2>/dev/null) || continue
        read -r _ _ _ _ _ _ terminal _ 2>/dev/null <"$process/stat" || continue
        [[ $terminal == 0 ]] || continue
        if [[ $folder/ == "$servers/"* ]] || grep -qzFx "$marker" "$process/environ" 2>/dev/null; then
            basename "$process"
        fi
    done
}

no_leftover_processes() {
    [[ -z $(leftover_processes) ]]
}

stop_leftover_processes() {
    no_leftover_processes && return
    # INT is a fast shutdown for PostgreSQL and for everything else an end as well.
    leftover_processes | xargs -r kill -INT 2>/dev/null || true
    wait_until 10 no_leftover_processes && return
    leftover_processes | xargs -r kill -KILL 2>/dev/null || true
    wait_until 5 no_leftover_processes || die "Processes of this system do not end: $(leftover_processes | tr '\n' ' ')"
}

stop_supervisor() {
    if supervisor_runs; then
        local pid
        pid=$(supervisorctl pid)
        supervisorctl shutdown
        wait_until 120 process_is_gone "$pid" || die "supervisord (process $pid) does not end."
    fi
    stop_leftover_processes
}

process_is_gone() {
    ! kill -0 "$1"
}
