# The exporter on a base image without shell or package manager, running as user 65532.
#
#   docker build -t magic-tunnel-exporter --build-arg REVISION="$(git rev-parse --short=12 HEAD)" .
#   docker run --rm -p 9847:9847 magic-tunnel-exporter demo
#
# Probing needs unprivileged ping sockets: --sysctl net.ipv4.ping_group_range="0 2147483647" (docs/OPERATIONS.md).
ARG BUILD_IMAGE=docker.io/library/rust:1.95.0-slim-trixie@sha256:275c320a57d0d8b6ab09454ab6d1660d70c745fb3cc85adbefad881b69a212cc
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian13:nonroot@sha256:e792ab3d241a468a4fd7519ddbbebe66b49b5f365771716ea688ad40b6c6f1c2

FROM ${BUILD_IMAGE} AS build
ARG PROFILE=dist
WORKDIR /build
# Builds the dependencies with empty crates. Only changes of the manifests, the lock file or the benches invalidate
# this layer.
COPY Cargo.toml Cargo.lock ./
COPY crates/web-toolkit/Cargo.toml crates/web-toolkit/
COPY crates/magic-sandbox/Cargo.toml crates/magic-sandbox/
COPY benches benches
RUN mkdir src crates/web-toolkit/src crates/magic-sandbox/src \
    && touch src/lib.rs crates/web-toolkit/src/lib.rs crates/magic-sandbox/src/lib.rs \
    && echo 'fn main() {}' >src/main.rs \
    && cargo build --locked --profile "$PROFILE"
COPY build.rs ./
# The status page includes the runbooks.
COPY docs/RUNBOOKS.md docs/
COPY crates crates
COPY src src
ARG REVISION=unknown
# The builder sets it. One folder for each architecture, so that programs that exist already can replace this stage.
ARG TARGETARCH
# COPY keeps modification times, which can be older than the empty crates; without `touch`, cargo would not rebuild.
RUN touch src/lib.rs src/main.rs crates/*/src/lib.rs \
    && MTE_BUILD_REVISION="$REVISION" cargo install --locked --no-track --path . --profile "$PROFILE" --root "/out/$TARGETARCH" \
    && mkdir /out/state

FROM ${RUNTIME_IMAGE}
ARG RUNTIME_IMAGE
ARG TARGETARCH
ARG REVISION=unknown
# The version in Cargo.toml.
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="magic-tunnel-exporter" \
      org.opencontainers.image.description="Prometheus exporter and health prober for Cloudflare Magic WAN and Magic Transit tunnels" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${RUNTIME_IMAGE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY LICENSE /usr/share/doc/magic-tunnel-exporter/LICENSE
COPY --from=build /out/${TARGETARCH}/bin/magic-tunnel-exporter /usr/bin/magic-tunnel-exporter
# The state, which survives a restart (docs/OPERATIONS.md). Docker creates a volume for it, also with --read-only.
COPY --from=build --chown=65532:65532 --chmod=700 /out/state /var/lib/magic-tunnel-exporter
ENV STATE_DIRECTORY=/var/lib/magic-tunnel-exporter
VOLUME /var/lib/magic-tunnel-exporter
# Numeric, so that Kubernetes can verify that it is not root.
USER 65532:65532
EXPOSE 9847
# Uses the address in MTE_WEB_LISTEN_ADDRESS, like the exporter itself.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/usr/bin/magic-tunnel-exporter", "healthcheck"]
ENTRYPOINT ["/usr/bin/magic-tunnel-exporter"]
