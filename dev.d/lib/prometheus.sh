# Prometheus out of Debian's packages, unpacked below build/ and not installed: installing it would
# start one on port 9090. No root is needed.
# shellcheck shell=bash

PROMETHEUS_HOME=$ROOT/build/prometheus
# The program, and what its pages are made of.
PROMETHEUS_PACKAGES=(prometheus libjs-bootstrap4 libjs-d3 libjs-eonasdan-bootstrap-datetimepicker libjs-jquery
    libjs-jquery-hotkeys libjs-moment libjs-moment-timezone libjs-mustache libjs-popper.js libjs-rickshaw
    fonts-glyphicons-halflings)

need_prometheus() {
    [[ -x $PROMETHEUS_HOME/usr/bin/promtool ]] || step "Fetching Prometheus (20 MB)" fetch_prometheus
}

# promtool has a package of its own since Debian 13.
download_prometheus() {
    local promtool=()
    ! apt_knows promtool || promtool=(promtool)
    apt-get -q download "${PROMETHEUS_PACKAGES[@]}" "${promtool[@]}"
}

fetch_prometheus() {
    local new=$PROMETHEUS_HOME.new package
    rm -rf "$new"
    mkdir -p "$new/packages"
    cd "$new/packages" || exit
    # Lists that are missing or too old make the first attempt fail; only then are they fetched.
    download_prometheus || {
        update_package_lists
        download_prometheus
    } || die "Prometheus could not be downloaded with apt." "As root, run: apt-get update"
    for package in *.deb; do
        dpkg-deb -x "$package" "$new"
    done
    rm -rf "$new/packages" "$PROMETHEUS_HOME"
    mv "$new" "$PROMETHEUS_HOME"
}
