# Built once, five small images of it: docker build --target gateway|bridge|persister|indexer|scheduler .
# They run as a plain user on a read-only file system without any capability, keep nothing on disk,
# stop cleanly on SIGTERM, and take secrets from files: POSTGRES_DSN_FILE=/run/secrets/… and so on.
ARG DEBIAN=debian:12-slim

FROM ${DEBIAN} AS build
RUN apt-get update && \
    apt-get install -y --no-install-recommends gcc libc6-dev cmake ninja-build pkg-config \
        libzmq3-dev libczmq-dev librabbitmq-dev libhiredis-dev libpq-dev libcurl4-openssl-dev \
        libh2o-evloop-dev libmsgpack-dev uuid-dev libjansson-dev libutf8proc-dev libssl-dev \
        python3-yaml esbuild && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY CMakeLists.txt ./
COPY cmake cmake
COPY proto proto
COPY services services
COPY deploy/systemd deploy/systemd
RUN cmake -S . -B /build -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_TESTING=OFF \
        -DCMAKE_INSTALL_PREFIX=/usr && \
    cmake --build /build && \
    DESTDIR=/installed cmake --install /build --component programs --strip

FROM ${DEBIAN} AS runtime
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates tzdata \
        libzmq5 libczmq4 librabbitmq4 libhiredis0.14 libpq5 libcurl4 \
        libh2o-evloop0.13 libuuid1 libjansson4 libutf8proc2 libssl3 && \
    apt-get clean && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/* && \
    useradd --system --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin pipeline
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /
STOPSIGNAL SIGTERM
# For probes and Prometheus, which come from outside of the container.
ENV ADMIN_ADDRESS=::

FROM runtime AS gateway
COPY --from=build /installed/usr/libexec/order-pipeline/gateway /usr/local/bin/
# For operators, who have ADMIN_TOKEN there: docker compose exec gateway orderctl status
COPY --from=build /installed/usr/bin/orderctl /usr/local/bin/
EXPOSE 8080 9105
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["gateway", "--health"]
ENTRYPOINT ["gateway"]

FROM runtime AS bridge
COPY --from=build /installed/usr/libexec/order-pipeline/bridge /usr/local/bin/
EXPOSE 7100 7101 7102 9101
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["bridge", "--health"]
ENTRYPOINT ["bridge"]

FROM runtime AS persister
COPY --from=build /installed/usr/libexec/order-pipeline/persister /usr/local/bin/
EXPOSE 9102
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["persister", "--health"]
ENTRYPOINT ["persister"]

FROM runtime AS indexer
COPY --from=build /installed/usr/libexec/order-pipeline/indexer /usr/local/bin/
EXPOSE 9103
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["indexer", "--health"]
ENTRYPOINT ["indexer"]

FROM runtime AS scheduler
COPY --from=build /installed/usr/libexec/order-pipeline/scheduler /usr/local/bin/
EXPOSE 9104
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["scheduler", "--health"]
ENTRYPOINT ["scheduler"]
