# One image for every process: the web, the clock, the workers and the engine.
FROM python:3.11-slim-trixie
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1
# pg_dump and pg_restore, for backups; their version must not be older than the server's.
RUN apt-get update && apt-get install -y --no-install-recommends postgresql-client \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY pyproject.toml constraints.txt ./
RUN python -m venv /venv && mkdir finetune_app && touch finetune_app/__init__.py \
    && /venv/bin/pip install -c constraints.txt '.[openvino]' && rm -rf finetune_app
COPY . .
RUN useradd --create-home --uid 1000 finetune && mkdir /data && chown finetune /data
USER finetune
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app DATA_DIR=/data HOST=0.0.0.0
EXPOSE 8000
CMD ["python", "manage.py", "up"]
