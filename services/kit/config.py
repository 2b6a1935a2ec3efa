"""The settings of a process, read once from the environment."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from services.kit.bus.address import parse_address
from services.kit.clock import parse_clock
from services.kit.errors import InvalidArgument
from services.kit.setting_secrets import describe, is_secret

if TYPE_CHECKING:
    from rapport_client.config import Location

SERVICES = ("contacts", "sales", "segmentation", "campaign", "care")
EVENTS_PORT_OFFSET = 10
REPLICA_PORT_OFFSET = 50
MOST_REPLICAS = 8
"""Of each process on one machine, whose ports are so far apart."""

SIGNATURE_ALGORITHMS = frozenset(
    {*(f"{family}{bits}" for family in ("RS", "PS", "ES") for bits in (256, 384, 512)), "EdDSA"}
)
"""Signatures by private keys; `none` and those by a shared secret (HS…) can never be allowed."""


class Settings(BaseSettings):
    """Hold every setting; each is the environment variable `RAPPORT_<NAME>`."""

    # An empty variable, such as a compose file leaves, means the default.
    model_config = SettingsConfigDict(
        env_prefix="RAPPORT_", env_ignore_empty=True, frozen=True, extra="ignore", populate_by_name=True
    )

    data_dir: Path = Field(
        Path(".rapport"), description="Folder of the laptop stack: database, logs, tokens, reports."
    )
    host: str = Field("127.0.0.1", description="Address that the API processes listen on.")
    base_port: int = Field(
        7400,
        ge=1,
        le=65000,
        description="Ports follow from it: contacts +1, sales +2, segmentation +3, campaign +4, care +5; "
        "event streams +11 to +15; metrics +21 to +25 (api) and +31 to +35 (worker); inbound mail +45; "
        "campaign's links +46 and their metrics +47. "
        "A laptop stack holds the port itself.",
    )
    replica: int = Field(
        0,
        ge=0,
        le=MOST_REPLICAS - 1,
        description="Which of several processes of its kind on one machine a process is, from 0 on: the ports that it "
        "listens on are 50 higher for each.",
    )
    address: str = Field(
        "",
        description="How clients reach a service's API, with {service} and {port} filled in; several IP addresses "
        "with commas between share the calls, such as 127.0.0.1:{port},127.0.0.1:{port+50}; empty means HOST:{port}.",
    )
    events_address: str = Field(
        "", description="How workers reach a service's event stream, like ADDRESS; empty means HOST:{port}."
    )
    database_url: str = Field(
        "", description="Administrator URL of an existing PostgreSQL; empty means the embedded one."
    )
    contacts_database_url: str = Field(
        "", description="URL of the contacts database; wins over DATABASE_URL."
    )
    sales_database_url: str = Field("", description="URL of the sales database; wins over DATABASE_URL.")
    segmentation_database_url: str = Field(
        "", description="URL of the segmentation database; wins over DATABASE_URL."
    )
    campaign_database_url: str = Field(
        "", description="URL of the campaign database; wins over DATABASE_URL."
    )
    care_database_url: str = Field("", description="URL of the care database; wins over DATABASE_URL.")
    database_pool_size: int = Field(
        12, ge=1, le=500, description="Database connections of one process at the most."
    )
    amqp_url: str = Field(
        "",
        description="RabbitMQ (3.10 or newer) that carries events between services, "
        "amqp://user:password@host:port/virtual-host, amqps:// for TLS, nodes of a cluster with commas between; "
        "empty: workers read the event streams.",
    )
    amqp_prefix: str = Field(
        "rapport",
        pattern="^[a-z0-9][a-z0-9_-]{0,40}$",
        description="Names of exchanges and queues begin with it; installations that share a virtual host need "
        "different ones.",
    )
    clock: str = Field(
        "",
        description="Business clock: empty (the machine's), fixed:<ISO time>, offset:<seconds> or file:<path>.",
    )
    time_zone: str = Field("UTC", description="Time zone of the business, an IANA name.")
    default_region: str = Field(
        "",
        pattern="^(|[A-Z]{2})$",
        description="Region (ISO 3166, such as VN) for phone numbers written without a country code.",
    )
    tokens_file: Path | None = Field(
        None,
        description="JSON file of access tokens (hashes) and what each may do; empty means <data_dir>/tokens.json.",
    )
    token: str = Field(
        "", description="Token that this process shows to the other services, or the CLI to the API."
    )
    roles_file: Path | None = Field(
        None,
        description="JSON file of roles and the permissions of each, beside and over the built-in roles; read again "
        "when it changes.",
    )
    oidc_issuer: str = Field(
        "", description="Identity provider whose tokens are accepted, as in their `iss`; empty accepts none."
    )
    oidc_audience: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Audiences of which a token must name one (`aud`), comma-separated; needed with an issuer.",
    )
    oidc_jwks_url: str = Field(
        "", description="Where the provider's keys are; empty asks the issuer's discovery document."
    )
    oidc_algorithms: Annotated[tuple[str, ...], NoDecode] = Field(
        ("RS256", "ES256", "EdDSA"),
        description="Signature algorithms accepted, comma-separated: RS256 to RS512, PS256 to PS512, ES256 to ES512, "
        "EdDSA.",
    )
    oidc_leeway_seconds: float = Field(
        30.0, ge=0, le=300, description="How far the clocks of provider and machine may differ."
    )
    oidc_user_claim: str = Field(
        "sub",
        description="Claim that names the user, whose records are its own; a dotted path for a nested claim.",
    )
    oidc_roles_claim: str = Field(
        "roles", description="Claim that lists the user's roles, such as realm_access.roles."
    )
    oidc_teams_claim: str = Field("teams", description="Claim that lists the user's teams.")
    service_key_file: Path | None = Field(
        None,
        description="PEM file of the key with which this service signs what it shows to the others; wins over TOKEN.",
    )
    service_keys_file: Path | None = Field(
        None, description="JWK set of the public keys of all services, whose tokens are then accepted."
    )
    tls_cert_file: Path | None = Field(
        None, description="PEM file of the certificate that the servers, and this process as a client, show."
    )
    tls_key_file: Path | None = Field(
        None, description="PEM file of that certificate's key, without a password."
    )
    tls_client_ca_file: Path | None = Field(
        None,
        description="PEM file of who signs the clients' certificates; when set, each client must show one.",
    )
    tls_ca_file: Path | None = Field(
        None,
        description="PEM file of who signs the servers' certificates; when set, the services are called encrypted.",
    )
    calls_per_second: float = Field(
        1000.0,
        ge=0,
        description="Calls a second that one caller may make of one process; 0 for any. Services have no limit.",
    )
    burst_calls: int = Field(4000, ge=1, description="Calls that one caller may make at once after a pause.")
    bytes_per_second: float = Field(
        32e6,
        ge=0,
        description="Bytes a second that one caller may send to one process by unary calls; 0 for any.",
    )
    refused_calls_per_second: float = Field(
        20.0,
        ge=0,
        description="Calls a second without a good token from one address that are still told why; 0 for any.",
    )
    streams_per_caller: int = Field(
        4,
        ge=0,
        description="Streams, such as uploads, that one caller may hold of one API process; 0 for any.",
    )
    secret_key: str = Field(
        "",
        description="Key that signs reply addresses, page tokens and survey links: at least 16 characters, "
        "the same for all processes; needed by each started on its own, while `rapport up` makes one in "
        "<data_dir>/secret.key.",
    )
    accepted_secret_keys: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Further keys whose signatures count, comma-separated: the former ones, and one to come.",
    )
    grpc_threads: int = Field(
        16, ge=1, le=1000, description="Threads that serve unary calls in one API process."
    )
    event_streams: int = Field(
        32, ge=1, le=1000, description="Event streams that one API process serves at once."
    )
    event_streams_per_caller: int = Field(
        16, ge=1, le=1000, description="Event streams one caller may hold at once."
    )
    max_message_bytes: int = Field(
        8 << 20, ge=1 << 16, le=1 << 30, description="Largest gRPC message accepted."
    )
    default_deadline_seconds: float = Field(30.0, gt=0, description="Deadline of calls between services.")
    shutdown_grace_seconds: float = Field(
        10.0, ge=0, description="How long a stopping process lets calls finish."
    )
    event_retention_days: int = Field(30, ge=1, description="How long delivered events are kept for replay.")
    profile_history_days: int = Field(
        400,
        ge=1,
        le=36_500,
        description="How far back rules can be asked about attributes, tags, consents and traits.",
    )
    membership_history_days: int = Field(
        800, ge=1, le=36_500, description="How far back memberships of segments can be asked about."
    )
    rule_batch_seconds: float = Field(
        10.0,
        gt=0,
        le=3600,
        description="How long rules of segments may take for a batch of at most 500 contacts; a segment whose rule "
        "takes longer by itself is set aside.",
    )
    rule_rebuild_seconds: float = Field(
        60.0,
        gt=0,
        le=86_400,
        description="How long the rule of a segment may take for all contacts when it is rebuilt, while changes of "
        "contacts wait; ten times as long where they need not wait.",
    )
    log_level: str = Field(
        "INFO", description="Least severe level that is logged: DEBUG, INFO, WARNING or ERROR."
    )
    log_format: str = Field(
        "json", pattern="^(json|console)$", description="Form of log lines: json or console."
    )
    otlp_endpoint: str = Field(
        "",
        validation_alias=AliasChoices(
            "RAPPORT_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
        ),
        description="Collector that takes traces by OTLP over HTTP, such as http://collector:4318; empty records none. "
        "OTEL_EXPORTER_OTLP_ENDPOINT does as well.",
    )
    trace_ratio: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of the traces begun here that is recorded, 0 to 1; others follow whoever called.",
    )
    plugins_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Plugins to load, by distribution or entry-point name, comma-separated; empty means all installed.",
    )
    plugins_required: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Plugins without which a process refuses to start, comma-separated."
    )
    mail_domain: str = Field(
        "rapport.localhost", description="Domain of sender, reply and unsubscribe addresses."
    )
    public_web_url: str = Field(
        "",
        description="Address under which people reach the links in messages, such as https://go.example.com; "
        "empty: links are not tracked and people unsubscribe by mail.",
    )
    inbound_mail_host: str = Field(
        "127.0.0.1", description="Address on which care takes inbound mail by SMTP."
    )
    web_host: str = Field(
        "127.0.0.1", description="Address on which campaign answers the links of messages by HTTP."
    )
    web_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses or networks of the reverse proxies before campaign's links, comma-separated, whose "
        "X-Forwarded-For is believed.",
    )
    web_language: str = Field(
        "en",
        pattern="^(en|vi|zh-Hans|zh-Hant)$",
        description="Language of campaign's pages behind links, such as for unsubscribing, for who has none of theirs: "
        "en, vi, zh-Hans or zh-Hant.",
    )
    interaction_retention_days: int = Field(
        400, ge=1, le=36_500, description="How long openings and clicks of messages are kept one by one."
    )
    soft_bounce_limit: int = Field(
        5, ge=1, le=1000, description="So many soft bounces put an address on the suppression list."
    )
    soft_bounce_days: int = Field(30, ge=1, le=3650, description="Within how many days soft bounces add up.")

    @field_validator(
        *("plugins_allow", "plugins_required", "web_proxies", "oidc_audience", "oidc_algorithms"),
        "accepted_secret_keys",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("amqp_url")
    @classmethod
    def _check_amqp_url(cls, value: str) -> str:
        if value:
            try:
                parse_address(value)
            except InvalidArgument as error:
                raise ValueError(error.message) from error
        return value

    @field_validator("public_web_url")
    @classmethod
    def _check_web_url(cls, value: str) -> str:
        value = value.rstrip("/")
        if value and not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*", value):
            raise ValueError(
                "expected http:// or https://, a host and perhaps a path, such as https://go.example.com"
            )
        return value

    @field_validator("oidc_algorithms")
    @classmethod
    def _check_algorithms(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or set(value) - SIGNATURE_ALGORITHMS:
            raise ValueError(f"expected some of {', '.join(sorted(SIGNATURE_ALGORITHMS))}")
        return value

    @field_validator("clock")
    @classmethod
    def _check_clock(cls, value: str) -> str:
        try:
            parse_clock(value)
        except InvalidArgument as error:
            raise ValueError(error.message) from error
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _check_otlp_endpoint(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("expected an address such as http://collector:4318")
        return value

    @field_validator("time_zone")
    @classmethod
    def _check_time_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("no such time zone; expected an IANA name, such as Asia/Ho_Chi_Minh") from error
        if value in ("CET", "EET", "EST", "HST", "MET", "MST", "WET"):
            raise ValueError("PostgreSQL takes it for a fixed offset; name a place, such as Europe/Brussels")
        return value

    @field_validator("log_level")
    @classmethod
    def _check_log_level(cls, value: str) -> str:
        if value.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError("expected DEBUG, INFO, WARNING or ERROR")
        return value

    @property
    def own_base_port(self) -> int:
        """Return the port from which those of this replica follow."""
        return self.base_port + REPLICA_PORT_OFFSET * self.replica

    def port(self, service: str) -> int:
        """Return the API port of a service, on which this replica listens."""
        return self.own_base_port + 1 + SERVICES.index(service)

    def events_port(self, service: str) -> int:
        """Return the event stream port of a service."""
        return self.port(service) + EVENTS_PORT_OFFSET

    def metrics_port(self, service: str, role: str) -> int:
        """Return the metrics port of a process; role is `api`, `worker` or campaign's `web`."""
        if role == "web":
            return self.own_base_port + 47
        return self.port(service) + (20 if role == "api" else 30)

    @property
    def inbound_mail_port(self) -> int:
        """Return the port on which care takes inbound mail."""
        return self.own_base_port + 45

    @property
    def web_port(self) -> int:
        """Return the port on which campaign answers the links of messages."""
        return self.own_base_port + 46

    def service_address(self, service: str) -> str:
        """Return the address on which clients reach a service's API, as gRPC takes it."""
        return self._location().api(service)

    def service_events_address(self, service: str) -> str:
        """Return the address on which workers reach a service's event stream, as gRPC takes it."""
        return self._location().events(service)

    def _location(self) -> Location:
        from rapport_client.config import Location  # and gRPC with it, which most commands do not need

        own = f"{self.host}:{{port}}"
        return Location(self.address or own, self.events_address or own, self.base_port, "")

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Leave out what may hold a secret: settings are shown wherever something that holds them is."""
        return [(name, value) for name, value in super().__repr_args__() if not is_secret(name or "")]

    def service_database_url(self, service: str) -> str:
        """Return the SQLAlchemy URL of a service's database; raises InvalidArgument when it is not set."""
        url: str = getattr(self, f"{service}_database_url")
        if not url:
            admin = (
                "; RAPPORT_DATABASE_URL is the administrator's, with which `rapport up` and `rapport migrate` make the "
                "databases, and a process on its own does not use it"
                if self.database_url
                else ""
            )
            raise InvalidArgument(
                f"no database for {service}: set RAPPORT_{service.upper()}_DATABASE_URL, "
                f"or start the stack with `rapport up`{admin}",
                reason="NO_DATABASE",
            )
        scheme, separator, rest = url.partition("://")
        return f"postgresql+psycopg://{rest}" if separator and scheme in ("postgres", "postgresql") else url

    @property
    def effective_tokens_file(self) -> Path:
        """Return the token file, by default in the data folder."""
        return self.tokens_file or self.data_dir / "tokens.json"


def load_settings(**overrides: object) -> Settings:
    """Read the settings from the environment; raises InvalidArgument that names each bad variable."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(map(describe, error.errors()))
        raise InvalidArgument(f"bad settings: {problems}", reason="INVALID_SETTINGS") from error
