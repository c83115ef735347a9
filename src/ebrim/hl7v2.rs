//! HL7 v2.5 data types inside XDS slots: CX, XCN, XON, CXi, coded texts, PID fields. Source: A.3.
//!
//! Reading is wide (missing parts, any order of PID fields, CX-7 dates ignored: T-6); writing is one form.
//! `&` parts beyond the identifier of an authority are not read. Escapes `\F\ \S\ \T\ \R\ \E\` are undone
//! and made.

use std::fmt;
use std::str::FromStr;

use crate::domain::author::{AuthorPerson, Identifier, Institution, PersonKind};
use crate::domain::code::Code;
use crate::domain::document_entry::ReferenceId;
use crate::domain::dtm::Dtm;
use crate::domain::national_id::PS_ID_NAT_OID;
use crate::domain::patient::SourcePatientInfo;

/// Why a slot's value cannot be read: what was expected. Never carries the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Hl7Error(pub &'static str);

/// An identifier of a person: CX-1, CX-4 and CX-5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cx {
    pub id: String,
    pub authority: Option<String>,
    /// `NH` national, `PI` of the hospital.
    pub id_type: Option<String>,
}

/// A person or system: XCN-1 to 3, 9, 10, 13.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Xcn {
    pub id: Option<String>,
    pub family: Option<String>,
    pub given: Option<String>,
    pub authority: Option<String>,
    /// `D` a person, `U` a system.
    pub name_type: Option<String>,
    /// `IDNPS`, `EI`, `RI`, `NH`.
    pub id_type: Option<String>,
}

/// An institution: XON-1, 6, 7, 10.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Xon {
    pub name: Option<String>,
    pub authority: Option<String>,
    pub id_type: Option<String>,
    pub id: Option<String>,
}

/// `code^label^codingScheme`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodedText {
    pub code: String,
    pub label: Option<String>,
    pub system: Option<String>,
}

/// A reference: CXi-1, 4, 5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cxi {
    pub id: String,
    pub authority: Option<String>,
    pub kind: String,
}

impl FromStr for Cx {
    type Err = Hl7Error;

    fn from_str(text: &str) -> Result<Self, Hl7Error> {
        let parts = Parts::of(text);
        let id = parts.text(1).ok_or(Hl7Error("CX: identifier^^^&authority OID&ISO^type"))?;
        Ok(Self { id, authority: parts.authority(4), id_type: parts.text(5) })
    }
}

impl fmt::Display for Cx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = written_authority(self.authority.as_deref());
        f.write_str(&joined([&escaped(&self.id), "", "", &authority, &escaped_option(self.id_type.as_ref())]))
    }
}

impl FromStr for Xcn {
    type Err = Hl7Error;

    fn from_str(text: &str) -> Result<Self, Hl7Error> {
        let parts = Parts::of(text);
        let xcn = Self {
            id: parts.text(1),
            family: parts.text(2),
            given: parts.text(3),
            authority: parts.authority(9),
            name_type: parts.text(10),
            id_type: parts.text(13),
        };
        if xcn.id.is_none() && xcn.family.is_none() && xcn.given.is_none() {
            return Err(Hl7Error("XCN: identifier^family^given^^^^^^&authority OID&ISO^D or U^^^type of identifier"));
        }
        Ok(xcn)
    }
}

impl fmt::Display for Xcn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [id, family, given, name_type, id_type] =
            [&self.id, &self.family, &self.given, &self.name_type, &self.id_type]
                .map(|part| escaped_option(part.as_ref()));
        let authority = written_authority(self.authority.as_deref());
        let parts = [&id, &family, &given, "", "", "", "", "", &authority, &name_type, "", "", &id_type];
        f.write_str(&joined(parts))
    }
}

impl FromStr for Xon {
    type Err = Hl7Error;

    fn from_str(text: &str) -> Result<Self, Hl7Error> {
        let parts = Parts::of(text);
        let xon =
            Self { name: parts.text(1), authority: parts.authority(6), id_type: parts.text(7), id: parts.text(10) };
        if xon.name.is_none() && xon.id.is_none() {
            return Err(Hl7Error("XON: name^^^^^&authority OID&ISO^type^^^identifier"));
        }
        Ok(xon)
    }
}

impl fmt::Display for Xon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [name, id_type, id] = [&self.name, &self.id_type, &self.id].map(|part| escaped_option(part.as_ref()));
        let authority = written_authority(self.authority.as_deref());
        f.write_str(&joined([&name, "", "", "", "", &authority, &id_type, "", "", &id]))
    }
}

impl FromStr for CodedText {
    type Err = Hl7Error;

    fn from_str(text: &str) -> Result<Self, Hl7Error> {
        let parts = Parts::of(text);
        let code = parts.text(1).ok_or(Hl7Error("code^label^coding scheme"))?;
        Ok(Self { code, label: parts.text(2), system: parts.text(3) })
    }
}

impl fmt::Display for CodedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (label, system) = (escaped_option(self.label.as_ref()), escaped_option(self.system.as_ref()));
        f.write_str(&joined([&escaped(&self.code), &label, &system]))
    }
}

impl FromStr for Cxi {
    type Err = Hl7Error;

    fn from_str(text: &str) -> Result<Self, Hl7Error> {
        let parts = Parts::of(text);
        match (parts.text(1), parts.text(5)) {
            (Some(id), Some(kind)) => Ok(Self { id, authority: parts.authority(4), kind }),
            _ => Err(Hl7Error("CXi: identifier^^^&authority OID&ISO^URN of the type")),
        }
    }
}

impl fmt::Display for Cxi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = written_authority(self.authority.as_deref());
        f.write_str(&joined([&escaped(&self.id), "", "", &authority, &escaped(&self.kind)]))
    }
}

impl From<Cx> for Identifier {
    fn from(cx: Cx) -> Self {
        Self { system: cx.authority.unwrap_or_default(), value: cx.id }
    }
}

impl From<Xcn> for AuthorPerson {
    fn from(xcn: Xcn) -> Self {
        let kind = match (xcn.name_type.as_deref(), xcn.id_type.as_deref()) {
            (_, Some("NH")) => PersonKind::Patient,
            (Some("U"), _) | (_, Some("RI")) => PersonKind::Device,
            _ => PersonKind::Professional,
        };
        let system = xcn.authority.unwrap_or_default();
        Self { id: xcn.id.map(|value| Identifier { system, value }), kind, family: xcn.family, given: xcn.given }
    }
}

impl From<&AuthorPerson> for Xcn {
    fn from(person: &AuthorPerson) -> Self {
        let national = person.id.as_ref().is_some_and(|id| id.system == PS_ID_NAT_OID);
        let internal = person.id.as_ref().is_some_and(|id| id.value.contains('/'));
        let (name_type, id_type) = match person.kind {
            PersonKind::Professional if internal => ("D", Some("EI")),
            PersonKind::Professional if national => ("D", Some("IDNPS")),
            PersonKind::Professional => ("D", None),
            PersonKind::Patient => ("D", Some("NH")),
            PersonKind::Device if national => ("U", Some("EI")),
            PersonKind::Device => ("U", Some("RI")),
        };
        Self {
            id: person.id.as_ref().map(|id| id.value.clone()),
            family: person.family.clone(),
            given: person.given.clone(),
            authority: person.id.as_ref().map(|id| id.system.clone()).filter(|system| !system.is_empty()),
            name_type: Some(name_type.to_owned()),
            id_type: id_type.map(str::to_owned),
        }
    }
}

impl From<Xon> for Institution {
    fn from(xon: Xon) -> Self {
        let system = xon.authority.unwrap_or_default();
        Self { id: xon.id.map(|value| Identifier { system, value }), name: xon.name }
    }
}

impl From<&Institution> for Xon {
    fn from(institution: &Institution) -> Self {
        let authority = institution.id.as_ref().map(|id| id.system.clone()).filter(|system| !system.is_empty());
        let id_type = authority.as_deref().and_then(|system| match system {
            crate::domain::national_id::STRUCT_ID_NAT_OID => Some("IDNST".to_owned()),
            SIREN_OID => Some("SIREN".to_owned()),
            _ => None,
        });
        let id = institution.id.as_ref().map(|id| id.value.clone());
        Self { name: institution.name.clone(), authority, id_type, id }
    }
}

impl From<CodedText> for Code {
    fn from(text: CodedText) -> Self {
        Self { system: text.system.unwrap_or_default(), code: text.code, display: text.label }
    }
}

impl From<&Code> for CodedText {
    fn from(code: &Code) -> Self {
        let system = Some(code.system.clone()).filter(|system| !system.is_empty());
        Self { code: code.code.clone(), label: code.display.clone(), system }
    }
}

impl From<Cxi> for ReferenceId {
    fn from(cxi: Cxi) -> Self {
        let identifier = Identifier { system: cxi.authority.unwrap_or_default(), value: cxi.id };
        Self { identifier, kind: cxi.kind }
    }
}

impl From<&ReferenceId> for Cxi {
    fn from(reference: &ReferenceId) -> Self {
        let authority = Some(reference.identifier.system.clone()).filter(|system| !system.is_empty());
        Self { id: reference.identifier.value.clone(), authority, kind: reference.kind.clone() }
    }
}

/// Takes one value of `sourcePatientInfo` into `info`; false for a field that it has no place for.
///
/// The traits are shown again and never compared (A.3), so nothing in them is a reason to refuse: what is
/// not taken stays with the sender's other slots.
pub fn take_pid_field(info: &mut SourcePatientInfo, value: &str) -> bool {
    match value.split_once('|').map(|(field, content)| (field.trim(), content.trim())) {
        Some(("PID-5", names)) => names.split('~').all(|name| take_name(info, name)),
        Some(("PID-7", date)) if info.birth_date.is_none() => {
            info.birth_date = Dtm::from_hl7(date).ok();
            info.birth_date.is_some()
        }
        Some(("PID-8", sex)) if info.sex.is_none() => {
            info.sex = non_empty(unescaped(sex));
            info.sex.is_some()
        }
        _ => false,
    }
}

/// The slot values that `info` gives back.
pub fn write_source_patient_info(info: &SourcePatientInfo) -> Vec<String> {
    let name = |family: &str, kind: &str| {
        let given = escaped_option(info.given.as_ref());
        format!("PID-5|{}", joined([&escaped(family), &given, "", "", "", "", kind]))
    };
    let mut values = Vec::new();
    match (&info.birth_family, &info.usual_family) {
        (None, None) if info.given.is_none() => {}
        (None, None) => values.push(name("", "L")),
        (birth, usual) => {
            values.extend(birth.as_ref().map(|family| name(family, "L")));
            values.extend(usual.as_ref().map(|family| name(family, "D")));
        }
    }
    values.extend(info.birth_date.map(|date| format!("PID-7|{}", date.to_hl7())));
    values.extend(info.sex.as_ref().map(|sex| format!("PID-8|{}", escaped(sex))));
    values
}

/// One XPN of PID-5: `D` is the usual name, anything else the name at birth. False when there is no room.
fn take_name(info: &mut SourcePatientInfo, name: &str) -> bool {
    let parts = Parts::of(name);
    let given = match (parts.text(2), parts.text(3)) {
        (Some(first), Some(others)) => Some(format!("{first} {others}")),
        (first, others) => first.or(others),
    };
    let family = if parts.text(7).as_deref() == Some("D") { &mut info.usual_family } else { &mut info.birth_family };
    if family.is_some() || (info.given.is_some() && given.is_some() && info.given != given) {
        return false;
    }
    *family = parts.text(1);
    info.given = info.given.take().or(given);
    true
}

/// The components of one value, counted from 1 as HL7 does.
struct Parts<'t>(Vec<&'t str>);

impl<'t> Parts<'t> {
    fn of(text: &'t str) -> Self {
        Self(text.trim().splitn(PARTS_MAX, '^').collect())
    }

    fn raw(&self, number: usize) -> &'t str {
        self.0.get(number - 1).copied().unwrap_or_default()
    }

    /// A text: the first `&` part, since those of French slots have one.
    fn text(&self, number: usize) -> Option<String> {
        let raw = self.raw(number);
        non_empty(unescaped(raw.split('&').next().unwrap_or_default()))
    }

    /// The OID in `&OID&ISO`; a name before it is not needed.
    fn authority(&self, number: usize) -> Option<String> {
        let raw = self.raw(number);
        let mut parts = raw.split('&');
        let name = parts.next().unwrap_or_default();
        non_empty(unescaped(parts.next().unwrap_or(name)))
    }
}

fn non_empty(text: String) -> Option<String> {
    let trimmed = text.trim();
    if trimmed.len() == text.len() {
        return Some(text).filter(|text| !text.is_empty());
    }
    Some(trimmed.to_owned()).filter(|text| !text.is_empty())
}

fn written_authority(oid: Option<&str>) -> String {
    oid.map(|oid| format!("&{}&ISO", escaped(oid))).unwrap_or_default()
}

/// Joins components and drops the empty ones at the end.
fn joined<const N: usize>(parts: [&str; N]) -> String {
    let mut text = parts.join("^");
    text.truncate(text.trim_end_matches('^').len());
    text
}

fn escaped_option(text: Option<&String>) -> String {
    text.map(|text| escaped(text)).unwrap_or_default()
}

fn escaped(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    for character in text.chars() {
        match ESCAPES.iter().find(|(_, plain)| *plain == character) {
            Some((escape, _)) => whole.push_str(escape),
            None => whole.push(character),
        }
    }
    whole
}

/// Undoes the escapes it knows and leaves any other backslash as it is.
fn unescaped(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        whole.push_str(&rest[..at]);
        rest = &rest[at..];
        let known = ESCAPES.iter().find(|(escape, _)| rest.starts_with(escape));
        let (escape, plain) = known.unwrap_or(&("\\", '\\'));
        whole.push(*plain);
        rest = &rest[escape.len()..];
    }
    whole + rest
}

const ESCAPES: [(&str, char); 5] = [("\\F\\", '|'), ("\\S\\", '^'), ("\\T\\", '&'), ("\\R\\", '~'), ("\\E\\", '\\')];
/// XCN, the longest, has 23 components.
const PARTS_MAX: usize = 32;
/// Under which a digital service names its organisation (A.2).
const SIREN_OID: &str = "1.3.2";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_patient_id_is_read_without_its_date() {
        let dated: Cx = "207058575627097^^^&1.2.250.1.213.1.4.10&ISO^NH^^20100907".parse().unwrap();
        let plain: Cx = "207058575627097^^^&1.2.250.1.213.1.4.10&ISO^NH".parse().unwrap();
        assert_eq!(dated, plain);
        assert_eq!(plain.authority.as_deref(), Some("1.2.250.1.213.1.4.10"));
    }

    #[test]
    fn an_author_is_read_and_written_back() {
        let text = "801234567890^DURANT^Romuald^^^^^^&1.2.250.1.71.4.2.1&ISO^D^^^IDNPS";
        let person = AuthorPerson::from(text.parse::<Xcn>().unwrap());
        assert_eq!(person.id, Some(Identifier::new(PS_ID_NAT_OID, "801234567890")));
        assert_eq!(Xcn::from(&person).to_string(), text);
    }

    #[test]
    fn patients_and_systems_are_told_from_professionals() {
        let kind = |text: &str| AuthorPerson::from(text.parse::<Xcn>().unwrap()).kind;
        assert_eq!(kind("2^A^B^^^^^^&1.2.250.1.213.1.4.10&ISO^D^^^NH"), PersonKind::Patient);
        assert_eq!(kind("1.2.3^Modele^Logiciel^^^^^^&1.2&ISO^U^^^RI"), PersonKind::Device);
        assert_eq!(kind("^Smitty^Gerald^^^"), PersonKind::Professional);
    }

    #[test]
    fn an_institution_is_read_and_written_back() {
        let text = "CABINET DR LIBRE^^^^^&1.2.250.1.71.4.2.2&ISO^IDNST^^^499900063480001";
        let institution = Institution::from(text.parse::<Xon>().unwrap());
        assert_eq!(institution.name.as_deref(), Some("CABINET DR LIBRE"));
        assert_eq!(Xon::from(&institution).to_string(), text);
    }

    #[test]
    fn a_reference_may_lack_its_authority() {
        let text = "1.2.3.12^^^^urn:ihe:iti:xds:2013:accession";
        assert_eq!(text.parse::<Cxi>().unwrap().to_string(), text);
        assert!("1.2.3".parse::<Cxi>().is_err());
    }

    #[test]
    fn fields_of_the_patient_come_in_any_order_and_none_is_lost() {
        let values = [
            "PID-8|F",
            "PID-11|1 rue^^Lyon",
            "PID-5|NESSI^RUTH^^^^^L~DURAND^RUTH^^^^^D",
            "PID-7|hier",
            "PID-7|19790328",
        ];
        let (info, others) = take_all(values.map(str::to_owned).to_vec());
        assert_eq!(info.birth_family.as_deref(), Some("NESSI"));
        assert_eq!(info.usual_family.as_deref(), Some("DURAND"));
        assert_eq!(info.birth_date.map(Dtm::to_hl7).as_deref(), Some("19790328"));
        assert_eq!(info.sex.as_deref(), Some("F"));
        assert_eq!(others, ["PID-11|1 rue^^Lyon", "PID-7|hier"]);
        assert_eq!(take_all(write_source_patient_info(&info)), (info, vec![]));
    }

    #[test]
    fn separators_inside_a_text_are_escaped() {
        let xon = Xon { name: Some(r"A & B ^ C | D ~ E \S\".to_owned()), ..Xon::default() };
        assert_eq!(xon.to_string(), r"A \T\ B \S\ C \F\ D \R\ E \E\S\E\");
        assert_eq!(xon.to_string().parse(), Ok(xon));
    }

    /// The traits that `values` give, and the values that are left over.
    fn take_all(mut values: Vec<String>) -> (SourcePatientInfo, Vec<String>) {
        let mut info = SourcePatientInfo::default();
        values.retain(|value| !take_pid_field(&mut info, value));
        (info, values)
    }

    /// A text as the domain holds it: not empty, no blanks around it.
    fn text() -> impl Strategy<Value = String> {
        "[A-Za-zé^&|~\\\\]([A-Za-z0-9 .'^&|~\\\\-]{0,10}[A-Za-z0-9^&|~\\\\])?"
    }

    fn maybe() -> impl Strategy<Value = Option<String>> {
        prop::option::of(text())
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "[\\PC\\^&~|\\\\]{0,60}") {
            let _ = text.parse::<Cx>();
            let _ = text.parse::<Xcn>();
            let _ = text.parse::<Xon>();
            let _ = text.parse::<Cxi>();
            let _ = text.parse::<CodedText>();
            let _ = take_all(["PID-5|", "PID-7|", "PID-8|", ""].map(|field| format!("{field}{text}")).to_vec());
        }

        #[test]
        fn every_identifier_reads_back(id in text(), authority in maybe(), id_type in maybe(), kind in text()) {
            let cx = Cx { id: id.clone(), authority: authority.clone(), id_type };
            prop_assert_eq!(cx.to_string().parse(), Ok(cx));
            let cxi = Cxi { id, authority, kind };
            prop_assert_eq!(cxi.to_string().parse(), Ok(cxi));
        }

        #[test]
        fn every_person_reads_back(id in maybe(), family in text(), given in maybe(), authority in maybe(), name_type in maybe(), id_type in maybe()) {
            let xcn = Xcn { id, family: Some(family), given, authority, name_type, id_type };
            prop_assert_eq!(xcn.to_string().parse(), Ok(xcn));
        }

        #[test]
        fn every_institution_reads_back(name in text(), authority in maybe(), id_type in maybe(), id in maybe()) {
            let xon = Xon { name: Some(name), authority, id_type, id };
            prop_assert_eq!(xon.to_string().parse(), Ok(xon));
        }

        #[test]
        fn every_coded_text_reads_back(code in text(), label in maybe(), system in maybe()) {
            let coded = CodedText { code, label, system };
            prop_assert_eq!(coded.to_string().parse(), Ok(coded));
        }

        #[test]
        fn traits_of_a_patient_read_back(birth_family in maybe(), usual_family in maybe(), given in maybe(), sex in maybe()) {
            let info = SourcePatientInfo { birth_family, usual_family, given, birth_date: None, sex };
            prop_assert_eq!(take_all(write_source_patient_info(&info)), (info, vec![]));
        }
    }
}
