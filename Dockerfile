# One image for the API, the workers and Flower; docker-compose.yml says which of them a container is.

FROM python:3.12-slim AS build
WORKDIR /app
RUN python -m venv /app/.venv
COPY deploy/requirements.lock deploy/requirements.lock
RUN /app/.venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r deploy/requirements.lock
COPY pyproject.toml README.md main.py ./
COPY dspy_service dspy_service
COPY workers workers
RUN /app/.venv/bin/pip install --no-cache-dir --no-deps .

FROM python:3.12-slim
# The user owns nothing but the data folder and the one for temporary files: neither the code nor the libraries can be
# changed from inside.
RUN useradd --uid 10001 --create-home service && install -d -o service -g service -m 700 /data /spool
COPY --from=build /app/.venv /app/.venv
COPY main.py /app/main.py
WORKDIR /app
USER service
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LITELLM_LOCAL_MODEL_COST_MAP=True \
    DSPY_SERVICE_DATA_DIR=/data \
    DSPY_SERVICE_ARTIFACTS_URL=/data/artifacts
VOLUME /data
