# The static binary and nothing else: no shell, no package manager, no certificate bundle of ours.
# Build it first: make build. Mount the host's CA bundle, the configuration, its secrets and a writable /var/lib/fedbroker.
FROM scratch
COPY bin/fedbroker /fedbroker
COPY LICENSE NOTICE /
USER 65532:65532
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
WORKDIR /var/lib/fedbroker
ENTRYPOINT ["/fedbroker"]
CMD ["serve", "--config", "/etc/fedbroker/fedbroker.yaml"]
