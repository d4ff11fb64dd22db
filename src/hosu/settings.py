"""Settings: frozen values, one class a component, read once at the door (the command line) and passed down.

A value comes from `.env`, is overruled by the environment, and that by a flag. The names of the original
specification are kept (``LIVE_KIS_APP_KEY`` …); hosu's own begin with ``HOSU_``. ``.env.example`` lists every one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from hosu.errors import InputError, SettingsError
from hosu.homes import at_home

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONFIG = SettingsConfigDict(
    env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", frozen=True
)


class KisSettings(BaseSettings):
    """Keys and manners towards the broker."""

    model_config = _CONFIG

    live_app_key: SecretStr | None = Field(
        None, validation_alias="LIVE_KIS_APP_KEY", description="app key of the live account, 36 characters"
    )
    live_app_secret: SecretStr | None = Field(
        None, validation_alias="LIVE_KIS_APP_SECRET", description="its secret, 180 characters"
    )
    paper_app_key: SecretStr | None = Field(
        None, validation_alias="PAPER_KIS_APP_KEY", description="app key of the paper-trading account"
    )
    paper_app_secret: SecretStr | None = Field(None, validation_alias="PAPER_KIS_APP_SECRET", description="its secret")
    customer_type: Literal["P", "B"] = Field(
        "P", validation_alias="HOSU_CUSTOMER_TYPE", description="P person, B corporation"
    )
    user_agent: str = Field(
        "hosu", validation_alias="HOSU_USER_AGENT", description="User-Agent of REST calls; the broker refuses some"
    )
    calls_per_second: float | None = Field(
        None,
        validation_alias="HOSU_CALLS_PER_SECOND",
        gt=0,
        le=20,
        description="REST calls a second of one key; unset: the broker's dated limit less some headroom",
    )

    @field_validator("live_app_key", "live_app_secret", "paper_app_key", "paper_app_secret", mode="before")
    @classmethod
    def _no_blank_secret(cls, value: object) -> object:
        """An empty line in `.env` means unset; blanks around a pasted key are a mistake that costs an hour."""
        return (value.strip() or None) if isinstance(value, str) else value


class LakeSettings(BaseSettings):
    """Where the lake is and how to reach it."""

    model_config = _CONFIG

    root: str = Field(
        "lake", validation_alias="HOSU_LAKE", description="the lake's root: a folder or s3://bucket/prefix"
    )
    s3_bucket: str | None = Field(
        None, validation_alias="S3_BUCKET", description="bucket of the lake; used when HOSU_LAKE is not set"
    )
    aws_access_key_id: SecretStr | None = Field(None, validation_alias="AWS_ACCESS_KEY_ID", description="S3 access key")
    aws_secret_access_key: SecretStr | None = Field(
        None, validation_alias="AWS_SECRET_ACCESS_KEY", description="its secret"
    )
    aws_region: str | None = Field(None, validation_alias="AWS_REGION", description="S3 region")
    aws_endpoint_url: str | None = Field(
        None, validation_alias="AWS_ENDPOINT_URL", description="address of an S3 endpoint that is not Amazon's"
    )
    sql_memory_mib: int = Field(
        1024,
        validation_alias="HOSU_SQL_MEMORY_MIB",
        ge=64,
        description="memory in MiB that one SQL query may use; more spills to disk",
    )

    def resolved_root(self) -> str:
        """The lake's root: HOSU_LAKE when set, else ``s3://S3_BUCKET``, else the folder ``lake``."""
        if "root" not in self.model_fields_set and self.s3_bucket:
            return f"s3://{self.s3_bucket}"
        return self.root

    def storage_options(self) -> dict[str, str]:
        """Options for an S3 root, in the names that delta-rs and obstore share; empty values are left out."""
        secret = self.aws_secret_access_key
        options = {
            "aws_access_key_id": self.aws_access_key_id.get_secret_value() if self.aws_access_key_id else None,
            "aws_secret_access_key": secret.get_secret_value() if secret else None,
            "aws_region": self.aws_region,
            "aws_endpoint_url": self.aws_endpoint_url,
            "aws_allow_http": "true" if (self.aws_endpoint_url or "").startswith("http://") else None,
        }
        return {name: value for name, value in options.items() if value is not None}


class CollectSettings(BaseSettings):
    """What is collected, and where its log stands until the lake has it."""

    model_config = _CONFIG

    state: Path | None = Field(
        None,
        validation_alias="HOSU_STATE",
        description="folder of the log and the status; default: .hosu in the lake's folder, else ~/.local/state/hosu",
    )
    cache: Path = Field(
        Path("~/.cache/hosu"),
        validation_alias="HOSU_CACHE",
        description="folder of tokens and locks, shared by all processes of a user",
    )
    poll_seconds: float = Field(
        60.0,
        validation_alias="HOSU_POLL_SECONDS",
        ge=1,
        description="seconds between REST snapshots of a streamed symbol, a witness of what the stream may have missed",
    )
    disk_reserve_mb: int = Field(
        1024,
        validation_alias="HOSU_DISK_RESERVE_MB",
        ge=0,
        description="free space below which the lake stops writing; the log goes on until a quarter of it",
    )
    disk_warn_days: float = Field(
        7.0,
        validation_alias="HOSU_DISK_WARN_DAYS",
        ge=0,
        description="warn when the disk would be full within so many days at its present growth; 0: never",
    )
    raw_budget_gib: float | None = Field(
        None,
        validation_alias="HOSU_DISK_RAW_BUDGET_GIB",
        gt=0,
        description="warn when the lake's raw tables hold more than so many GiB; unset: never",
    )

    @property
    def raw_budget_bytes(self) -> int | None:
        """The budget of the raw tables; None for none."""
        return None if self.raw_budget_gib is None else round(self.raw_budget_gib * (1 << 30))

    @field_validator("cache", "state")
    @classmethod
    def _expand(cls, value: Path | None) -> Path | None:
        try:
            return at_home(value) if value is not None else None
        except InputError as error:
            raise ValueError(error.fault) from None


class MlflowSettings(BaseSettings):
    """Where the registry is mirrored to."""

    model_config = _CONFIG

    uri: SecretStr | None = Field(
        None,
        validation_alias="HOSU_MLFLOW_URI",
        description="MLflow server that the models' registry is mirrored to: http://user:password@host:5000",
    )
    name: str = Field(
        "hosu",
        validation_alias="HOSU_MLFLOW_NAME",
        description="first part of the names there (hosu-day-1); two lakes on one server want two",
    )
    by_itself: bool = Field(
        True,
        validation_alias="HOSU_MIRROR",
        description="0: commands leave the mirror alone, as for a lake to try things in; `hosu models mirror` works",
    )


class LogSettings(BaseSettings):
    """How much hosu says about itself."""

    model_config = _CONFIG

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias="LOG_LEVEL", description="DEBUG, INFO, WARNING or ERROR"
    )

    format: Literal["auto", "text", "json"] = Field(
        "auto",
        validation_alias="HOSU_LOG_FORMAT",
        description="what stderr gets: text, json (an object a line), or auto: json where it is no terminal",
    )

    def as_json(self, terminal: bool) -> bool:
        """Whether stderr, which is a ``terminal`` or not, gets JSON."""
        return self.format == "json" or (self.format == "auto" and not terminal)

    @field_validator("level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.strip().upper() if isinstance(value, str) else value


ALL_SETTINGS: tuple[type[BaseSettings], ...] = (KisSettings, LakeSettings, CollectSettings, MlflowSettings, LogSettings)

Settings = TypeVar("Settings", bound=BaseSettings)


def load(kind: type[Settings], overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of one component.

    Args:
        kind: one of ``ALL_SETTINGS``.
        overrides: values from flags, by field name; those that are None count as not given.

    Raises:
        SettingsError: names the variable and what is wrong with it, never a secret's value.
    """
    aliases = {name: str(field.validation_alias) for name, field in kind.model_fields.items()}
    given = {aliases[name]: value for name, value in (overrides or {}).items() if value is not None}
    try:
        return kind(**given)
    except (ValidationError, UnicodeDecodeError) as error:
        raise _errors(kind, error)[0] from None


def faults(kind: type[BaseSettings]) -> list[SettingsError]:
    """Everything that is wrong with the settings of one component; ``load`` raises the first."""
    try:
        kind()
    except (ValidationError, UnicodeDecodeError) as error:
        return _errors(kind, error)
    return []


def _errors(kind: type[BaseSettings], error: ValidationError | UnicodeDecodeError) -> list[SettingsError]:
    if isinstance(error, UnicodeDecodeError):
        return [SettingsError(".env", f"is not UTF-8 text (byte {error.start})", ".env")]
    return [
        SettingsError(str(each["loc"][0]) if each["loc"] else kind.__name__, f"is malformed ({_fault(each['msg'])})")
        for each in error.errors(include_url=False, include_input=False)
    ]


def require(value: SecretStr | None, name: str) -> str:
    """The secret's text.

    Raises:
        SettingsError: it is not set.
    """
    if value is None:
        raise SettingsError(name, "is not set")
    return value.get_secret_value()


def _fault(message: str) -> str:
    message = message.removeprefix("Value error, ")  # pydantic's, before a sentence of ours
    return message[:1].lower() + message[1:]
