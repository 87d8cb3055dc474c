# Debian packages: what is needed for what, and installing those that are missing.
# shellcheck shell=bash disable=SC2034

BUILD_PACKAGES=(gcc libc6-dev cmake ninja-build pkg-config
    libzmq3-dev libczmq-dev librabbitmq-dev libhiredis-dev libpq-dev libcurl4-openssl-dev
    libh2o-evloop-dev libmsgpack-dev uuid-dev libjansson-dev libssl-dev libcmocka-dev)
RUN_PACKAGES=(supervisor curl postgresql-15 redis-server rabbitmq-server openjdk-17-jre-headless maven
    tzdata)
QUICK_TEST_PACKAGES=(python3-venv openssl tzdata)
UNIT_TEST_PACKAGES=(postgresql-15 redis-server rabbitmq-server openssl tzdata)
TEST_PACKAGES=(python3-venv libfaketime)
BENCH_PACKAGES=(wrk redis-tools)
CONTAINER_PACKAGES=(buildah podman runc netavark aardvark-dns iptables debootstrap)
DEMO_PACKAGES=(python3 python3-pika python3-psycopg2)
LINT_PACKAGES=(clang clang-format shellcheck python3-venv)

missing_packages() {
    local package
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || printf '%s\n' "$package"
    done
}

# need_packages PACKAGE...: installs those that are missing; does not call apt when none is.
need_packages() {
    command -v dpkg-query >/dev/null || die "This is not a Debian system: there is no dpkg." \
        "Debian 12 is supported. Elsewhere, install by hand: $*"
    local missing become_root=()
    mapfile -t missing < <(missing_packages "$@")
    [[ ${#missing[@]} -gt 0 ]] || return 0

    if [[ $(id -u) != 0 ]]; then
        command -v sudo >/dev/null || die "Packages are missing, and without sudo they cannot be installed from here." \
            "As root, run: apt-get install ${missing[*]}"
        say "  apt needs root to install packages; sudo may ask for your password."
        sudo -v || die "sudo refused." "Ask an administrator to run: apt-get install ${missing[*]}"
        become_root=(sudo)
    fi
    step "Installing ${#missing[@]} packages (apt)" install_packages "${missing[@]}"
}

install_packages() {
    local apt=("${become_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300)
    # Lists that are missing or too old make the first attempt fail; only then are they fetched.
    "${apt[@]}" install --no-install-recommends "$@" && return
    "${apt[@]}" update
    "${apt[@]}" install --no-install-recommends "$@"
}
