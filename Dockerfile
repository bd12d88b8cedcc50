# A hub in a container: docker build -t webmq-hub .
# docs/pages/how-to/production.md shows how to run it. The image has no secrets: mount them as files.

FROM python:3.13-slim AS build
COPY pyproject.toml README.md LICENSE /src/
COPY webmqconnect_async /src/webmqconnect_async
RUN python -m venv /opt/webmq \
    && /opt/webmq/bin/pip install --no-cache-dir '/src[cli,speedups,metrics,redis]'

FROM python:3.13-slim
# At the same path: the scripts of a virtual environment name it.
COPY --from=build /opt/webmq /opt/webmq
# A hub on 0.0.0.0 does not start without a key: give it WEBMQ_HUB_KEY and WEBMQ_HUB_SECRET_FILE.
ENV PATH=/opt/webmq/bin:$PATH \
    WEBMQ_HUB_HOST=0.0.0.0 \
    WEBMQ_HUB_PORT=8080
# A number, because Kubernetes cannot see whether a name is root (runAsNonRoot). The user needs no home and writes no file.
USER 10001:10001
EXPOSE 8080
# By http.client, which does not use a proxy that the environment names, and needs no curl.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import http.client, os, sys; hub = http.client.HTTPConnection('127.0.0.1', int(os.environ['WEBMQ_HUB_PORT']), timeout=2); hub.request('GET', '/healthz'); sys.exit(hub.getresponse().status != 200)"]
# No shell: the hub is process 1, and SIGTERM reaches it.
CMD ["webmqconnect", "hub"]
