//! What went wrong with a request, in one line that says what to do about it.

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use storage::Error;

/// Where requests go, for errors.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) bucket: String,
    pub(crate) endpoint: String,
    pub(crate) region: String,
}

/// What S3 answered.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) code: &'a str,
    message: &'a str,
    /// Where the bucket is, if S3 says so.
    region: Option<&'a str>,
}

/// The answer, if there was one.
pub(crate) fn answer<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<Answer<'_>> {
    let SdkError::ServiceError(refused) = error else {
        return None;
    };
    Some(Answer {
        status: refused.raw().status().as_u16(),
        code: refused.err().code().unwrap_or_default(),
        message: refused.err().message().unwrap_or_default(),
        region: refused.raw().headers().get("x-amz-bucket-region"),
    })
}

impl Answer<'_> {
    /// Whether there is no such object. (Answers to `HEAD` have no body, so no code of their own.)
    pub(crate) fn is_missing(&self) -> bool {
        self.status == 404 && matches!(self.code, "" | "NoSuchKey" | "NotFound")
    }
}

/// The error of a request that was not served, retries included.
pub(crate) fn fault<E>(place: &Place, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let endpoint = &place.endpoint;
    if let Some(answer) = answer(error) {
        return refusal(place, &answer);
    }
    Error::Unavailable(match error {
        SdkError::TimeoutError(_) => format!("S3 at {endpoint} did not answer in time").into(),
        SdkError::DispatchFailure(_) => {
            format!("S3 at {endpoint} cannot be reached ({}): check `endpoint` and the network", root(error))
                .into()
        }
        SdkError::ResponseError(_) => {
            format!("what answers at {endpoint} does not speak S3, or broke off ({})", root(error)).into()
        }
        _ => format!("the request to S3 at {endpoint} could not be made ({})", root(error)).into(),
    })
}

/// The innermost cause: what is around it only says that the request failed.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn refusal(place: &Place, answer: &Answer<'_>) -> Error {
    let Place { bucket, endpoint, region } = place;
    let text = match answer.code {
        "NoSuchBucket" => {
            format!("there is no bucket `{bucket}` at {endpoint}: create it, or mend its name in the URL")
        }
        "InvalidAccessKeyId" | "NotSignedUp" => {
            format!("S3 at {endpoint} does not know the key: check AWS_ACCESS_KEY_ID")
        }
        "SignatureDoesNotMatch" => {
            format!("S3 at {endpoint} refuses the signature: check AWS_SECRET_ACCESS_KEY")
        }
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
            format!(
                "S3 at {endpoint} does not take the session token any more: renew AWS_SESSION_TOKEN and the keys"
            )
        }
        "RequestTimeTooSkewed" => {
            format!("the clock of this machine and that of S3 at {endpoint} differ too much: set the clock")
        }
        "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "IllegalLocationConstraintException" => {
            let right = answer
                .region
                .map_or_else(|| format!(" ({})", answer.message), |right| format!(": it is in `{right}`"));
            format!("the bucket `{bucket}` is not in the region `{region}`{right}; set `region` in the URL")
        }
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => denied(place),
        "" if answer.status == 403 => denied(place),
        "EntityTooLarge" | "QuotaExceeded" | "XMinioStorageFull" => {
            return Error::Full(format!("S3 at {endpoint}: {}", said(answer)).into());
        }
        "SlowDown" | "RequestTimeout" | "OperationAborted" => {
            return Error::Unavailable(format!("S3 at {endpoint}: {}", said(answer)).into());
        }
        _ if answer.status >= 500 || answer.status == 429 => {
            return Error::Unavailable(format!("S3 at {endpoint}: {}", said(answer)).into());
        }
        _ => format!("S3 at {endpoint} refuses: {}", said(answer)),
    };
    Error::Backend(text.into())
}

/// Also what a store says that knows the key, but not for this bucket.
fn denied(place: &Place) -> String {
    let Place { bucket, endpoint, .. } = place;
    format!(
        "the key may not use the bucket `{bucket}` at {endpoint}: let it list, read, write and delete there"
    )
}

fn said(answer: &Answer<'_>) -> String {
    format!("{} {} {}", answer.status, answer.code, answer.message).trim_end().to_owned()
}
