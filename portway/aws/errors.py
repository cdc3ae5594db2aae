"""What boto3 raises, as PortwayErrors that say which call failed and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from botocore import exceptions as raised

from portway.contract.address import THROTTLED
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

LOG_IN = (
    "log in (aws sso login), or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY"
)


class AwsCallError(PortwayError):
    """AWS answered a call with an error; ``code`` is AWS's own name for it."""

    def __init__(self, code: str, what: str, do: str = "") -> None:
        super().__init__(what, do=do)
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
        raise _answer(call, code, message) from error
    except (raised.BotoCoreError, ValueError) as error:
        raise _failure(call, error) from error


def one_line(text: str) -> str:
    """The text without line breaks and without AWS's encoded appendix."""
    return " ".join(text.partition("Encoded authorization failure message")[0].split())


def _answer(call: Call, code: str, message: str) -> AwsCallError:
    """The error for an answer that is an error."""
    if code in DENIED:
        return AwsCallError(
            code,
            f"{call.about}: access denied: these credentials may not call "
            f"{call.action} in {call.region} (AWS says: {message})",
            "attach the policy in the stack's output OperatorPolicyArn, or use other "
            "credentials; for a node that deploys to itself, update the stack of "
            "cloudformation/agent.yaml",
        )
    if code in EXPIRED:
        what = f"{call.about}: the AWS credentials have expired ({code})"
        return AwsCallError(code, what, LOG_IN)
    if code in REJECTED:
        what = f"{call.about}: AWS does not accept the credentials ({code}: {message})"
        return AwsCallError(code, what, LOG_IN)
    if code in THROTTLED:
        what = f"{call.about}: AWS throttles {call.action} in this account ({code})"
        return AwsCallError(code, what, "run again in a minute")
    what = f"{call.about}: {call.action} failed in {call.region}: {code}: {message}"
    return AwsCallError(code, what)


def _failure(call: Call, error: Exception) -> PortwayError:
    """The error for no answer at all."""
    reason = one_line(str(error))
    if isinstance(error, NO_CREDENTIALS):
        return PortwayError(
            f"{call.about}: there are no usable AWS credentials ({reason})", do=LOG_IN
        )
    if isinstance(error, WRONG_REGION):
        return PortwayError(
            f'{call.about}: "{call.region}" is not a region ({reason})',
            do="set AWS_REGION to one such as eu-central-1",
        )
    if isinstance(error, UNREACHABLE):
        return PortwayError(
            f"{call.about}: {call.action} did not reach AWS ({reason})",
            do=f"check the network, that {call.region} is the right region, and "
            "AWS_ENDPOINT_URL and HTTPS_PROXY if they are set",
        )
    return PortwayError(
        f"{call.about}: {call.action} failed: {reason}",
        do="check the AWS configuration",
    )
