# ./dev down
# shellcheck shell=bash

# shellcheck source=dev.d/lib/supervisor.sh
. "$ROOT/dev.d/lib/supervisor.sh"

help() {
    cat <<TEXT
Usage: ./dev down

Stops the services, then the private servers. Data, ports and settings are kept: ./dev up
continues where it was left.
TEXT
}

main() {
    read_arguments down "$@"
    if [[ ! -d $RUN ]]; then
        say "Nothing to stop: there is no ${RUN/#"$ROOT/"/}."
        return
    fi
    is_run_folder || die "$RUN does not look like a run folder; nothing was stopped."
    lock_run_folder
    step "Stopping everything" stop_supervisor
    say "Stopped. Data is kept in $(short_path "$RUN"); ./dev destroy deletes it."
}
