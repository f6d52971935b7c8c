//! Buckets that are named in the host.

use aws_sdk_s3::config::{
    ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut,
};
use storage::Blobs;
use testkit::{
    S3Server,
    s3::{ACCESS_KEYS, DOMAIN, SECRET_KEY},
};
use types::{Secret, ShardId};

use super::*;

/// Sends what is meant for a host that no resolver knows to the server, after it was signed.
#[derive(Debug)]
struct Redirect {
    host: String,
    address: String,
}

impl Intercept for Redirect {
    fn name(&self) -> &'static str {
        "Redirect"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), aws_sdk_s3::error::BoxError> {
        let request = context.request_mut();
        let meant = request.uri().to_owned();
        assert!(meant.starts_with(&format!("http://{}/", self.host)), "{meant}");
        request.set_uri(meant.replacen(&self.host, &self.address, 1))?;
        request.headers_mut().insert("host", self.host.clone());
        Ok(())
    }
}

#[tokio::test]
async fn a_bucket_may_be_named_in_the_host() {
    let server = S3Server::start("mail").await.unwrap();
    let address = server.address().to_string();
    let domain = format!("{DOMAIN}:{}", server.address().port());
    let url: S3Url = format!("s3://mail?endpoint=http://{domain}&path_style=false").parse().unwrap();
    let keys = S3Keys {
        id: ACCESS_KEYS[0].to_owned(),
        secret: Secret::new(SECRET_KEY.to_owned()),
        session_token: None,
        region: None,
    };
    let redirect = Redirect { host: format!("mail.{domain}"), address };
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    let config = Builder::new().http_client(http.build_https()).interceptor(redirect);
    let bucket = Bucket::new(&url, &keys, &S3Limits::default(), config).unwrap();
    let blobs = S3Blobs::open_with(&url, bucket, &S3Limits::default(), 1).await.unwrap();
    let large = Bytes::from(vec![1; PART_BYTES + 1]);
    for bytes in [Bytes::from_static(b"content"), Bytes::from_static(b"content"), large] {
        let id = blobs.put(ShardId(0), bytes.clone()).await.unwrap();
        let read: Vec<_> =
            blobs.open(ShardId(0), id, 0..u64::MAX).await.unwrap().unwrap().try_collect().await.unwrap();
        assert!(read.concat() == bytes);
        assert!(server.object("mail", &format!("blobs/0/{id}")).exists());
    }
}
