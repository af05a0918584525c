"""kundig.toml: where things are kept, in which currency and zone, and the numbers every estimate rests on."""

from __future__ import annotations

from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from kundig.clock import time_zones
from kundig.config.base import FileKind, Record
from kundig.config.law import Role
from kundig.errors import nearest


class WorkspaceSettings(Record):
    """Who works here, and in which money and time."""

    name: str = Field(default="kundig", description="Name shown on pages and reports.")
    zone: str = Field(default="Europe/Berlin", description="Time zone of local days, weeks and quiet hours (IANA name).")
    currency: str = Field(default="EUR", pattern="^[A-Z]{3}$", description="Currency of all amounts (ISO 4217).")
    locale: Literal["de", "en"] = Field(default="de", description="Language of reports, and of copy for people whose language is not known.")
    locales: tuple[Literal["de", "en"], ...] = Field(default=("de", "en"), description="Languages that copy is made in.")
    country: str = Field(default="DE", pattern="^[A-Z]{2}$", description="Country of addresses and phone numbers without one (ISO 3166).")

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in time_zones():
            raise ValueError(f"unknown time zone '{value}'; {nearest(value, time_zones(), most=3)}")
        ZoneInfo(value)
        return value


class StoreSettings(Record):
    """Where tables and state are kept, and which engine computes."""

    catalogue: str = Field(default="data/lake.sqlite", description="Catalogue of the lake: a file below the workspace, or a PostgreSQL URL.")
    tables: str = Field(default="data/lake", description="Folder of the Parquet files.")
    state: str = Field(default="data/state.sqlite", description="State (consent log, outbox, leases, audit): a file, or a PostgreSQL URL.")
    inbox: str = Field(default="data/inbox.sqlite", description="Inbox of the HTTP intake: a file, or nats://… for a stream on a broker that several collectors share.")
    live: str = Field(default="data/live.sqlite", description="What was heard since the newest release; it is made again from the log where it is missing.")
    assets: str = Field(default="data/assets", description="Folder of content-addressed files.")
    engine: Literal["duckdb", "spark"] = Field(default="duckdb", description="Engine that runs the steps.")
    threads: int = Field(default=0, ge=0, description="Threads of DuckDB; 0: all cores.")
    memory: str = Field(default="60%", pattern=r"^\d+(%|MB|GB)$", description="Memory limit of DuckDB.")
    releases_kept: int = Field(default=14, ge=1, description="How many releases stay readable.")
    spark_master: str = Field(default="local[2]", description="Spark master, when the engine is spark.")


class ValueSettings(Record):
    """The numbers of lifetime value."""

    horizon_months: int = Field(default=12, ge=1, le=120, description="Months of future that a lifetime value counts.")
    discount_rate: float = Field(default=0.10, ge=0, lt=1, description="Yearly rate by which future money is discounted.")
    refit_days: int = Field(default=7, ge=1, description="Days after which models are fitted anew.")
    lifetime_model: Literal["auto", "bg_nbd", "mbg_nbd", "pareto_nbd", "season"] = Field(default="auto", description="Model of repeat purchases; auto chooses by holdout.")
    lifetime_groups: Literal["none", "acquisition_channel"] = Field(default="none", description="Groups of buyers that get parameters of their own, drawn to everybody's where a group is small; used where back-tests prefer them.")


class BrandSettings(Record):
    """How the brand addresses people."""

    name: str = Field(default="", description="Name in messages; the workspace's name where empty.")
    address: Literal["du", "sie"] = Field(default="du", description="German copy: du or Sie.")
    sender: str = Field(default="", description="Sender address of e-mail, such as shop@example.org.")
    imprint: str = Field(default="", description="Imprint line that commercial e-mail must carry.")
    website: str = Field(default="https://www.example.org", description="Base of links in messages.")
    preferences: str = Field(default="", description="Base of the links to preferences and unsubscribing: where the intake is reached from outside, such as https://in.example.org; the website where empty.")


class ServeSettings(Record):
    """Where pages and intake listen."""

    host: str = Field(default="127.0.0.1", description="Address; any but loopback demands a login.")
    port: int = Field(default=8700, ge=0, le=65_535, description="Port of pages and API.")
    intake_port: int = Field(default=8701, ge=0, le=65_535, description="Port of the intake.")
    role: Role = Field(default="owner", description="Whose rights the pages have, as they know no login: forms that write files ask whether this role may.")


class IntakeSettings(Record):
    """What the intake takes in over HTTP."""

    body_kb: int = Field(default=4_000, ge=1, le=64_000, description="Largest body of a request in kB (1,000 bytes), also once it is decompressed; beyond it 413.")
    events_per_second: int = Field(default=0, ge=0, description="Events a source may send each second before it is answered 429; 0: any number, and only the disk sets a limit.")
    disk_reserve_mb: int = Field(default=200, ge=0, description="Free space in MB below which nothing more is taken in (503), so that what was taken in can still land.")
    waiting_mb: int = Field(default=256, ge=1, description="Bodies in MB that may be held in memory at once; beyond it 503.")
    slow_seconds: int = Field(default=30, ge=1, description="Seconds within which a request's head, and then its body, must arrive.")
    proxies: tuple[str, ...] = Field(default=("127.0.0.1", "::1"), description="Addresses of reverse proxies whose X-Forwarded-For is believed.")


class WorkerSettings(Record):
    """What the worker does beside pages and intake, and how often."""

    land_seconds: float = Field(default=60.0, gt=0, description="Seconds after which what came in lands in the tables.")
    land_events: int = Field(default=100_000, ge=1, description="Events after which it lands before that.")
    live: bool = Field(default=True, description="Know people at once, before the next run. Off, landing alone bears several times as many events, and what people did is known after the next run.")
    fold_seconds: float = Field(default=0.3, gt=0, description="Seconds between two looks for new calls, of the fold that knows people before the next run.")
    follow_seconds: float = Field(default=5.0, gt=0, description="Seconds between two looks at a database whose changes are followed.")
    tend_seconds: float = Field(default=600.0, gt=0, description="Seconds between two looks whether small files are to be joined.")
    expire_hours: float = Field(default=0.0, ge=0, description="Hours between two deletions of rows that are older than their table says (kundig privacy expire); 0: the worker deletes nothing for its age.")
    requests_seconds: float = Field(default=20.0, gt=0, description="Seconds between two looks for requests about people's data that came over an interface.")
    patience_seconds: float = Field(default=600.0, ge=0, description="Seconds that a command waits while the worker writes.")


class PrivacySettings(Record):
    """Who signs what is answered and reported over OpenDSR."""

    private_key: str = Field(default="", description="RSA key in PEM that signs OpenDSR answers and reports of status, as `${NAME}` of secrets.toml; empty: nothing is signed.")
    certificate: str = Field(default="", description="PEM file of the key's certificate, those that it rests on behind it; it is served, and discovery names it.")
    domain: str = Field(default="", description="Domain of the processor; the first one of the certificate where empty.")

    @model_validator(mode="after")
    def _both(self) -> PrivacySettings:
        if bool(self.private_key) != bool(self.certificate):
            raise ValueError("private_key and certificate belong together; write both or neither")
        return self


class Settings(Record):
    """The whole of kundig.toml."""

    workspace: WorkspaceSettings = WorkspaceSettings()
    store: StoreSettings = StoreSettings()
    value: ValueSettings = ValueSettings()
    brand: BrandSettings = BrandSettings()
    serve: ServeSettings = ServeSettings()
    intake: IntakeSettings = IntakeSettings()
    worker: WorkerSettings = WorkerSettings()
    privacy: PrivacySettings = PrivacySettings()


FILES = (
    FileKind(name="settings", pattern="kundig.toml", model=Settings, meaning="Stores, engine, currency, zone, locale, brand, discount rate.", format="toml"),
)
