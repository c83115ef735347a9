//! What a handler gives back, before it is rendered in the format that was asked for.

use axum::body::Body;
use http::header::{HeaderName, LAST_MODIFIED, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use serde::Serialize;

use crate::refusal::{Failure, Fault};

/// An answer: a resource still in JSON, or bytes that are sent as they are.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub content: Content,
}

#[derive(Debug)]
pub enum Content {
    Empty,
    /// A FHIR resource as JSON.
    Resource(Vec<u8>),
    /// Not a resource, or one that was written in its final form; `headers` say what it is.
    Bytes(Body),
}

/// A failure with headers that must go with it (`Allow`, `Content-Range`).
#[derive(Debug)]
pub struct Declined {
    pub failure: Failure,
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

pub type Handled = Result<Answer, Declined>;

impl Answer {
    pub fn resource(resource: &impl Serialize) -> Result<Self, Fault> {
        let json = serde_json::to_vec(resource).map_err(|error| Fault::new("a resource was not written", error))?;
        Ok(Self { status: StatusCode::OK, headers: HeaderMap::new(), content: Content::Resource(json) })
    }

    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), content: Content::Empty }
    }

    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Adds a header that we build ourselves; one that HTTP cannot carry is left out.
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub fn located(self, url: &str) -> Self {
        self.with(LOCATION, url)
    }

    pub fn modified(self, at: Timestamp) -> Self {
        self.with(LAST_MODIFIED, &http_date(at))
    }
}

impl Declined {
    /// Of a request whose line is durable already.
    pub fn journaled(self) -> Self {
        Self { failure: self.failure.journaled(), ..self }
    }

    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).map(|value| (name, value)));
        self
    }
}

impl<T: Into<Failure>> From<T> for Declined {
    fn from(failure: T) -> Self {
        Self { failure: failure.into(), headers: Vec::new() }
    }
}

/// RFC 9110 section 5.6.7.
fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
