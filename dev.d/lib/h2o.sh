# libh2o, which Debian 13 has not. Where apt does not know it, Debian 12's source package, with Debian's
# patches, is built once into the cache; the programs link it statically.
# shellcheck shell=bash

H2O_BUILD_PACKAGES=(g++ dpkg-dev libyaml-dev zlib1g-dev)
# Of h2o_2.2.5+dfsg2.orig.tar.xz, the same in every revision of the package.
H2O_SHA256=a46894bd85da6528d4ad90ce0443b48118718296175061a1a1156e9e3af60a0d

# CMakeLists.txt looks for it there.
h2o_home() {
    printf '%s/h2o-2.2.5-2' "$(cache_folder)"
}

need_h2o() {
    [[ -n $(missing_packages libh2o-evloop-dev) && ! -d $(h2o_home) ]] || return 0
    apt_knows libh2o-evloop-dev || update_package_lists >/dev/null 2>&1 || true # apt knows what its lists say
    if apt_knows libh2o-evloop-dev; then
        need_packages libh2o-evloop-dev
    else
        need_packages "${H2O_BUILD_PACKAGES[@]}"
        step "Building libh2o, which apt does not have" build_h2o
    fi
}

build_h2o() {
    local cache new
    cache=$(cache_folder)
    new=$cache/h2o-building
    mkdir -p "$cache"
    exec 8>"$cache/lock"
    flock 8
    [[ ! -d $(h2o_home) ]] || return 0 # another checkout was faster
    rm -rf "$new"
    mkdir "$new"
    cd "$new" || exit
    fetch_h2o_sources "$new/apt"
    printf '%s  %s\n' "$H2O_SHA256" h2o_*.orig.tar.xz | sha256sum --check
    dpkg-source --extract h2o_*.dsc source
    # As Debian builds it, but for what is not used.
    CFLAGS="$(dpkg-buildflags --get CFLAGS) $(dpkg-buildflags --get CPPFLAGS)" cmake -S source -B build -G Ninja \
        -DCMAKE_BUILD_TYPE=None -DCMAKE_INSTALL_PREFIX="$(h2o_home)" -DCMAKE_INSTALL_LIBDIR=lib \
        -DCMAKE_POSITION_INDEPENDENT_CODE=on -DWITH_BUNDLED_SSL=off -DWITH_MRUBY=off -DDISABLE_LIBUV=on
    cmake --build build --target libh2o-evloop
    mkdir -p home/lib/pkgconfig
    cp -R source/include home
    # services/http/h2o_head.c has a phr_parse_request() that takes the place of this one.
    objcopy --weaken-symbol=phr_parse_request build/libh2o-evloop.a home/lib/libh2o-evloop.a
    sed 's/-lh2o-evloop/& -lssl -lcrypto -lz/' build/libh2o-evloop.pc >home/lib/pkgconfig/libh2o-evloop.pc
    mv home "$(h2o_home)"
    cd "$cache" || exit
    rm -rf "$new"
}

# fetch_h2o_sources FOLDER: the source package into this folder. What apt knows of Debian 12's sources stays in FOLDER.
fetch_h2o_sources() {
    local apt
    mkdir -p "$1/lists/partial"
    printf 'deb-src %s bookworm main\n' "$(debian_mirror)" >"$1/sources.list"
    apt=(apt-get -q -o "Dir::Etc::SourceList=$1/sources.list" -o Dir::Etc::SourceParts=-
        -o "Dir::State::Lists=$1/lists" -o "Dir::Cache=$1")
    { "${apt[@]}" update && "${apt[@]}" source --download-only h2o; } ||
        die "Debian 12's source package of h2o could not be downloaded from apt's mirror." \
            "Check the network, then run the same command again."
}
