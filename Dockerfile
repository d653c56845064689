# The image of a node: one binary without the simulator, run by a user without rights.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build

# The dependencies are a layer of their own, which lives as long as these files stay the same. They are built for an empty
# program, from a manifest without tests, benchmarks and examples, whose sources are not sent here.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN awk '/^\[/ { drop = /^\[\[(test|bench|example)\]\]/ } !drop' Cargo.toml > manifest && mv manifest Cargo.toml \
 && mkdir src && touch src/lib.rs && echo 'fn main() {}' > src/main.rs \
 && cargo build --release --locked --no-default-features \
 && rm -r src

# A copied file keeps its time of change, which is before that of the empty program: without `touch`, cargo would take
# the empty program for up to date.
COPY src src
RUN touch src/lib.rs src/main.rs \
 && cargo build --release --locked --no-default-features


FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="semisync" \
      org.opencontainers.image.description="A key-value store with semi-synchronous replication" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin semisync
COPY --from=build /build/target/release/semisync /usr/local/bin/semisync
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/semisync/
# By number, so that an orchestrator can tell that it is not root.
USER 10001:10001

# The default of PORT; a node listens on another if that is set.
EXPOSE 8000
# Whether the process answers, and not whether it is ready: an orchestrator that restarted a node because it waits for
# others would make it lose its memory.
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s --retries=3 CMD ["semisync", "health"]
# A node answers what it was asked and lets its messages arrive before it ends.
STOPSIGNAL SIGTERM
ENTRYPOINT ["semisync"]
CMD ["serve"]
