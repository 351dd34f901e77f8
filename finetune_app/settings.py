"""Settings: safe defaults for one computer, everything else from the environment.

A wrong number, or something else than yes (1) or no (0) where that is asked, ends the start with a
sentence (core/environment.py).

DATA_DIR        where everything is kept (default ./data)
DATABASE_URL    default: SQLite in DATA_DIR; its password may be in DATABASE_PASSWORD, as it is
REDIS_URL       default: the bundled Valkey, on a Unix socket in DATA_DIR
HOST, PORT      where the web listens (default 127.0.0.1:8000)
PUBLIC_URL      the address people use, when it is not http://HOST:PORT
WEB_PROCESSES   how many processes answer requests (default 2; 1 on a single core)
ENGINES         engines on other hosts, host:port with commas between (docs/several-hosts.md);
                ENGINE_LISTEN=host:port is where `manage.py engine` listens for them
CARDS_PER_WORKER  of several graphics cards: how many one training uses (default 1)
ENDPOINTS_ALLOWED  host:port of model servers in your own network that teams may add, with
                commas between: "localhost:11434,gpu-box.lan:8000" (docs/remote-models.md)
HF_ENDPOINT     the model hub (default https://huggingface.co); HF_HUB_OFFLINE=1 asks none
HUB_JOBS_IMAGE  image for trainings on Hugging Face Jobs (default: python:X.Y-slim as here)
REQUEST_LOG_DAYS, JOB_LOG_DAYS, AUDIT_LOG_DAYS  how long requests (default 180), journals of jobs
                (90) and lines of the audit log (365, at least 30) are kept; 0: for ever
TEAM_STORAGE_GB  how much the files of one team may take (default 50; a GB is 10^9 bytes)
TEAM_JOBS_AT_ONCE  how many trainings and tests of one team run at once (default 0: no limit);
                TEAM_HOURS_A_MONTH: for how long they may run in a calendar month (the same)
CLUSTER         slurm or kubernetes: that runs trainings and tests (docs/slurm.md, kubernetes.md);
                CLUSTER_OPTIONS: options of sbatch, or a file with the Job to start from;
                CLUSTER_JOBS_AT_ONCE: how many wait and run there at once (default 8)
LOG_FORMAT      text (default) or json: one object per event, for programs that collect logs
LOG_LEVEL       INFO (default), DEBUG, WARNING or ERROR
METRICS_TOKEN   opens /metrics to Prometheus, which sends it as a bearer token; without it nobody
OTEL_EXPORTER_OTLP_ENDPOINT  where traces go (docs/monitoring.md); without it there are none
OIDC_ISSUER     the provider for sign-in by OpenID Connect, with OIDC_CLIENT_ID and
                OIDC_CLIENT_SECRET (more of them in docs/sign-in.md)
EMAIL_HOST      the mail server that takes alerts (with EMAIL_PORT, EMAIL_HOST_USER,
                EMAIL_HOST_PASSWORD, EMAIL_USE_TLS=0 to leave out TLS, EMAIL_FROM)
S3_BUCKET       keep files in an S3-compatible store (with S3_ENDPOINT_URL, AWS_* keys)
SSL_REDIRECT    0 where a proxy sends http to https itself (BEHIND_PROXY: docs/several-hosts.md)
DEBUG           1 shows Django's own pages of errors; only while you work on Finetune
NAME_FILE       a file that holds the secret NAME (core/environment.py lists which may)
LOCAL_COPIES_GB  of files in that store: how much of this disk their copies may take (default 50)
"""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from finetune_app.accounts.oidc import OidcError, oidc_from
from finetune_app.core import environment, file_store, logs
from finetune_app.core.environment import address, addresses, choice, flag, number, whole_number
from finetune_app.core.postgres_options import postgres_options
from finetune_app.core.secrets import load_secrets, make_private
from finetune_app.core.sockets import run_folder

environment.read_secret_files()
BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("DATA_DIR") or BASE_DIR / "data").resolve()
try:
    make_private(DATA_DIR)
    SECRETS = load_secrets(DATA_DIR)
    RUN_DIR = run_folder(DATA_DIR)  # sockets, reachable by their owner alone
except OSError as error:
    sys.exit(
        f"Finetune cannot use {DATA_DIR}: {error.strerror}. Change its owner or free some space, "
        "or set DATA_DIR to another folder."
    )

DEBUG = flag("DEBUG")
SECRET_KEY = SECRETS["secret_key"]
SECRET_KEY_FALLBACKS = SECRETS["secret_key_fallbacks"]
FIELD_KEYS = SECRETS["field_keys"]
KEY_PEPPER = SECRETS["key_pepper"]
KEY_PEPPER_FALLBACKS = SECRETS["key_pepper_fallbacks"]

HOST = os.environ.get("HOST", "127.0.0.1")
PORT = whole_number("PORT", 8000, least=1, most=65535)
WEB_PROCESSES = whole_number("WEB_PROCESSES", min(2, os.cpu_count() or 1), least=1, most=64)
HERE = "localhost" if HOST in {"0.0.0.0", "::"} else HOST  # "every address" is none to visit
PUBLIC_URL = (os.environ.get("PUBLIC_URL") or f"http://{HERE}:{PORT}").rstrip("/")
PUBLIC_HOST = urlsplit(PUBLIC_URL).hostname or HOST
ONLY_THIS_COMPUTER = PUBLIC_HOST in {"127.0.0.1", "localhost", "::1"}
ALLOWED_HOSTS = sorted({"127.0.0.1", "localhost", "[::1]", PUBLIC_HOST})
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if not ONLY_THIS_COMPUTER else []

HTTPS = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True  # pages carry the token themselves
if HTTPS:  # so named, a browser takes them from this very host alone
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
SECURE_SSL_REDIRECT = flag("SSL_REDIRECT", True) and HTTPS
SECURE_HSTS_SECONDS = 31536000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
if flag("BEHIND_PROXY"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_AGE = 60 * 60 * 24 * 30
X_FRAME_OPTIONS = "DENY"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "template_partials",
    "csp",
    "axes",
    "allauth",
    "allauth.account",
    "allauth.usersessions",
    "allauth.mfa",
    "allauth.socialaccount",
    "finetune_app.core",
    "finetune_app.accounts",
    "finetune_app.jobs",
    "finetune_app.providers",
    "finetune_app.goals",
    "finetune_app.datasets",
    "finetune_app.checks",
    "finetune_app.versions",
    "finetune_app.imports",
    "finetune_app.labelling",
    "finetune_app.basemodels",
    "finetune_app.knowledge",
    "finetune_app.training",
    "finetune_app.hyperparameter_search",
    "finetune_app.remote_training",
    "finetune_app.hub_training",
    "finetune_app.candidates",
    "finetune_app.evaluation",
    "finetune_app.judging",
    "finetune_app.prompt_sheets",
    "finetune_app.preferences",
    "finetune_app.model_export",
    "finetune_app.deployment",
    "finetune_app.api_keys",
    "finetune_app.request_log",
    "finetune_app.monitoring",
    "finetune_app.gateway",
    "finetune_app.fine_tuning_api",
    "finetune_app.batches",
    "finetune_app.openai_import",
    "finetune_app.playground",
    "finetune_app.alerts",
    "finetune_app.guide",
    "finetune_app.audit",
    "finetune_app.operations",
]

MIDDLEWARE = [
    "finetune_app.monitoring.middleware.RequestMetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "finetune_app.core.middleware.PrivateMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "finetune_app.accounts.middleware.SessionListMiddleware",
    "finetune_app.accounts.middleware.TeamMiddleware",
    "finetune_app.audit.middleware.AuditMiddleware",
    "finetune_app.core.middleware.PlainErrorMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "finetune_app.urls"
ASGI_APPLICATION = "finetune_app.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["template_partials.templatetags.partials"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "finetune_app.core.context_processors.page",
                "finetune_app.guide.context.frame",
            ],
        },
    },
]

SQLITE_URL = f"sqlite:///{DATA_DIR / 'finetune.sqlite3'}"
try:
    DATABASES = {"default": dj_database_url.parse(os.environ.get("DATABASE_URL") or SQLITE_URL)}
except ValueError:  # without what it says: the address may hold a password
    raise ImproperlyConfigured(
        "DATABASE_URL cannot be read. Set it to postgres://USER:PASSWORD@HOST:PORT/NAME (in the "
        "password, write / as %2F, and other special characters likewise), or leave it out for "
        "SQLite."
    ) from None
if password := environment.text_setting("DATABASE_PASSWORD"):
    DATABASES["default"]["PASSWORD"] = password
ON_SQLITE = DATABASES["default"]["ENGINE"].endswith("sqlite3")
if ON_SQLITE:
    # Measured with 8 writers: no "locked" errors this way (docs/decisions/0001).
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; "
        "PRAGMA secure_delete=ON;",  # deleted rows are overwritten
    }
    if os.environ.get("FINETUNE_WEB"):
        DATABASES["default"]["CONN_MAX_AGE"] = None  # kept by its threads (core/asgi_handlers.py)
    # Tests start real processes, which cannot share a database in memory.
    DATABASES["default"]["TEST"] = {"NAME": DATA_DIR / "test.sqlite3"}
else:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    # What DATABASE_URL says goes first.
    DATABASES["default"]["OPTIONS"] = postgres_options() | DATABASES["default"].get("OPTIONS", {})

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "finetune_app.accounts.password_strength.LengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "finetune_app.accounts.password_strength.GuessablePasswordValidator"},
]
LOGIN_URL = "accounts:sign_in"
LOGIN_REDIRECT_URL = "guide:home"
AXES_FAILURE_LIMIT = 8
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
MAX_FAILED_SIGN_INS_PER_ADDRESS = 30  # of all accounts within the cool-off time
AXES_LOCKOUT_TEMPLATE = "errors/429.html"
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = "finetune_app.core.requests.client_network"
AXES_VERBOSE = False
AXES_DISABLE_ACCESS_LOG = True  # who came in when and from where is shown nowhere, so not kept
# What axes keeps of a wrong try is without these fields ("password" it leaves out by itself).
AXES_SENSITIVE_PARAMETERS = [
    "username",
    "ip_address",
    "email",
    "old",
    "new",
    "code",
    "next",
    "csrfmiddlewaretoken",
]

# allauth carries what follows the password (docs/decisions/0032).
ACCOUNT_ADAPTER = "finetune_app.accounts.adapters.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_REAUTHENTICATION_METHODS = ["password", "mfa"]  # and no code by mail
ACCOUNT_REAUTHENTICATION_TIMEOUT = 60 * 10
ACCOUNT_RATE_LIMITS = {"reauthenticate": None}  # axes counts wrong passwords
SOCIALACCOUNT_ADAPTER = "finetune_app.accounts.oidc_adapter.OidcAdapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
try:
    OIDC = oidc_from(os.environ)
except OidcError as error:
    sys.exit(f"{error} See docs/sign-in.md.")
if OIDC:
    INSTALLED_APPS.append("allauth.socialaccount.providers.openid_connect")
    SOCIALACCOUNT_PROVIDERS = OIDC.allauth_settings
MFA_ADAPTER = "finetune_app.accounts.adapters.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_ISSUER = "Finetune"
MFA_TOTP_TOLERANCE = 1  # of the codes before and after, for clocks that are a little off

LANGUAGE_CODE = "en-gb"
# What there is a translation for. Others would come half in Django's own words, half in ours.
LANGUAGES = [("en-gb", "English")]
# Looking each text up took a tenth of a page. A second language needs LocaleMiddleware, too.
USE_I18N = len(LANGUAGES) > 1
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "static"
MEDIA_ROOT = DATA_DIR
STORAGES = {
    "default": file_store.backend(DATA_DIR),
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = DEBUG

# Uploads: core/body_limit.py and core/upload_handlers.py refuse what is larger.
MAX_UPLOAD_BYTES = 200 * 1024 * 1024
MAX_LARGE_UPLOAD_BYTES = 2 * 1024**3  # in pieces
TEAM_STORAGE_GB = number("TEAM_STORAGE_GB", 50, least=0.01, most=1_000_000, unit="gigabytes")
MAX_TEAM_BYTES = int(TEAM_STORAGE_GB * 10**9)  # of all files
LOCAL_COPIES_GB = number("LOCAL_COPIES_GB", 50, least=0.01, most=1_000_000, unit="gigabytes")
MAX_LOCAL_COPY_BYTES = int(LOCAL_COPIES_GB * 10**9)
MAX_TEAM_DOCUMENT_BYTES = 2 * 1024**3  # of all documents of a team together
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
    }
}

# Jobs: the database is the truth, the broker only wakes a worker (docs/decisions/0002).
BROKER_SOCKET = None if os.environ.get("REDIS_URL") else RUN_DIR / "broker.sock"
REDIS_URL = os.environ.get("REDIS_URL") or f"redis+socket://{BROKER_SOCKET}"
# Counts the tries and the used codes of second factors, for all web processes together.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL.replace("redis+socket://", "unix://"),
    }
}
CELERY_BROKER_URL = REDIS_URL

# A cluster that runs the heavy jobs, in place of our own workers (docs/decisions/0083).
CLUSTER = choice("CLUSTER", ("slurm", "kubernetes"))
CLUSTER_OPTIONS = environment.text_setting("CLUSTER_OPTIONS")
CLUSTER_JOBS_AT_ONCE = whole_number("CLUSTER_JOBS_AT_ONCE", 8, least=1, most=1000)

# A lease that was not renewed for this long is stale.
LEASE_SECONDS = number("LEASE_SECONDS", 15, least=1, most=3600, unit="seconds")
HEARTBEAT_SECONDS = LEASE_SECONDS / 5
MAX_ATTEMPTS = 5
CLOCK_SECONDS = number("CLOCK_SECONDS", 2, least=0.1, most=60, unit="seconds")

# Models elsewhere lie in the public internet, behind https, but for these (providers/guard.py).
ENDPOINTS_ALLOWED = frozenset(
    place.strip().lower() for place in os.environ.get("ENDPOINTS_ALLOWED", "").split(",")
) - {""}

# How long is kept what grows by itself (docs/retention.md); 0 days: for ever.
REQUEST_LOG_DAYS = whole_number("REQUEST_LOG_DAYS", 180, least=0, most=36500, unit="days")
JOB_LOG_DAYS = whole_number("JOB_LOG_DAYS", 90, least=0, most=36500, unit="days")
AUDIT_LOG_DAYS = whole_number("AUDIT_LOG_DAYS", 365, least=0, most=36500, unit="days")

METRICS_TOKEN = os.environ.get("METRICS_TOKEN", "").strip()

# Alerts go out by e-mail where a mail server is named.
EMAIL_HOST = os.environ.get("EMAIL_HOST", "")
EMAIL_READY = bool(EMAIL_HOST)
EMAIL_PORT = whole_number("EMAIL_PORT", 587, least=1, most=65535)
EMAIL_HOST_USER = os.environ.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = os.environ.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = flag("EMAIL_USE_TLS", True)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = os.environ.get("EMAIL_FROM") or f"finetune@{PUBLIC_HOST}"

ENGINE_SOCKET = RUN_DIR / "engine.sock"
ENGINE_SECRET = SECRETS["engine_secret"]
ENGINE_LISTEN = address("ENGINE_LISTEN")
ENGINES = addresses("ENGINES")
if (ENGINES or ENGINE_LISTEN) and len(ENGINE_SECRET) < 32:  # TLS is made from it
    raise ImproperlyConfigured("ENGINE_SECRET is too short for a network: 32 characters or more.")

try:
    LOGGING = logs.config()
except ValueError as error:
    sys.exit(str(error))

# For processes without settings, which could only fail later.
environment.read_all()
