# Debian packages: what is needed for what, and installing those that are missing.
# shellcheck shell=bash disable=SC2034

# shellcheck source=dev.d/lib/h2o.sh
. "$ROOT/dev.d/lib/h2o.sh"

BUILD_PACKAGES=(gcc libc6-dev cmake ninja-build pkg-config
    libzmq3-dev libczmq-dev librabbitmq-dev libhiredis-dev libpq-dev libcurl4-openssl-dev
    libmsgpack-dev uuid-dev libjansson-dev libutf8proc-dev libssl-dev libcmocka-dev python3-yaml esbuild)
RUN_PACKAGES=(supervisor curl postgresql redis-server rabbitmq-server default-jre-headless maven tzdata)
QUICK_TEST_PACKAGES=(python3-venv openssl tzdata)
UNIT_TEST_PACKAGES=(postgresql pgbouncer redis-server rabbitmq-server openssl tzdata)
TEST_PACKAGES=(python3-venv libfaketime nginx-light pgbouncer)
BENCH_PACKAGES=(wrk redis-tools)
# Chromium draws no text without a font, and without its sandbox only as root.
BROWSER_PACKAGES=(chromium chromium-sandbox fonts-dejavu-core)
CONTAINER_PACKAGES=(buildah podman runc netavark aardvark-dns iptables debootstrap)
DEMO_PACKAGES=(python3 python3-pika python3-psycopg2)
LINT_PACKAGES=(clang clang-format shellcheck python3-venv node-typescript)

missing_packages() {
    local package known
    known=$(dpkg-query -W -f ' ${Package}=${db:Status-Status} ' "$@" 2>/dev/null) || true
    for package in "$@"; do
        [[ $known == *" $package=installed "* ]] || printf '%s\n' "$package"
    done
}

# need_packages PACKAGE...: installs those that are missing; does not call apt when none is.
need_packages() {
    command -v dpkg-query >/dev/null || die "This is not a Debian system: there is no dpkg." \
        "Debian 12 and 13 are supported. Elsewhere, install by hand: $*"
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [[ ${#missing[@]} -gt 0 ]] || return 0

    if [[ $(id -u) != 0 ]]; then
        command -v sudo >/dev/null || die "Packages are missing, and without sudo they cannot be installed from here." \
            "As root, run: apt-get install ${missing[*]}"
        say "  apt needs root to install packages; sudo may ask for your password."
        sudo -v || die "sudo refused." "Ask an administrator to run: apt-get install ${missing[*]}"
    fi
    step "Installing ${#missing[@]} packages (apt)" install_packages "${missing[@]}"
}

install_packages() {
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300 install --no-install-recommends)
    # Lists that are missing or too old make the first attempt fail; only then are they fetched.
    as_root "${apt[@]}" "$@" && return
    update_package_lists
    as_root "${apt[@]}" "$@"
}

update_package_lists() {
    as_root apt-get -q update
}

as_root() {
    if [[ $(id -u) == 0 ]]; then
        "$@"
    else
        sudo "$@"
    fi
}

# need_build_packages PACKAGE...: these, and what the build needs.
need_build_packages() {
    need_packages "${BUILD_PACKAGES[@]}" "$@"
    need_h2o
}

apt_knows() {
    apt-cache show "$1" >/dev/null 2>&1
}

# The mirror that apt has Debian from.
debian_mirror() {
    local mirror
    # shellcheck disable=SC2016 # apt's own variables
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' | sed -n '/ Debian$/{s///p;q}')
    [[ -n $mirror ]] || die "apt's sources name no mirror of Debian." \
        "Add one to /etc/apt/sources.list, then run: apt-get update"
    printf '%s' "$mirror"
}
