//! A line of the journal as an audit message: DICOM PS3.15 A.5 inside syslog (ITI-20), one frame of RFC 5425 each.
//!
//! Who, what, on whose record, which documents by their uniqueId: no title, no type, no reason, for the repository is
//! somebody else's. A line that cannot be read goes out as a security alert, so that it hides nothing behind it.

use std::io;

use quick_xml::Writer;

use super::event::{Action, Actor, EntryMention, Event, StatedToken, StatedUser};
use crate::domain::ids::UniqueId;
use crate::domain::ins::Ins;

/// Who sends.
#[derive(Debug, Clone)]
pub struct Source {
    /// HOSTNAME of the syslog header and AuditSourceID.
    pub host: String,
    /// How the gateway is reached.
    pub url: String,
}

/// The frame of one line: its length in octets, a space, the syslog message. Errors: a buffer in memory has none.
pub fn frame(source: &Source, position: i64, line: &str, patient: Option<&Ins>) -> io::Result<Vec<u8>> {
    let event = serde_json::from_str::<Event>(line).ok();
    let (xml, severity, at) = match &event {
        Some(event) => (of_event(source, event, patient)?, severity(event), event.at.to_string()),
        None => (alert(source, position)?, WARNING, NIL.to_owned()),
    };
    let priority = SECURITY * 8 + severity;
    let header = format!("<{priority}>1 {at} {} carnet - IHE+RFC-3881 - \u{feff}", source.host);
    let mut frame = format!("{} {header}", header.len() + xml.len()).into_bytes();
    frame.extend(xml);
    Ok(frame)
}

fn severity(event: &Event) -> u8 {
    if event.result.indicator() == "0" { NOTICE } else { WARNING }
}

fn of_event(source: &Source, event: &Event, patient: Option<&Ins>) -> io::Result<Vec<u8>> {
    let kind = kind_of(event.action);
    let at = event.at.to_string();
    message(|xml| {
        let outcome = event.result.indicator();
        let attributes =
            [("EventActionCode", kind.action), ("EventDateTime", at.as_str()), ("EventOutcomeIndicator", outcome)];
        xml.create_element("EventIdentification").with_attributes(attributes).write_inner_content(|xml| {
            code(xml, "EventID", (kind.id, "DCM", kind.meaning))?;
            code(xml, "EventTypeCode", (event.action.code(), "carnet", event.action.words()))?;
            let rules = event.result.rules();
            if !rules.is_empty() {
                let text = quick_xml::events::BytesText::new(&rules);
                xml.create_element("EventOutcomeDescription").write_text_content(text)?;
            }
            Ok(())
        })?;
        participants(xml, source, event, &kind)?;
        audit_source(xml, source)?;
        if let Some(ins) = patient {
            patient_object(xml, event, ins)?;
        }
        event.entries.iter().try_for_each(|entry| document_object(xml, entry))
    })
}

/// Event and roles of one action. Source: PS3.15 A.5.3; ITI TF-2, audit records of ITI-18, 41 and 43.
struct Kind {
    id: &'static str,
    meaning: &'static str,
    action: &'static str,
    /// Who acted and this gateway: source of the data, or destination.
    roles: (Role, Role),
}

type Role = (&'static str, &'static str, &'static str);

fn kind_of(action: Action) -> Kind {
    let sent = (SOURCE, DESTINATION);
    let (id, meaning, action, roles) = match action {
        Action::Deposit => ("110107", "Import", "C", sent),
        Action::Read | Action::Retrieve => ("110106", "Export", "R", (DESTINATION, SOURCE)),
        Action::Search | Action::Existence | Action::ListConsents | Action::ListDossiers => {
            ("110112", "Query", "E", sent)
        }
        Action::ReadJournal => ("110101", "Audit Log Used", "R", (DESTINATION, SOURCE)),
        Action::OpenDossier => ("110110", "Patient Record", "C", sent),
        Action::SetConsent | Action::SetLabel | Action::SetContact | Action::CloseDossier | Action::ReopenDossier => {
            ("110110", "Patient Record", "U", sent)
        }
        Action::NotifyPatient | Action::NotifyMedecinTraitant => ("110110", "Patient Record", "E", sent),
        Action::Request => ("110113", "Security Alert", "E", sent),
    };
    Kind { id, meaning, action, roles }
}

fn participants(xml: &mut Xml, source: &Source, event: &Event, kind: &Kind) -> io::Result<()> {
    let (id, name) = match &event.actor {
        Actor::Professional { ps_id, family, given, .. } => (ps_id.as_str(), format!("{given} {family}")),
        Actor::AirProfessional { ps_id, name, .. } => (ps_id.as_str(), name.clone()),
        Actor::Employee { card_id, name, .. } => (card_id.as_str(), name.clone()),
        Actor::Structure { struct_id, name } | Actor::PatientPortal { struct_id, name, .. } => {
            (struct_id.as_str(), name.clone())
        }
        Actor::Operator => ("operator", String::new()),
        Actor::System => ("system", String::new()),
        Actor::Unidentified { certificate_serial, .. } => (certificate_serial.as_str(), String::new()),
    };
    let mut attributes = vec![("UserID", id), ("UserIsRequestor", "true")];
    // Who really used it, although the act is the structure's (F.5).
    let user = match (&event.token, &event.actor) {
        (StatedToken::Presented { user, .. }, _) => Some(user),
        (_, Actor::PatientPortal { user: StatedUser::LegalRepresentative(id) | StatedUser::Aidant(id), .. }) => {
            Some(id)
        }
        _ => None,
    };
    if let Some(user) = user {
        attributes.insert(1, ("AlternativeUserID", user));
    }
    if !name.is_empty() {
        attributes.push(("UserName", &name));
    }
    xml.create_element("ActiveParticipant")
        .with_attributes(attributes)
        .write_inner_content(|xml| code(xml, "RoleIDCode", kind.roles.0))?;
    gateway(xml, source, Some(kind.roles.1))
}

fn gateway(xml: &mut Xml, source: &Source, role: Option<Role>) -> io::Result<()> {
    let attributes = [
        ("UserID", source.url.as_str()),
        ("UserIsRequestor", "false"),
        ("NetworkAccessPointID", source.host.as_str()),
        ("NetworkAccessPointTypeCode", "1"),
    ];
    xml.create_element("ActiveParticipant")
        .with_attributes(attributes)
        .write_inner_content(|xml| role.map_or(Ok(()), |role| code(xml, "RoleIDCode", role)))
        .map(drop)
}

fn audit_source(xml: &mut Xml, source: &Source) -> io::Result<()> {
    xml.create_element("AuditSourceIdentification")
        .with_attribute(("AuditSourceID", source.host.as_str()))
        .write_inner_content(|xml| {
            xml.create_element("AuditSourceTypeCode").with_attribute(("csd-code", "4")).write_empty().map(drop)
        })
        .map(drop)
}

/// The patient as HL7 names them (CX), and why the record was used.
fn patient_object(xml: &mut Xml, event: &Event, ins: &Ins) -> io::Result<()> {
    let id = format!("{}^^^&{}&ISO", ins.matricule(), ins.authority().oid());
    let attributes = [
        ("ParticipantObjectID", id.as_str()),
        ("ParticipantObjectTypeCode", "1"),
        ("ParticipantObjectTypeCodeRole", "1"),
    ];
    xml.create_element("ParticipantObjectIdentification")
        .with_attributes(attributes)
        .write_inner_content(|xml| {
            code(xml, "ParticipantObjectIDTypeCode", ("2", "RFC-3881", "Patient Number"))?;
            if let Some(purpose) = event.purpose.code() {
                let value = base64_simd::STANDARD.encode_to_string(purpose);
                let attributes = [("type", PURPOSE_OF_USE), ("value", value.as_str())];
                xml.create_element("ParticipantObjectDetail").with_attributes(attributes).write_empty()?;
            }
            Ok(())
        })
        .map(drop)
}

fn document_object(xml: &mut Xml, entry: &EntryMention) -> io::Result<()> {
    let id = entry.unique_id.parse::<UniqueId>().map_or_else(|_| entry.unique_id.clone(), |id| id.to_urn());
    let attributes = [
        ("ParticipantObjectID", id.as_str()),
        ("ParticipantObjectTypeCode", "2"),
        ("ParticipantObjectTypeCodeRole", "3"),
    ];
    xml.create_element("ParticipantObjectIdentification")
        .with_attributes(attributes)
        .write_inner_content(|xml| code(xml, "ParticipantObjectIDTypeCode", ("9", "RFC-3881", "Report Number")))
        .map(drop)
}

/// Says that the line at `position` is no line of ours.
fn alert(source: &Source, position: i64) -> io::Result<Vec<u8>> {
    message(|xml| {
        // The instant is unknown with the rest: the epoch stands for it.
        let attributes =
            [("EventActionCode", "E"), ("EventDateTime", "1970-01-01T00:00:00Z"), ("EventOutcomeIndicator", "8")];
        xml.create_element("EventIdentification").with_attributes(attributes).write_inner_content(|xml| {
            code(xml, "EventID", ("110113", "DCM", "Security Alert"))?;
            let text = format!("journal line {position} cannot be read");
            let text = quick_xml::events::BytesText::new(&text);
            xml.create_element("EventOutcomeDescription").write_text_content(text).map(drop)
        })?;
        gateway(xml, source, None)?;
        audit_source(xml, source)
    })
}

type Xml = Writer<Vec<u8>>;

fn message(inner: impl FnOnce(&mut Xml) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let mut xml = Writer::new(Vec::new());
    xml.create_element("AuditMessage").write_inner_content(inner)?;
    Ok(xml.into_inner())
}

fn code(xml: &mut Xml, name: &str, (code, system, meaning): Role) -> io::Result<()> {
    let attributes = [("csd-code", code), ("codeSystemName", system), ("originalText", meaning)];
    xml.create_element(name).with_attributes(attributes).write_empty().map(drop)
}

/// Facility of security and authorization messages (RFC 5424 section 6.2.1).
const SECURITY: u8 = 10;
const NOTICE: u8 = 5;
const WARNING: u8 = 4;
const NIL: &str = "-";
const SOURCE: Role = ("110153", "DCM", "Source Role ID");
const DESTINATION: Role = ("110152", "DCM", "Destination Role ID");
const PURPOSE_OF_USE: &str = "urn:oasis:names:tc:xspa:1.0:subject:purposeofuse";

#[cfg(test)]
mod tests {
    use quick_xml::Reader;
    use quick_xml::events::Event as Token;

    use super::*;
    use crate::journal::event::{Change, Connection, Outcome, StatedPurpose, Subject};

    fn source() -> Source {
        Source { host: "dmp.example".to_owned(), url: "https://dmp.example:8443".to_owned() }
    }

    fn event(action: Action, result: Outcome) -> Event {
        Event {
            at: "2026-03-12T13:05:00.123456Z".parse().unwrap(),
            actor: Actor::Professional {
                ps_id: "810000000029".to_owned(),
                family: "BERNARD <&\"".to_owned(),
                given: "Paul".to_owned(),
                profession: "10".to_owned(),
            },
            purpose: StatedPurpose::BrisDeGlace { reason: "inconscient".to_owned() },
            connection: Connection::Ordinary,
            action,
            dossier: Subject::Dossier("d".to_owned()),
            result,
            entries: vec![EntryMention {
                document: "0190a2b4-0000-7000-8000-000000000001".to_owned(),
                unique_id: "2.25.1".to_owned(),
                type_code: "11490-0".to_owned(),
                title: "Lettre de liaison".to_owned(),
            }],
            change: Change::None,
            token: StatedToken::None,
        }
    }

    fn sent(event: &Event) -> String {
        let ins: Ins = "1.2.250.1.213.1.4.10|279035121518989".parse().unwrap();
        String::from_utf8(frame(&source(), 7, &serde_json::to_string(event).unwrap(), Some(&ins)).unwrap()).unwrap()
    }

    /// Names of the elements in their order; the text is well-formed.
    fn elements(xml: &str) -> Vec<String> {
        let mut reader = Reader::from_str(xml);
        let mut names = Vec::new();
        loop {
            match reader.read_event().unwrap() {
                Token::Start(start) | Token::Empty(start) => {
                    start.attributes().for_each(|attribute| drop(attribute.unwrap()));
                    names.push(start.name().as_ref().to_owned());
                }
                Token::Eof => return names,
                _ => {}
            }
        }
    }

    #[test]
    fn a_frame_is_its_length_and_a_syslog_message_with_its_header() {
        let done = sent(&event(Action::Retrieve, Outcome::Done { rule: "F.4-10".to_owned() }));
        let (length, message) = done.split_once(' ').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), message.len());
        let header = "<85>1 2026-03-12T13:05:00.123456Z dmp.example carnet - IHE+RFC-3881 - \u{feff}<AuditMessage>";
        assert!(message.starts_with(header), "{message}");
        let denied = sent(&event(Action::Retrieve, Outcome::Denied { rule: "F.4-9 blocked".to_owned() }));
        assert!(denied.contains(" <84>1 ") || denied.contains("<84>1 "), "{denied}");
    }

    #[test]
    fn elements_stand_in_the_order_of_the_schema() {
        for action in Action::ALL {
            let text = sent(&event(action, Outcome::Refused { rules: vec!["a".to_owned()] }));
            let xml = text.split_once('\u{feff}').unwrap().1;
            let expected = [
                "AuditMessage",
                "EventIdentification",
                "EventID",
                "EventTypeCode",
                "EventOutcomeDescription",
                "ActiveParticipant",
                "RoleIDCode",
                "ActiveParticipant",
                "RoleIDCode",
                "AuditSourceIdentification",
                "AuditSourceTypeCode",
                "ParticipantObjectIdentification",
                "ParticipantObjectIDTypeCode",
                "ParticipantObjectDetail",
                "ParticipantObjectIdentification",
                "ParticipantObjectIDTypeCode",
            ];
            assert_eq!(elements(xml), expected, "{action:?}");
        }
    }

    #[test]
    fn no_title_and_no_reason_goes_out() {
        let text = sent(&event(Action::Retrieve, Outcome::NotFound));
        assert!(
            text.contains("urn:oid:2.25.1") && text.contains("279035121518989^^^&amp;1.2.250.1.213.1.4.10&amp;ISO")
        );
        assert!(!text.contains("Lettre") && !text.contains("inconscient"), "{text}");
    }

    #[test]
    fn a_line_that_cannot_be_read_is_an_alert_that_names_it() {
        let text = String::from_utf8(frame(&source(), 7, "{", None).unwrap()).unwrap();
        assert!(text.contains("<84>1 - dmp.example") && text.contains("journal line 7 cannot be read"), "{text}");
    }
}
