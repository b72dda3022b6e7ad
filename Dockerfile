# ChronoWatch without Lambda: the API and the workers as processes of one image. docs/containers.md says how to run it.
# Build: docker build -t chronowatch . With no builder: scripts/image.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm AS wheels
COPY requirements.lock requirements-grpc.lock requirements-postgres.lock requirements-brokers.lock \
    requirements-workflows.lock /build/
RUN pip install --no-cache-dir --require-hashes --only-binary=:all: \
    --target /build/site -r /build/requirements.lock -r /build/requirements-grpc.lock \
    -r /build/requirements-postgres.lock -r /build/requirements-brokers.lock -r /build/requirements-workflows.lock

# An emulator of AWS, for trying it: docker-compose.yml builds it as the target "emulator". It keeps its state in /state.
FROM python:${PYTHON}-slim-bookworm AS emulator
COPY requirements-emulator.lock /build/
RUN pip install --no-cache-dir --require-hashes --only-binary=:all: -r /build/requirements-emulator.lock \
    && install -d -m 0700 -o 65532 -g 65532 /state
COPY localdev/ministack_*.py localdev/interpreters.py /opt/emulator/
ENV BIND_HOST=0.0.0.0 GATEWAY_PORT=4566 PERSIST_STATE=1 STATE_DIR=/state PYTHONUNBUFFERED=1
VOLUME /state
USER 65532:65532
EXPOSE 4566
HEALTHCHECK --interval=5s --timeout=5s --retries=10 \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:4566/_ministack/health')"]
CMD ["python3", "-P", "/opt/emulator/ministack_extended.py"]

FROM python:${PYTHON}-slim-bookworm
LABEL org.opencontainers.image.title="ChronoWatch" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.description="A scheduler that fires to the millisecond: API and workers"
RUN install -d -m 0700 -o 65532 -g 65532 /var/lib/chronowatch
COPY --from=wheels /build/site /opt/chronowatch/site
COPY app.py LICENSE /opt/chronowatch/
COPY chalicelib /opt/chronowatch/chalicelib
COPY infra /opt/chronowatch/infra
COPY localdev /opt/chronowatch/localdev
COPY container /opt/chronowatch/container
COPY container/chronowatch.yaml /opt/chronowatch/config/chronowatch.yaml
RUN python3 -m compileall -q /opt/chronowatch/chalicelib /opt/chronowatch/infra /opt/chronowatch/localdev \
    /opt/chronowatch/container
ENV PYTHONPATH=/opt/chronowatch:/opt/chronowatch/site \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /opt/chronowatch
# The root file system may be read-only; what is written goes here.
VOLUME /var/lib/chronowatch
USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python3", "-m", "container", "health"]
ENTRYPOINT ["python3", "-m", "container"]
CMD ["api"]
