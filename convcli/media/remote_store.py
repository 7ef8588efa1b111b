"""Access to `obstore`: stores with the credentials of the environment, and errors in words.

`obstore` takes credentials, regions and endpoints from AWS_*, GOOGLE_* and AZURE_*, as the programs
of these providers do, and repeats a request that failed on the way, with growing pauses.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from convcli.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convcli.errors import ConvcliError
    from convcli.media.remote import RemotePlace

# How often a request is repeated; 10 of them take up to 15 s in all where nobody answers.
RETRIES_VARIABLE = "CONVCLI_STORE_RETRIES"
_RETRIES = 10
# Time limit of a request; a part of 16 MiB then needs 140 KB/s.
_LONGEST_REQUEST = timedelta(minutes=2)
_TRUE = ("1", "true", "yes", "on")
# Segments between the slashes of a key that `obstore` refuses.
_ODD_SEGMENTS = ("", ".", "..")
_UNSENT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


class StoredObject(NamedTuple):
    """An object in an open store.

    store : of `obstore`
    key : of the object in it
    """

    store: Any
    key: str


def open_store(place: RemotePlace) -> StoredObject:
    """The store of a place. RequestError where `obstore` is missing, or for an impossible name."""
    if not place.is_in_bucket:
        return StoredObject(_server(place.url, str(place)), "")
    segments = place.key.split("/")
    if segments[-1] == "":
        raise RequestError(
            f"expected an object, got {place}", hint=f"{place.scheme}://bucket/folder/file.wav"
        )
    if not set(segments).isdisjoint(_ODD_SEGMENTS):
        raise RequestError(f"{place}: a key with an empty name, . or .. between slashes")
    return StoredObject(open_bucket(place), place.key)


def open_bucket(place: RemotePlace) -> Any:
    """The store of the bucket of a place. Raises the RequestError of `open_store`."""
    if not place.bucket:
        raise RequestError(f"{place} names no bucket", hint=f"{place.scheme}://bucket/key")
    if _UNSENT.search(str(place)):
        raise RequestError(f"{place}: control characters, and bytes that are not UTF-8, in a key")
    return _bucket(place.scheme, place.bucket)


@lru_cache(64)
def _bucket(scheme: str, bucket: str) -> Any:
    stores = obstore_module("obstore.store")
    kinds = {"s3": stores.S3Store, "gs": stores.GCSStore, "az": stores.AzureStore}
    prefix = _PROVIDERS[scheme].variables
    allowed = os.environ.get(f"{prefix}_ALLOW_HTTP", "").lower() in _TRUE
    options = _client_options(allow_http=allowed)
    try:
        return kinds[scheme](bucket, **options)
    except obstore_module("obstore.exceptions").BaseError as error:
        raise _cause_of(error).error(f"{scheme}://{bucket}", scheme, RequestError) from None


@lru_cache(64)
def _server(url: str, shown: str) -> Any:
    """The file at an address as a store of its own, so that the address is sent as it is.

    shown : the address without secrets, for messages
    """
    stores = obstore_module("obstore.store")
    try:
        return stores.HTTPStore(
            url, **_client_options(allow_http=url.lower().startswith("http://"))
        )
    except (obstore_module("obstore.exceptions").BaseError, ValueError):
        raise RequestError(f"{shown} is not an address of a web server") from None


def _client_options(*, allow_http: bool) -> dict[str, Any]:
    retries = os.environ.get(RETRIES_VARIABLE, "")
    if retries and not retries.isdecimal():
        raise RequestError(f"{RETRIES_VARIABLE} expects a number, got {retries!r}")
    return {
        "client_options": {"allow_http": allow_http, "timeout": _LONGEST_REQUEST},
        "retry_config": {"max_retries": int(retries or _RETRIES)},
    }


def obstore_module(name: str = "obstore") -> Any:
    """The library, or a module of it. RequestError says how to install it."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise RequestError(
            "URLs such as s3:// and https:// need the package obstore",
            hint="pip install 'convcli[cloud]'",
        ) from None


# ------------------------------------------------------------------------------- errors in words


class _Provider(NamedTuple):
    """What a hint says of a provider.

    variables : how the names of its variables begin
    credentials : how credentials are given
    server : how the server is named
    plain_http : how a server without TLS is allowed
    """

    variables: str
    credentials: str
    server: str
    plain_http: str


_PROVIDERS = {
    "s3": _Provider(
        "AWS",
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; "
        "AWS_SKIP_SIGNATURE=true reads a public bucket",
        "AWS_REGION names the region, AWS_ENDPOINT_URL another server than Amazon's",
        "AWS_ALLOW_HTTP=true allows it",
    ),
    "gs": _Provider(
        "GOOGLE",
        "set GOOGLE_APPLICATION_CREDENTIALS; GOOGLE_SKIP_SIGNATURE=true reads a public bucket",
        "GOOGLE_BASE_URL names another server than Google's",
        "GOOGLE_ALLOW_HTTP=true allows it",
    ),
    "az": _Provider(
        "AZURE",
        "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY; "
        "AZURE_SKIP_SIGNATURE=true reads a public container",
        "AZURE_STORAGE_ACCOUNT_NAME names the account, AZURE_STORAGE_ENDPOINT another server",
        "AZURE_ALLOW_HTTP=true allows it",
    ),
}


class _Cause(NamedTuple):
    """Why a request failed.

    sign : what an error with this cause matches: the name of its class, then its text
    message : with the {name} of the place, the {answer} of the server and the {key} of an object
    hint : the field of `_Provider` that the hint shows; None for no hint
    passing : the same request may succeed later
    """

    sign: str
    message: str
    hint: str | None = None
    passing: bool = False

    def error(self, name: str, scheme: str, kind: Callable[..., ConvcliError]) -> ConvcliError:
        """The error of class `kind` about the place `name`, with the hint for its provider."""
        provider = _PROVIDERS.get(scheme)
        hint = None
        if provider is not None and self.hint is not None:
            hint = provider._asdict()[self.hint]
        error = kind(self.message.replace("{name}", name), hint=hint)
        error.may_pass = self.passing
        return error


_NO_BUCKET = "<Code>(NoSuchBucket|ContainerNotFound)<"
_LOST = "IncompleteMessage|IncompleteBody|UnexpectedEof|ConnectionReset|kind: (Interrupted|Request)"
# An error has the first of these causes whose sign matches.
_CAUSES = (
    _Cause(_NO_BUCKET, "{name}: there is no such bucket", "server"),
    _Cause("^FileNotFoundError", "there is no {name}"),
    _Cause(
        "^InvalidPathError",
        "{name}: the key {key} has an empty name, . or .. between slashes; rename the object, or "
        "name the others by --files-from",
    ),
    # The addresses at which machines of the providers ask for credentials.
    _Cause(
        r"169\.254\.169\.254|169\.254\.170\.2|metadata\.google|TokenRequest",
        "{name}: no credentials were found",
        "credentials",
    ),
    _Cause("MissingAccount", "{name}: no account is named", "credentials"),
    _Cause(
        "<Code>(InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|"
        "AuthenticationFailed)<",
        "{name}: the credentials were refused",
        "credentials",
    ),
    _Cause(
        "<Code>(PermanentRedirect|AuthorizationHeaderMalformed)<",
        "{name}: the bucket is in another region",
        "server",
    ),
    _Cause(
        "^(PermissionDenied|Unauthenticated)Error|status code: 40[13]",
        "{name}: permission denied",
        "credentials",
    ),
    _Cause("^PreconditionError", "{name} changed while it was read", passing=True),
    _Cause("status code: (5|408|429)", "{name}: the server answered {answer}", passing=True),
    _Cause("status code: ", "{name}: the server answered {answer}"),
    _Cause("BadScheme", "{name}: the server has no TLS, which has to be allowed", "plain_http"),
    _Cause("dns error", "{name}: there is no server of this name", "server", passing=True),
    _Cause(
        "ConnectionRefused", "{name}: the server refused the connection", "server", passing=True
    ),
    _Cause("TimedOut|kind: Timeout", "{name}: the server did not answer in time", passing=True),
    _Cause("Certificate", "{name}: the certificate of the server is not trusted"),
    _Cause("InvalidContentType", "{name}: the server does not speak TLS", "server"),
    _Cause("kind: Connect", "{name}: there is no connection to the server", "server", passing=True),
    _Cause(_LOST, "{name}: the connection was lost", passing=True),
)
_UNKNOWN = _Cause("", "{name}: the store failed")
# Parts of the text of an error of the library that a message quotes.
_ANSWER = re.compile(r"status code: (\d{3}(?: [A-Za-z-]+)*)")
_KEY = re.compile(r'Path "(.*?)" contained')


def _cause_of(error: Exception) -> _Cause:
    text = f"{type(error).__name__}: {error}"
    found = next((cause for cause in _CAUSES if re.search(cause.sign, text)), _UNKNOWN)
    message = found.message
    for field, sign in (("{answer}", _ANSWER), ("{key}", _KEY)):
        quoted = sign.search(text)
        if quoted is not None:
            message = message.replace(field, quoted[1])
    return found._replace(message=message)


@contextmanager
def in_words(place: RemotePlace, kind: Callable[..., ConvcliError]) -> Iterator[None]:
    """Raise `kind` with the name of the place and a cause in words for an error of `obstore`.

    The text of the library is never shown: it holds its source code and the secrets of URLs.
    """
    failures = obstore_module("obstore.exceptions").BaseError
    try:
        yield
    except (failures, FileNotFoundError, ValueError) as error:
        raise _cause_of(error).error(str(place), place.scheme, kind) from None


def tells_missing_bucket(error: Exception) -> bool:
    """Whether an error of `obstore` says that there is no bucket."""
    return re.search(_NO_BUCKET, str(error)) is not None


def tells_unusable_range(error: Exception) -> bool:
    """Whether an object is there without the range that was asked for.

    An empty object has none, and some servers send none.
    """
    return type(error).__name__ == "NotSupportedError" or "status code: 416" in str(error)
