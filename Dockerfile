# One image for the daemon (`run`), the dashboard, every command, and the shop's load.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
RUN python -m venv --without-pip /opt/tailrace
COPY deploy/requirements.lock deploy/
RUN pip --python /opt/tailrace install --no-cache-dir --require-hashes --no-deps -r deploy/requirements.lock
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && pip --python /opt/tailrace install --no-cache-dir --no-deps --no-index /wheels/*.whl \
 && pip --python /opt/tailrace check

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/tailrace /opt/tailrace
# Health is served on the container's own address, which nobody reaches unless a port is published.
ENV PATH=/opt/tailrace/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TAILRACE__HEALTH__HOST=0.0.0.0 \
    TAILRACE__HEALTH__PORT=8080
RUN install -d -o 10001 -g 10001 /var/lib/tailrace
WORKDIR /etc/tailrace
USER 10001:10001
EXPOSE 8080
# Python as process 1 acts on SIGINT by itself; the daemon takes SIGTERM and SIGINT alike.
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s --timeout=10s --start-period=60s --retries=5 \
  CMD ["python", "-c", "import urllib.request as http; http.urlopen('http://127.0.0.1:8080/livez', timeout=8)"]
ENTRYPOINT ["tailrace"]
CMD ["run"]
