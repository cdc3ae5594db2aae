"""What boto3 raises, as PortwayErrors that say which call failed and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from botocore import exceptions as raised

from portway.errors import PortwayError

NO_CREDENTIALS = (
    raised.CredentialRetrievalError,
    raised.LoginError,
    raised.MetadataRetrievalError,
    raised.NoAuthTokenError,
    raised.NoCredentialsError,
    raised.PartialCredentialsError,
    raised.ProfileNotFound,
    raised.SSOError,
    raised.TokenRetrievalError,
)
UNREACHABLE = (raised.ConnectionError, raised.HTTPClientError)
WRONG_REGION = (
    raised.BaseEndpointResolverError,
    raised.InvalidRegionError,
    raised.UnknownRegionError,
)

EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
REJECTED = (
    "AuthFailure",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
)
DENIED = (
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedAccess",
    "UnauthorizedOperation",
)
THROTTLED = ("RequestLimitExceeded", "Throttling", "ThrottlingException")

LOG_IN = (
    "log in (aws sso login), or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY"
)


class AwsCallError(PortwayError):
    """AWS answered a call with an error; ``code`` is AWS's own name for it."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Call:
    """One call to AWS, as errors describe it."""

    action: str
    """As IAM names it, such as ``ec2:DescribeInstances``."""
    about: str
    """What it was made for, such as ``stack messages``."""
    region: str


@contextmanager
def translate_aws_errors(call: Call) -> Iterator[None]:
    """Turn everything that boto3 raises inside into a PortwayError."""
    try:
        yield
    except raised.ClientError as error:
        details = error.response.get("Error", {})
        code = details.get("Code", "Unknown")
        message = one_line(details.get("Message", ""))
        raise AwsCallError(_answer(call, code, message), code) from error
    except (raised.BotoCoreError, ValueError) as error:
        raise PortwayError(_failure(call, error)) from error


def one_line(text: str) -> str:
    """The text without line breaks and without AWS's encoded appendix."""
    return " ".join(text.partition("Encoded authorization failure message")[0].split())


def _answer(call: Call, code: str, message: str) -> str:
    """What to say when AWS answers with an error."""
    if code in DENIED:
        return (
            f"{call.about}: access denied: these credentials may not call "
            f"{call.action} in {call.region}; attach the policy in the stack's output "
            f"OperatorPolicyArn, or use other credentials (AWS says: {message})"
        )
    if code in EXPIRED:
        return f"{call.about}: the AWS credentials have expired ({code}); {LOG_IN}"
    if code in REJECTED:
        return (
            f"{call.about}: AWS does not accept the credentials ({code}: {message}); "
            f"{LOG_IN}"
        )
    if code in THROTTLED:
        return (
            f"{call.about}: AWS throttles {call.action} in this account ({code}); "
            "run again in a minute"
        )
    return f"{call.about}: {call.action} failed in {call.region}: {code}: {message}"


def _failure(call: Call, error: Exception) -> str:
    """What to say when there was no answer at all."""
    said = one_line(str(error))
    if isinstance(error, NO_CREDENTIALS):
        return f"{call.about}: there are no usable AWS credentials ({said}); {LOG_IN}"
    if isinstance(error, WRONG_REGION):
        return (
            f'{call.about}: "{call.region}" is not a region ({said}); set AWS_REGION '
            "to one such as eu-central-1"
        )
    if isinstance(error, UNREACHABLE):
        return (
            f"{call.about}: {call.action} did not reach AWS ({said}); check the "
            f"network, that {call.region} is the region that was meant, and "
            "AWS_ENDPOINT_URL and HTTPS_PROXY if they are set"
        )
    return f"{call.about}: {call.action} failed: {said}; check the AWS configuration"
