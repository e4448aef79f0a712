# The worker of worker.yaml: Prefect, what it needs for Kubernetes, and none of our code.
# docker build --file deploy/kubernetes/worker.Dockerfile --tag YOUR-REGISTRY/gnn-trainer-worker:TAG .
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
WORKDIR /opt/build
COPY constraints.txt ./
RUN python -m venv --without-pip /opt/venv
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    pip --python /opt/venv/bin/python install --no-cache-dir --constraint constraints.txt \
        prefect prefect-kubernetes

FROM ${BASE_IMAGE}
RUN pip uninstall --yes --root-user-action ignore setuptools wheel pip
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
USER 10001:10001
CMD ["prefect", "worker", "start", "--pool", "gnn-k8s", "--type", "kubernetes"]
