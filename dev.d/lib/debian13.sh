# The tests debian13: what README promises, kept in a fresh Debian 13 to an ordinary user with sudo. Each run has a copy
# of its own of a minimal installation, so that a package that our lists lack is missed.
# shellcheck shell=bash disable=SC2154

debian13_root() {
    printf '%s/debian13' "$(cache_folder)"
}

prepare_debian13() {
    [[ $(id -u) == 0 ]] || die "To make a Debian 13 needs root." "Run: sudo ./dev test debian13"
    need_packages debootstrap
    mkdir -p "$(cache_folder)"
    exec 7>"$(debian13_root).lock"
    flock 7 # one run at a time on this machine
    [[ -d $(debian13_root).new ]] || step "Debian 13: debootstrap" make_debian13
    step "Debian 13: a fresh one, with this checkout" renew_debian13
    # Installs and builds everything.
    step "Debian 13: ./dev up" in_debian13 './dev up && ./dev down'
}

test_debian13() {
    say '' "${BOLD}Debian 13$PLAIN"
    local failed=0
    in_debian13 tests/debian13/order || failed=1
    printf '<testsuite name="order" tests="1" failures="%d"></testsuite>\n' $failed >"$results/order.xml"
    in_debian13 './dev test quick' || failed=1
    cp "$(debian13_root)/home/newcomer/order-pipeline/build/test-results/quick/"*.xml "$results"
    # What has failed is left to be looked at.
    ((failed > 0)) || rm -rf --one-file-system "$(debian13_root)"
    return $failed
}

# in_debian13 COMMAND: runs COMMAND in the checkout there. What it mounts and starts is in namespaces of its own, which
# end with it or with us.
in_debian13() {
    # shellcheck disable=SC2016 # expanded by the inner shell, which is process 1 and so reaps what daemons leave
    setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child bash -euc '
        mount --bind "$1" "$1" # Java looks for the mount point of a file
        cd "$1"
        mount -t proc proc proc
        mount --rbind /dev dev
        mount -t tmpfs -o mode=1777 tmpfs dev/shm
        chroot . su - newcomer --session-command "cd order-pipeline && $2"
        exit' - "$(debian13_root)" "$1" 7>&-
}

# The minimal installation, with sudo. Packages must not start their servers: the ports are the machine's.
make_debian13() {
    local new
    new=$(debian13_root).making
    rm -rf --one-file-system "$new"
    debootstrap --variant=minbase --include=sudo trixie "$new" "$(debian_mirror)"
    chroot "$new" useradd --create-home --shell /bin/bash newcomer
    printf 'newcomer ALL=(ALL) NOPASSWD: ALL\n' >"$new/etc/sudoers.d/newcomer"
    printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d"
    chmod 755 "$new/usr/sbin/policy-rc.d"
    mv "$new" "$(debian13_root).new"
}

renew_debian13() {
    local copy
    copy=$(debian13_root)
    rm -rf --one-file-system "$copy"
    cp -a "$copy.new" "$copy"
    connect_debian13 "$copy"
    mkdir "$copy/home/newcomer/order-pipeline"
    cd "$ROOT" || exit
    tracked_files . | tar -c --null -T - | tar -x -C "$copy/home/newcomer/order-pipeline"
    chroot "$copy" chown -R newcomer: /home/newcomer
}

# connect_debian13 ROOT: gives it what this machine reaches others by: names, and authorities of its own.
connect_debian13() {
    cp -L /etc/resolv.conf /etc/hosts "$1/etc/"
    [[ ! -d /usr/local/share/ca-certificates ]] || cp -R /usr/local/share/ca-certificates "$1/usr/local/share/"
}
