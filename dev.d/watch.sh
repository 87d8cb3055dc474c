# ./dev watch
# shellcheck shell=bash

# shellcheck source=dev.d/lib/packages.sh
. "$ROOT/dev.d/lib/packages.sh"
# shellcheck source=dev.d/lib/settings.sh
. "$ROOT/dev.d/lib/settings.sh"
# shellcheck source=dev.d/lib/services.sh
. "$ROOT/dev.d/lib/services.sh"
# shellcheck source=dev.d/lib/prometheus.sh
. "$ROOT/dev.d/lib/prometheus.sh"

help() {
    cat <<TEXT
Usage: ./dev watch

Runs a Prometheus that watches the running system, with the rules of deploy/prometheus, until
Ctrl-C. What it has seen is kept in the run folder for a day.
TEXT
}

main() {
    read_arguments watch "$@"
    [[ -f $RUN/env ]] || die "Nothing has been started yet." "Start the system with: ./dev up"
    need_prometheus
    mkdir -p "$RUN/prometheus"
    write_prometheus_configuration >"$RUN/prometheus/prometheus.yml"
    local address
    address=127.0.0.1:$(port PROMETHEUS)
    say "Prometheus: http://$address    alerts: http://$address/classic/alerts    (Ctrl-C ends it)"
    exec "$PROMETHEUS_HOME/usr/bin/prometheus" --log.level=warn \
        --config.file="$RUN/prometheus/prometheus.yml" \
        --storage.tsdb.path="$RUN/prometheus/data" --storage.tsdb.retention.time=1d \
        --web.listen-address="$address" --web.local-assets="$PROMETHEUS_HOME/usr/share/prometheus/web/"
}

# As deploy/prometheus/prometheus.yml, for the replicas of this system.
write_prometheus_configuration() {
    local service targets
    cat <<TEXT
global: {scrape_interval: 5s, scrape_timeout: 4s, evaluation_interval: 5s}
rule_files: ["$ROOT/deploy/prometheus/rules/*.yml"]
scrape_configs:
TEXT
    for service in "${SERVICES[@]}"; do
        targets=$(port_urls "$service" ADMIN)
        targets=${targets//http:\/\//}
        say "  - job_name: $service" "    static_configs: [{targets: [${targets// /, }]}]"
    done
}
