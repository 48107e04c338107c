//! The value types of `wasi:http/types`.

use stockade_ipc::{Answer, HttpFault};
use wasmtime::component::{ComponentType, Lift, Lower};

#[derive(Clone, ComponentType, Lift, Lower)]
#[component(variant)]
pub(crate) enum Method {
    #[component(name = "get")]
    Get,
    #[component(name = "head")]
    Head,
    #[component(name = "post")]
    Post,
    #[component(name = "put")]
    Put,
    #[component(name = "delete")]
    Delete,
    #[component(name = "connect")]
    Connect,
    #[component(name = "options")]
    Options,
    #[component(name = "trace")]
    Trace,
    #[component(name = "patch")]
    Patch,
    #[component(name = "other")]
    Other(String),
}

impl Method {
    const NAMED: [(&str, Method); 9] = [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::Post),
        ("PUT", Method::Put),
        ("DELETE", Method::Delete),
        ("CONNECT", Method::Connect),
        ("OPTIONS", Method::Options),
        ("TRACE", Method::Trace),
        ("PATCH", Method::Patch),
    ];

    pub(super) fn text(self) -> String {
        match self {
            Self::Other(text) => text,
            named => {
                let same = |of: &Method| std::mem::discriminant(of) == std::mem::discriminant(&named);
                Self::NAMED.iter().find(|(_, of)| same(of)).map_or("", |(text, _)| *text).to_owned()
            }
        }
    }

    pub(super) fn of(text: &str) -> Method {
        let named = Self::NAMED.into_iter().find(|(name, _)| *name == text);
        named.map_or_else(|| Self::Other(text.to_owned()), |(_, method)| method)
    }
}

#[derive(Clone, ComponentType, Lift, Lower)]
#[component(variant)]
pub(crate) enum Scheme {
    #[component(name = "HTTP")]
    Http,
    #[component(name = "HTTPS")]
    Https,
    #[component(name = "other")]
    Other(String),
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(variant)]
pub(crate) enum HeaderError {
    #[component(name = "invalid-syntax")]
    InvalidSyntax,
    #[component(name = "forbidden")]
    Forbidden,
    #[component(name = "immutable")]
    Immutable,
}

#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct DnsErrorPayload {
    rcode: Option<String>,
    #[component(name = "info-code")]
    info_code: Option<u16>,
}

#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct TlsAlertReceivedPayload {
    #[component(name = "alert-id")]
    alert_id: Option<u8>,
    #[component(name = "alert-message")]
    alert_message: Option<String>,
}

#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct FieldSizePayload {
    #[component(name = "field-name")]
    field_name: Option<String>,
    #[component(name = "field-size")]
    field_size: Option<u32>,
}

#[derive(Clone, Debug, ComponentType, Lower)]
#[component(variant)]
#[expect(dead_code, reason = "the variant has to name every case in order, some of which never happen here")]
pub(crate) enum ErrorCode {
    #[component(name = "DNS-timeout")]
    DnsTimeout,
    #[component(name = "DNS-error")]
    DnsError(DnsErrorPayload),
    #[component(name = "destination-not-found")]
    DestinationNotFound,
    #[component(name = "destination-unavailable")]
    DestinationUnavailable,
    #[component(name = "destination-IP-prohibited")]
    DestinationIpProhibited,
    #[component(name = "destination-IP-unroutable")]
    DestinationIpUnroutable,
    #[component(name = "connection-refused")]
    ConnectionRefused,
    #[component(name = "connection-terminated")]
    ConnectionTerminated,
    #[component(name = "connection-timeout")]
    ConnectionTimeout,
    #[component(name = "connection-read-timeout")]
    ConnectionReadTimeout,
    #[component(name = "connection-write-timeout")]
    ConnectionWriteTimeout,
    #[component(name = "connection-limit-reached")]
    ConnectionLimitReached,
    #[component(name = "TLS-protocol-error")]
    TlsProtocolError,
    #[component(name = "TLS-certificate-error")]
    TlsCertificateError,
    #[component(name = "TLS-alert-received")]
    TlsAlertReceived(TlsAlertReceivedPayload),
    #[component(name = "HTTP-request-denied")]
    HttpRequestDenied,
    #[component(name = "HTTP-request-length-required")]
    HttpRequestLengthRequired,
    #[component(name = "HTTP-request-body-size")]
    HttpRequestBodySize(Option<u64>),
    #[component(name = "HTTP-request-method-invalid")]
    HttpRequestMethodInvalid,
    #[component(name = "HTTP-request-URI-invalid")]
    HttpRequestUriInvalid,
    #[component(name = "HTTP-request-URI-too-long")]
    HttpRequestUriTooLong,
    #[component(name = "HTTP-request-header-section-size")]
    HttpRequestHeaderSectionSize(Option<u32>),
    #[component(name = "HTTP-request-header-size")]
    HttpRequestHeaderSize(Option<FieldSizePayload>),
    #[component(name = "HTTP-request-trailer-section-size")]
    HttpRequestTrailerSectionSize(Option<u32>),
    #[component(name = "HTTP-request-trailer-size")]
    HttpRequestTrailerSize(FieldSizePayload),
    #[component(name = "HTTP-response-incomplete")]
    HttpResponseIncomplete,
    #[component(name = "HTTP-response-header-section-size")]
    HttpResponseHeaderSectionSize(Option<u32>),
    #[component(name = "HTTP-response-header-size")]
    HttpResponseHeaderSize(FieldSizePayload),
    #[component(name = "HTTP-response-body-size")]
    HttpResponseBodySize(Option<u64>),
    #[component(name = "HTTP-response-trailer-section-size")]
    HttpResponseTrailerSectionSize(Option<u32>),
    #[component(name = "HTTP-response-trailer-size")]
    HttpResponseTrailerSize(FieldSizePayload),
    #[component(name = "HTTP-response-transfer-coding")]
    HttpResponseTransferCoding(Option<String>),
    #[component(name = "HTTP-response-content-coding")]
    HttpResponseContentCoding(Option<String>),
    #[component(name = "HTTP-response-timeout")]
    HttpResponseTimeout,
    #[component(name = "HTTP-upgrade-failed")]
    HttpUpgradeFailed,
    #[component(name = "HTTP-protocol-error")]
    HttpProtocolError,
    #[component(name = "loop-detected")]
    LoopDetected,
    #[component(name = "configuration-error")]
    ConfigurationError,
    #[component(name = "internal-error")]
    InternalError(Option<String>),
}

/// What an answer means that is not the one that was hoped for.
impl From<Answer> for ErrorCode {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::HttpFailed(fault) => fault.into(),
            Answer::Denied => Self::HttpRequestDenied,
            _ => Self::InternalError(None),
        }
    }
}

impl From<HttpFault> for ErrorCode {
    fn from(fault: HttpFault) -> Self {
        match fault {
            HttpFault::Denied => Self::HttpRequestDenied,
            HttpFault::DnsTimeout => Self::DnsTimeout,
            HttpFault::DnsError => Self::DnsError(DnsErrorPayload { rcode: None, info_code: None }),
            HttpFault::AddressProhibited => Self::DestinationIpProhibited,
            HttpFault::Unreachable => Self::DestinationIpUnroutable,
            HttpFault::Refused => Self::ConnectionRefused,
            HttpFault::Terminated => Self::ConnectionTerminated,
            HttpFault::ConnectTimeout => Self::ConnectionTimeout,
            HttpFault::ReadTimeout => Self::ConnectionReadTimeout,
            HttpFault::LimitReached => Self::ConnectionLimitReached,
            HttpFault::TlsProtocol => Self::TlsProtocolError,
            HttpFault::TlsCertificate => Self::TlsCertificateError,
            HttpFault::TlsAlert => {
                Self::TlsAlertReceived(TlsAlertReceivedPayload { alert_id: None, alert_message: None })
            }
            HttpFault::RequestBodySize => Self::HttpRequestBodySize(None),
            HttpFault::ResponseIncomplete => Self::HttpResponseIncomplete,
            HttpFault::ResponseHeaderSize => Self::HttpResponseHeaderSectionSize(None),
            HttpFault::ResponseBodySize => Self::HttpResponseBodySize(None),
            HttpFault::ResponseTimeout => Self::HttpResponseTimeout,
            HttpFault::Protocol => Self::HttpProtocolError,
            HttpFault::Internal => Self::InternalError(None),
        }
    }
}
