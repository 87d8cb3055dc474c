# ./dev destroy
# shellcheck shell=bash

# shellcheck source=dev.d/lib/supervisor.sh
. "$ROOT/dev.d/lib/supervisor.sh"

help() {
    cat <<TEXT
Usage: ./dev destroy [--yes]

Stops everything and deletes the run folder with all its data, logs and settings. Servers
that are not private are not touched. Asks first; --yes answers.
TEXT
}

main() {
    local yes=no
    read_arguments destroy "$@"
    if [[ ! -d $RUN ]]; then
        say "Nothing to delete: there is no $(short_path "$RUN")."
        return
    fi
    # A slip in DEV_RUN must not delete somebody's files.
    is_run_folder || die "$RUN does not look like a run folder; nothing was deleted."
    if [[ $yes == no ]]; then
        [[ -t 0 ]] || die "This deletes all orders in $RUN." "Say so: ./dev destroy --yes"
        local answer
        read -r -p "Stop everything and delete all data in $RUN? [y/N] " answer
        [[ $answer == [yY]* ]] || die "Nothing was deleted."
    fi
    lock_run_folder
    step "Stopping everything" stop_supervisor
    local servers
    servers=$(readlink -f "$RUN/servers") || servers=
    [[ $servers != "/var/lib/order-pipeline/$RUN_KEY" ]] || rm -rf "$servers"
    rm -rf "/tmp/order-pipeline-$(id -u)-$RUN_KEY" "$RUN"
    say "Deleted $(short_path "$RUN")."
}

argument() {
    case $1 in
    --yes | -y)
        yes=yes
        take 1
        ;;
    esac
}
