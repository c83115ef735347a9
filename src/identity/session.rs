//! A session of the patient's portal: for whom, and who sits before it, as the portal states it.
//!
//! The portal is trusted to know its users: it is what patients log in to. What it states is kept beside everything
//! that it asks: a session about one patient reaches no other record. Source: F.4 (4 to 6), J64.

use super::statement::AccessVisibility;
use crate::domain::consent::{Delegate, DelegateId, DelegateRole};
use crate::domain::ins::{Ins, mask};
use crate::refusal::{Refusal, Rule};

/// What a request of the portal is part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortalSession {
    /// Nobody is stated: the portal hands on the patient's own acts on their list, and reads no document.
    Unstated,
    Of {
        patient: Ins,
        user: PortalUser,
        visibility: AccessVisibility,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortalUser {
    Patient,
    Delegate(Delegate),
}

/// `X-On-Behalf-Of`, `X-Portal-User` and `X-Secret-Connection` as sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionHeaders<'a> {
    pub on_behalf_of: Option<&'a str>,
    pub user: Option<&'a str>,
    pub secret: Option<&'a str>,
}

impl PortalSession {
    /// Errors: `HeaderValue` for what cannot be read, and for a user of nobody.
    pub(super) fn read(headers: SessionHeaders<'_>) -> Result<Self, Refusal> {
        let Some(text) = headers.on_behalf_of else {
            return headers.refuse_any(Rule::HeaderValue, "nothing without X-On-Behalf-Of").map(|()| Self::Unstated);
        };
        let ins = text.strip_prefix("urn:oid:").unwrap_or(text).parse::<Ins>();
        let patient = ins.map_err(|error| {
            let expected = format!("urn:oid:OID|INS of the patient of the session: {error}");
            Refusal::new(Rule::HeaderValue, "header X-On-Behalf-Of", mask(text), expected)
        })?;
        let user = read_user(headers.user)?;
        let visibility = read_visibility(headers.secret)?;
        if user != PortalUser::Patient && visibility != AccessVisibility::Ordinary {
            let expected = "false, or no header: what is kept from those who act for the patient is the patient's";
            return Err(Refusal::new(Rule::HeaderValue, "header X-Secret-Connection", "true", expected));
        }
        Ok(Self::Of { patient, user, visibility })
    }

    pub fn patient(&self) -> Option<&Ins> {
        match self {
            Self::Unstated => None,
            Self::Of { patient, .. } => Some(patient),
        }
    }

    pub fn visibility(&self) -> AccessVisibility {
        match self {
            Self::Unstated => AccessVisibility::Ordinary,
            Self::Of { visibility, .. } => *visibility,
        }
    }
}

impl SessionHeaders<'_> {
    /// For whom these headers are not: whoever comes with one is told.
    pub(super) fn refuse_any(&self, rule: Rule, expected: &str) -> Result<(), Refusal> {
        let sent =
            [("X-On-Behalf-Of", self.on_behalf_of), ("X-Portal-User", self.user), ("X-Secret-Connection", self.secret)];
        match sent.into_iter().find(|(_, value)| value.is_some()) {
            Some((name, _)) => Err(Refusal::new(rule, format!("header {name}"), "the header", expected)),
            None => Ok(()),
        }
    }
}

fn read_user(text: Option<&str>) -> Result<PortalUser, Refusal> {
    // Never guessed: a header that is lost must not make the patient of somebody else.
    let mut words = text.unwrap_or_default().split(' ');
    let read = match (words.next(), words.next(), words.next()) {
        (Some(PATIENT), None, _) => Some(PortalUser::Patient),
        (Some(role), Some(id), None) => DelegateRole::from_word(role)
            .zip(id.parse::<DelegateId>().ok())
            .map(|(role, id)| PortalUser::Delegate(Delegate { role, id })),
        _ => None,
    };
    read.ok_or_else(|| {
        let expected = "patient, legal_representative ID or aidant ID; ID of 1 to 64 letters, digits and ._:-";
        Refusal::new(Rule::HeaderValue, "header X-Portal-User", "another value", expected)
    })
}

/// "Connexion secrète": a minor's, of which legal representatives and aidants see no trace.
fn read_visibility(text: Option<&str>) -> Result<AccessVisibility, Refusal> {
    match text {
        None | Some("false") => Ok(AccessVisibility::Ordinary),
        Some("true") => Ok(AccessVisibility::HiddenFromLegalRepresentatives),
        Some(other) => Err(Refusal::new(Rule::HeaderValue, "header X-Secret-Connection", other, "true or false")),
    }
}

const PATIENT: &str = "patient";

#[cfg(test)]
mod tests {
    use super::*;

    const INS: &str = "urn:oid:1.2.250.1.213.1.4.10|279035121518989";

    fn read<'a>(
        on_behalf_of: Option<&'a str>,
        user: Option<&'a str>,
        secret: Option<&'a str>,
    ) -> Result<PortalSession, String> {
        let read = PortalSession::read(SessionHeaders { on_behalf_of, user, secret });
        read.map_err(|refusal| format!("{}: {}, not {}", refusal.place, refusal.expected, refusal.found))
    }

    #[test]
    fn a_session_says_whose_it_is() {
        let patient = || "1.2.250.1.213.1.4.10|279035121518989".parse::<Ins>().unwrap();
        let of = |user, visibility| Ok(PortalSession::Of { patient: patient(), user, visibility });
        assert_eq!(read(None, None, None), Ok(PortalSession::Unstated));
        assert_eq!(read(Some(INS), Some("patient"), None), of(PortalUser::Patient, AccessVisibility::Ordinary));
        assert_eq!(
            read(Some(INS), Some("patient"), Some("true")),
            of(PortalUser::Patient, AccessVisibility::HiddenFromLegalRepresentatives)
        );
        for role in DelegateRole::ALL {
            let delegate = Delegate { role, id: "ens-42".parse().unwrap() };
            let user = format!("{} ens-42", role.word());
            let expected = of(PortalUser::Delegate(delegate), AccessVisibility::Ordinary);
            assert_eq!(read(Some(INS), Some(&user), Some("false")), expected);
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_no_ins_is_told() {
        for (on_behalf_of, user, secret, place) in [
            (Some("279035121518989"), None, None, "X-On-Behalf-Of"),
            (Some("1.2.250.1.213.1.4.10|279035121518988"), None, None, "X-On-Behalf-Of"),
            (Some(INS), None, None, "X-Portal-User"),
            (Some(INS), Some("aidant"), None, "X-Portal-User"),
            (Some(INS), Some("patient ens-42"), None, "X-Portal-User"),
            (Some(INS), Some("aidant a b"), None, "X-Portal-User"),
            (Some(INS), Some("doctor ens-42"), None, "X-Portal-User"),
            (Some(INS), Some("patient"), Some("yes"), "X-Secret-Connection"),
            (None, Some("patient"), None, "X-Portal-User"),
            (None, None, Some("true"), "X-Secret-Connection"),
            (Some(INS), Some("legal_representative ens-42"), Some("true"), "X-Secret-Connection"),
        ] {
            let told = read(on_behalf_of, user, secret).unwrap_err();
            assert!(told.contains(place) && !told.contains("27903512151"), "{told}");
        }
    }
}
