# The image of every node of `cluster.yaml`, head and workers alike.
# CUDA comes with jax's wheels; the driver belongs to the machine.
FROM python:3.12-slim

# With these Ray's head reaches its workers.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssh-client rsync \
    && rm -rf /var/lib/apt/lists/*

RUN pip install --no-cache-dir uv==0.13.9
ENV UV_SYSTEM_PYTHON=1 UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1

# Before the package, so that a change of the package does not install gigabytes anew.
COPY requirements-cuda.lock /tmp/
RUN uv pip install --require-hashes -r /tmp/requirements-cuda.lock

WORKDIR /opt/ardm
COPY pyproject.toml README.md ./
COPY ardm ardm
RUN uv pip install --no-deps .

COPY jobs jobs

# Nothing here needs root. Ray's launcher copies its files into the home directory, which it knows
# from HOME alone, and as the image's user.
RUN useradd --uid 1000 --create-home --shell /bin/bash ardm
ENV HOME=/home/ardm
USER ardm
