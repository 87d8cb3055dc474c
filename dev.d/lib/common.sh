# Folders, messages, waiting. Sourced by ./dev before anything else.
# shellcheck shell=bash disable=SC2034

umask 022

if [[ -n ${DEV_RUN:-} ]]; then
    mkdir -p "$DEV_RUN"
    RUN=$(cd "$DEV_RUN" && pwd)
else
    RUN=$ROOT/.run
fi
LOGS=$RUN/log

# All that listens does so here; ::1 for the tests without IPv4. In URLs an IPv6 address has brackets.
LOOPBACK=${DEV_LOOPBACK:-127.0.0.1}
LOOPBACK_HOST=$LOOPBACK
[[ $LOOPBACK != *:* ]] || LOOPBACK_HOST="[$LOOPBACK]"

# socket_folder LONGEST: where sockets are, of which LONGEST is the longest name: the run folder, unless a
# path would pass the 107 bytes that the kernel allows, or a comma would end it in a list of endpoints.
socket_folder() {
    local LC_ALL=C folder=$RUN
    if ((${#folder} + 1 + ${#1} > 107)) || [[ $folder == *,* ]]; then
        folder=/tmp/order-pipeline-$(id -u)-$RUN_KEY
        (umask 077 && mkdir -p "$folder")
        [[ -O $folder && ! -L $folder ]] || die "$folder belongs to somebody else." "Delete it, or move the checkout to a shorter path."
    fi
    printf '%s' "$folder"
}

# Short and different for each run folder: names what has to live outside of it.
RUN_KEY=$(printf '%s' "$RUN" | cksum | cut -d ' ' -f 1)

# PostgreSQL and Elasticsearch refuse to run as root. Root runs the servers as this user.
if [[ $(id -u) == 0 ]]; then
    SERVER_USER=postgres
else
    SERVER_USER=$(id -un)
fi

if [[ -t 1 ]]; then
    BOLD=$'\e[1m' RED=$'\e[31m' GREEN=$'\e[32m' PLAIN=$'\e[0m'
else
    BOLD='' RED='' GREEN='' PLAIN=''
fi

say() {
    printf '%s\n' "$@"
}

# die WHAT [WHAT-TO-DO...]: ends the program with an error a newcomer can act on.
die() {
    printf '%serror:%s %s\n' "$RED" "$PLAIN" "$1" >&2
    shift
    [[ $# == 0 ]] || printf '       %s\n' "$@" >&2
    exit 1
}

# A path as the user would type it.
short_path() {
    printf '%s' "${1/#"$PWD/"/}"
}

# bash prints no fractions: $EPOCHREALTIME is seconds with six decimals.
now_ms() {
    local us=${EPOCHREALTIME//[.,]/}
    printf '%s' $((us / 1000))
}

# step TEXT COMMAND...: runs COMMAND (a function or a program) with its output in a file,
# prints TEXT and the time that it took, and on failure the end of that output.
step() {
    local text=$1 log=$LOGS/dev.log started status took
    shift
    mkdir -p "$LOGS"
    [[ ! -t 1 ]] || printf '  %-46s …' "$text"
    started=$(now_ms)
    printf '\n== %s: %s\n' "$(date -Is)" "$text" >>"$log"
    local from
    from=$(wc -l <"$log")
    # Not "COMMAND || status=$?": that would switch off -e inside of COMMAND.
    set +e
    (
        set -e
        "$@"
    ) >>"$log" 2>&1
    status=$?
    set -e
    took=$(($(now_ms) - started))
    [[ ! -t 1 ]] || printf '\r'
    if [[ $status == 0 ]]; then
        printf '  %-46s %s%3d.%d s%s\n' "$text" "$GREEN" $((took / 1000)) $((took % 1000 / 100)) "$PLAIN"
        return
    fi
    printf '  %-46s %sFAILED%s\n\n' "$text" "$RED" "$PLAIN"
    tail -n "+$((from + 1))" "$log" | tail -n 25 | sed 's/^/    /'
    printf '\n'
    die "\"$text\" failed." "The whole output is in $(short_path "$log")."
}

# wait_until SECONDS COMMAND...: 0 as soon as COMMAND succeeds, 1 when the time is over.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || return 1
        sleep 0.2
    done
}

as_server_user() {
    as_user "$SERVER_USER" "$@"
}

# as_user USER COMMAND...: USER is the one who runs this program, unless that is root.
as_user() {
    if [[ $(id -un) == "$1" ]]; then
        "${@:2}"
    else
        runuser -u "$1" -- "${@:2}"
    fi
}

# What is fetched or built once per user, for all checkouts. Root's lies where the servers' user can read it.
cache_folder() {
    if [[ $(id -u) == 0 ]]; then
        printf '/var/cache/order-pipeline'
    else
        printf '%s/order-pipeline' "${XDG_CACHE_HOME:-$HOME/.cache}"
    fi
}

# Whether the folder is one of ./dev up's, and not somebody's by a slip in DEV_RUN.
is_run_folder() {
    [[ $RUN == "$ROOT/.run" || -f $RUN/order-pipeline.lock || -f $RUN/supervisord.conf ]]
}

# Only one command at a time may change a system. The lock is held until the program ends.
lock_run_folder() {
    mkdir -p "$RUN" 2>/dev/null || die "Cannot create the folder $RUN." "Check who owns $(dirname "$RUN")."
    [[ -w $RUN ]] || die "The folder $RUN belongs to $(stat -c %U "$RUN"), and you cannot write to it." \
        "Use ./dev as that user, or set DEV_RUN to a folder of your own."
    exec 9>"$RUN/order-pipeline.lock"
    flock -n 9 || die "Another ./dev is changing this system right now." "Wait until it has finished, then try again."
}

# quoted TEXT: TEXT as one word of a shell script, whatever it contains.
quoted() {
    printf "'%s'" "${1//\'/\'\\\'\'}"
}

# read_arguments COMMAND "$@": prints help() for -h and --help. Every other word, with all words after it, is given to
# argument(). A command that takes arguments defines that function: it calls take with the number of words that it has
# used, and it does not when the first is unknown.
read_arguments() {
    local command=$1 used
    shift
    while [[ $# -gt 0 ]]; do
        if [[ $1 == -h || $1 == --help ]]; then
            help
            exit
        fi
        used=0
        argument "$@"
        ((used > 0)) || die "./dev $command does not know '$1'." "./dev $command --help tells what it knows."
        shift "$used"
    done
}

argument() {
    take 0
}

take() {
    used=$1
}
