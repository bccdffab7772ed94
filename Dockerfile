# The server with the UI inside. Dependencies are built in a layer of their own (cargo-chef).
FROM rust:1.95-bookworm AS chef
RUN apt-get update && apt-get install -y --no-install-recommends pkg-config libssl-dev perl \
    && rm -rf /var/lib/apt/lists/* && cargo install cargo-chef --locked
WORKDIR /build

FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS build
COPY --from=plan /build/recipe.json recipe.json
RUN cargo chef cook --release --recipe-path recipe.json
COPY . .
RUN cargo build --release --locked

FROM node:20-bookworm-slim AS ui
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-pip python3-venv ca-certificates
WORKDIR /build
COPY scripts scripts
RUN FERROFLOW_CACHE=/tmp/cache scripts/ui.sh

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends libssl3 ca-certificates \
    && rm -rf /var/lib/apt/lists/* && useradd --system --create-home --home-dir /data ferroflow
COPY --from=build /build/target/release/ferroflow /usr/local/bin/ferroflow
COPY --from=ui /build/ui /usr/local/share/ferroflow/ui
ENV FERROFLOW_UI_DIR=/usr/local/share/ferroflow/ui MLFLOW_HOST=0.0.0.0
USER ferroflow
WORKDIR /data
VOLUME /data
EXPOSE 5000
ENTRYPOINT ["ferroflow"]
CMD ["server"]
