# The image of jeton: docker build --tag jeton .
#
# It runs as user 65532 on a read-only file system; /var/lib/jeton is its volume, with the database and the keys. The
# first start needs JETON_ISSUER. docs/operations.md has the steps, compose.yaml an example with TLS.
ARG BUILD=docker.io/library/rust:1.95-bookworm
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3
WORKDIR /source
COPY . .
ARG PROFILE=release
RUN cargo build --profile ${PROFILE} --locked --package jeton --package jeton-guard \
    && install -D --strip --target-directory=/out/bin target/${PROFILE}/jeton target/${PROFILE}/jeton-guard \
    && packaging/third-party > /out/THIRD-PARTY \
    && install --directory --mode=0700 /out/state/jeton

FROM ${BASE}
LABEL org.opencontainers.image.title="jeton" \
      org.opencontainers.image.description="A token authority: signs JWT API tokens, takes them back, and tells every verifier" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /out/bin/ /usr/bin/
COPY --from=build /out/THIRD-PARTY /source/LICENSE-MIT /source/LICENSE-APACHE /usr/share/doc/jeton/
# A volume of an engine takes mode and owner from the folder of the image.
COPY --from=build --chown=65532:65532 /out/state/ /var/lib/
USER 65532:65532
# The database, the keys and jeton.toml are there by default.
WORKDIR /var/lib/jeton
VOLUME /var/lib/jeton
ENV JETON_LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/usr/bin/jeton", "health"]
ENTRYPOINT ["/usr/bin/jeton"]
CMD ["serve"]
