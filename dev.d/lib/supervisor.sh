# supervisord keeps every process running: one [program] per process, each in a file of
# its own, so that `update` starts, stops or restarts exactly those that have changed.
# shellcheck shell=bash

PROGRAMS=$RUN/programs

# supervisord binds its socket by a name that ends with its process id.
supervisor_socket() {
    local folder
    folder=$(socket_folder supervisor.sock.12345678) || return
    printf '%s/supervisor.sock' "$folder"
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

# ask_supervisor METHOD VALUE...: its answer, in XML. supervisorctl would start a Python for each question, which takes
# longer than the answer.
ask_supervisor() {
    local call="<methodCall><methodName>supervisor.$1</methodName><params>" value
    for value in "${@:2}"; do
        call+="<param><value>$value</value></param>"
    done
    curl -sf -m 10 --unix-socket "$(supervisor_socket)" -H 'Content-Type: text/xml' \
        -d "$call</params></methodCall>" http://localhost/RPC2
}

# Before the first `up` supervisor may not be installed, and there is no configuration.
supervisor_runs() {
    [[ -f $RUN/supervisord.conf ]] && [[ -S $(supervisor_socket) ]] && ask_supervisor getState >/dev/null 2>&1
}

# A line for each program: NAME STATE. A state is RUNNING, STARTING, BACKOFF, FATAL, …
program_states() {
    ask_supervisor getAllProcessInfo | sed -n '
        /<name>name</ { n; s/.*<string>\(.*\)<.string>.*/\1/; h }
        /<name>statename</ { n; s/.*<string>\(.*\)<.string>.*/\1/; H; x; s/\n/ /p }'
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
    local log=${LOGS//%/%%%%}/$1.log # supervisor expands this name twice
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
stopwaitsecs=20
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile=$log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=2
TEXT
    [[ $(id -u) == 0 ]] || sed -i '/^user=/d' "$PROGRAMS/$1.conf.new"
    mv "$PROGRAMS/$1.conf.new" "$PROGRAMS/$1.conf"
}

# TERM makes PostgreSQL wait until its last client has gone.
stop_signal() {
    case $1 in
    postgres*) printf INT ;;
    *) printf TERM ;;
    esac
}

# Starts what is new, stops what is gone, restarts what has changed, and starts again what
# had given up.
update_programs() {
    local name state
    supervisorctl update
    while read -r name state; do
        case $state in
        FATAL | EXITED | STOPPED) supervisorctl start "$name" || true ;;
        esac
    done < <(program_states)
}

# program_state NAME: nothing when there is no such program.
program_state() {
    local name state
    while read -r name state; do
        [[ $name != "$1" ]] || printf '%s' "$state"
    done < <(program_states)
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
        pid=$(<"$RUN/supervisord.pid")
        stop_programs '-[0-9]*' # the services
        stop_programs ''
        ask_supervisor shutdown
        wait_until 30 supervisor_is_gone "$pid" || die "supervisord (process $pid) does not end."
    fi
    stop_leftover_processes
}

# stop_programs END: those whose names end so, all at once.
stop_programs() {
    local name state
    while read -r name state; do
        # shellcheck disable=SC2053 # a pattern on purpose
        [[ $name != *$1 ]] || ask_supervisor stopProcess "<string>$name</string>" '<boolean>0</boolean>'
    done < <(program_states)
    wait_until 120 programs_are_stopped "$1" || die "Programs do not end: $(program_states | tr '\n' ' ')"
}

programs_are_stopped() {
    local name state
    while read -r name state; do
        # shellcheck disable=SC2053 # a pattern on purpose
        [[ $name != *$1 || $state == @(STOPPED|EXITED|FATAL) ]] || return 1
    done < <(program_states)
}

# supervisord takes leave of one program in each turn of its loop, which is a second, or a request.
supervisor_is_gone() {
    local _
    for _ in {1..10}; do
        kill -0 "$1" 2>/dev/null || return 0
        ask_supervisor getState
    done
    return 1
}
