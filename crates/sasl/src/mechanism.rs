//! The mechanisms that are spoken here.

/// How a client shows who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 4422 appendix A: by the certificate that the client showed.
    External,
    /// RFC 7677, bound to the TLS connection by RFC 9266.
    ScramSha256Plus,
    /// RFC 7677
    ScramSha256,
    /// RFC 4616
    Plain,
    /// `draft-murchison-sasl-login`, still what many clients use.
    Login,
    /// RFC 7628
    OAuthBearer,
    /// The same before it was a standard.
    XOAuth2,
}

impl Mechanism {
    /// The best first: clients that have no opinion take the first that they know.
    pub const ALL: [Self; 7] = [
        Self::External,
        Self::ScramSha256Plus,
        Self::ScramSha256,
        Self::Plain,
        Self::Login,
        Self::OAuthBearer,
        Self::XOAuth2,
    ];

    /// As RFC 4422 §3.1 has it registered.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::External => "EXTERNAL",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::XOAuth2 => "XOAUTH2",
        }
    }

    /// By its name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// Whether it needs keys of the password that are kept beside its hash.
    #[must_use]
    pub const fn needs_keys(self) -> bool {
        match self {
            Self::ScramSha256Plus | Self::ScramSha256 => true,
            Self::External | Self::Plain | Self::Login | Self::OAuthBearer | Self::XOAuth2 => false,
        }
    }

    /// Whether it needs a client that has shown a certificate.
    #[must_use]
    pub const fn needs_certificate(self) -> bool {
        matches!(self, Self::External)
    }

    /// Whether it needs a connection that it can be bound to.
    #[must_use]
    pub const fn needs_binding(self) -> bool {
        match self {
            Self::ScramSha256Plus => true,
            Self::External
            | Self::ScramSha256
            | Self::Plain
            | Self::Login
            | Self::OAuthBearer
            | Self::XOAuth2 => false,
        }
    }
}
