# ./dev logs
# shellcheck shell=bash

help() {
    cat <<TEXT
Usage: ./dev logs [NAME...] [-f] [-n LINES]

Shows the end of the logs of all, or of the named: a service (persister), one replica of
it (persister-2) or a server (postgres, redis, rabbitmq, elasticsearch).

  -f        go on, as new lines come
  -n LINES  how many lines of each (default 20)
TEXT
}

main() {
    local follow=() lines=20 names=() files=()
    read_arguments logs "$@"
    compgen -G "$LOGS/*.log" >/dev/null || die "There are no logs yet." "Start the system with: ./dev up"

    local name
    [[ ${#names[@]} -gt 0 ]] || names=('*')
    for name in "${names[@]}"; do
        local file found=no
        for file in "$LOGS/"*.log; do
            # shellcheck disable=SC2053 # a pattern on purpose: '*' is every log
            if [[ $(basename "$file" .log) == $name || $(basename "$file" .log) == "$name"-+([0-9]) ]]; then
                files+=("$file")
                found=yes
            fi
        done
        [[ $found == yes ]] || die "There is no log of '$name'." \
            "There are: $(cd "$LOGS" && printf '%s ' *.log | sed 's/\.log//g')"
    done
    exec tail -v -n "$lines" "${follow[@]}" "${files[@]}"
}

argument() {
    case $1 in
    -f | --follow)
        follow=(-F)
        take 1
        ;;
    -n)
        [[ ${2:-} =~ ^[0-9]+$ ]] || die "-n needs a number of lines."
        lines=$2
        take 2
        ;;
    -*) ;;
    *)
        names+=("$1")
        take 1
        ;;
    esac
}
