# The trainer as a Job, a Prefect worker's pod, or one command: `docker run IMAGE` trains offline.
# Arguments, all optional: BASE_IMAGE, a Python 3.11 on Debian; TORCH_INDEX_URL, an index that has
# the torch to use (CPU or CUDA); VERSION and COMMIT, for the labels. See README, Containers.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
WORKDIR /opt/gnn-trainer
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
# No pip in it: what runs cannot install anything.
RUN python -m venv --without-pip /opt/venv
COPY constraints.txt ./
ARG TORCH_INDEX_URL=""
# pip.conf is an optional secret of the build: an index with a password must not stay in a layer.
# torch alone: its index may lack the versions that the constraints pin for what torch needs.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    pip --python /opt/venv/bin/python install --no-deps --constraint constraints.txt \
        ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} torch
COPY pyproject.toml ./
COPY gnn_trainer/__init__.py gnn_trainer/
# Dependencies before the code, so that changed code does not download them again. Editable: there
# is one copy of the code, which the flow, the commands and Prefect all load.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    pip --python /opt/venv/bin/python install --constraint constraints.txt --editable .
COPY prefect.toml ./
COPY gnn_trainer gnn_trainer
COPY flows flows
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    pip --python /opt/venv/bin/python install --no-deps --editable . \
    && /opt/venv/bin/python -m compileall -q flows gnn_trainer

FROM ${BASE_IMAGE}
# tini passes SIGTERM on, reaps what is orphaned, and as process 1 lets default signals end Python.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini=0.19.0-* \
    && rm -rf /var/lib/apt/lists/* \
    && pip uninstall --yes --root-user-action ignore setuptools wheel pip \
    && groupadd --gid 10001 trainer \
    && useradd --uid 10001 --gid trainer --home-dir /workspace --no-create-home trainer \
    && install --directory --owner 10001 --group 10001 /workspace
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/gnn-trainer /opt/gnn-trainer
# Only /workspace is ever written to. A folder that is mounted there must be writable for 10001.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/workspace \
    TMPDIR=/workspace \
    WORKSPACE=/workspace \
    PREFECT_HOME=/workspace/prefect-home
WORKDIR /opt/gnn-trainer
USER 10001:10001
VOLUME /workspace
ARG VERSION=""
ARG COMMIT=""
LABEL org.opencontainers.image.title="gnn-trainer" \
      org.opencontainers.image.description="Trains and publishes a graph neural network of a crypto market" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"
# No HEALTHCHECK: this is a job. It ends by itself, and its exit code says how.
ENTRYPOINT ["tini", "--"]
CMD ["python", "flows/train.py"]
