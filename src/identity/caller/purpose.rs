//! What a caller asks for, and for whom: the purpose of use, and the headers that say it. Source: C.4, contract 3.

use crate::identity::session::SessionHeaders;
use crate::identity::token::Token;
use crate::refusal::{Refusal, Rule};

/// TRE_R248.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    Normal,
    /// Life at risk, patient unable to express their will: the reason is written down.
    BrisDeGlace {
        reason: String,
    },
    /// Emergency regulation.
    Centre15,
}

/// Of those, what a structure without a named professional may state: it breaks no glass (C.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StructurePurpose {
    Normal,
    Centre15,
}

/// `X-Purpose-Of-Use` and `X-Access-Reason` as sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct PurposeHeaders<'a> {
    pub purpose: Option<&'a str>,
    pub reason: Option<&'a str>,
}

/// What a request may say of its caller beside certificate and token.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallerHeaders<'a> {
    pub purpose: PurposeHeaders<'a>,
    pub session: SessionHeaders<'a>,
}

impl<'a> CallerHeaders<'a> {
    /// Errors: `ModeRefused` where a session is stated.
    pub(super) fn of_no_session(self) -> Result<PurposeHeaders<'a>, Refusal> {
        let expected = "no such header: the patient's portal alone states for whom it asks";
        self.session.refuse_any(Rule::ModeRefused, expected).map(|()| self.purpose)
    }
}

impl Purpose {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::BrisDeGlace { .. } => "bris_de_glace",
            Self::Centre15 => "centre_15",
        }
    }
}

/// The token's purpose; a header may repeat it, and give the reason that a VIHF has no place for.
pub(super) fn purpose_of(token: Option<&Token>, headers: PurposeHeaders<'_>) -> Result<Purpose, Refusal> {
    let Some(token) = token else { return read_purpose(headers) };
    let stated = &token.statement.purpose;
    if let Some(header) = headers.purpose.filter(|header| *header != stated.code()) {
        let expected = format!("{}, as the token says, or no header", stated.code());
        return Err(Refusal::new(Rule::TokenMismatch, "header X-Purpose-Of-Use", header, expected));
    }
    Ok(match (stated, read_reason(headers)?) {
        (Purpose::BrisDeGlace { reason }, given) if reason.trim().is_empty() => {
            Purpose::BrisDeGlace { reason: given.unwrap_or_else(|| "not stated in the token".to_owned()) }
        }
        (stated, _) => stated.clone(),
    })
}

fn read_purpose(headers: PurposeHeaders<'_>) -> Result<Purpose, Refusal> {
    match headers.purpose.unwrap_or("normal") {
        "normal" => Ok(Purpose::Normal),
        "centre_15" => Ok(Purpose::Centre15),
        "bris_de_glace" => match read_reason(headers)? {
            Some(reason) => Ok(Purpose::BrisDeGlace { reason }),
            None => Err(Refusal::new(
                Rule::HeaderValue,
                "header X-Access-Reason",
                "nothing",
                "the reason of the bris de glace, in words",
            )),
        },
        other => {
            Err(Refusal::new(Rule::HeaderValue, "header X-Purpose-Of-Use", other, "normal, bris_de_glace or centre_15"))
        }
    }
}

/// What holds no letter and no digit is no reason.
fn read_reason(headers: PurposeHeaders<'_>) -> Result<Option<String>, Refusal> {
    let Some(reason) = headers.reason.map(str::trim).filter(|reason| reason.contains(char::is_alphanumeric)) else {
        return Ok(None);
    };
    if reason.contains(char::is_control) {
        let place = "header X-Access-Reason";
        return Err(Refusal::new(Rule::HeaderValue, place, "a control character", "the reason, in words on one line"));
    }
    Ok(Some(reason.chars().take(REASON_CHARS_MAX).collect()))
}

const REASON_CHARS_MAX: usize = 500;
