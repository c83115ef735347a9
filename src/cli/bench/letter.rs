//! A discharge letter of any size: CDA level 1 around noise that begins like a PDF.
//!
//! The values are those that the metadata in [`super::deposit`] state. Source: J.1, J.2.

use anyhow::{Context as _, ensure};

use super::amount::Size;
use crate::domain::ins::Ins;
use crate::domain::national_id::StructIdNat;

/// The structure that deposits: author and keeper of its letters.
#[derive(Debug, Clone)]
pub(super) struct Submitter {
    pub(super) struct_id: StructIdNat,
    pub(super) name: String,
}

/// Writes a letter of exactly `size` bytes, whose id (also its setId) is `id`.
pub(super) fn write(id: &str, patient: &Ins, submitter: &Submitter, size: Size) -> anyhow::Result<String> {
    let head = header(id, patient, submitter);
    let room = size.bytes.checked_sub(head.len() + END.len()).with_context(|| {
        let least = (head.len() + END.len()).div_ceil(1_000);
        format!("--size {size}: the header of a document alone needs {least}k")
    })?;
    ensure!(room >= PDF_MARK.len() * 2, "--size {size}: no room for a body");
    let mut document = String::with_capacity(size.bytes + PAD.len());
    document.push_str(&head);
    base64_simd::STANDARD.encode_append(filler(room / 4 * 3), &mut document);
    document.push_str(&END[..END.len() - PAD.len()]);
    // Base64 comes in fours: up to three spaces make up the rest.
    document.extend(std::iter::repeat_n(' ', room % 4));
    document.push_str(PAD);
    Ok(document)
}

fn header(id: &str, patient: &Ins, submitter: &Submitter) -> String {
    let Submitter { struct_id, name } = submitter;
    let name = name.replace('&', "&amp;").replace('<', "&lt;");
    let organisation = format!(r#"<id root="1.2.250.1.71.4.2.2" extension="{struct_id}"/><name>{name}</name>"#);
    let doctor = r#"<id root="1.2.250.1.71.4.2.1" extension="801234567897"/>"#;
    let person = "<assignedPerson><name><family>DURANT</family><given>Romuald</given></name></assignedPerson>";
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3">
 <realmCode code="FR"/>
 <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
 <templateId root="2.16.840.1.113883.2.8.2.1"/>
 <templateId root="1.2.250.1.213.1.1.1.1"/>
 <templateId root="1.3.6.1.4.1.19376.1.2.20"/>
 <id root="{id}"/>
 <code code="11490-0" codeSystem="2.16.840.1.113883.6.1" displayName="Lettre de liaison à la sortie d'un établissement de soins"/>
 <title>Lettre de liaison à la sortie</title>
 <effectiveTime value="20260302101500+0100"/>
 <confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/>
 <languageCode code="fr-FR"/>
 <setId root="{id}"/>
 <versionNumber value="1"/>
 <recordTarget><patientRole>
  <id root="{authority}" extension="{matricule}"/>
  <patient>
   <name><family qualifier="BR">ESSAI</family><given qualifier="BR">CHARGE</given></name>
   <administrativeGenderCode code="F" codeSystem="2.16.840.1.113883.5.1"/>
   <birthTime value="19790328"/>
  </patient>
 </patientRole></recordTarget>
 <author>
  <time value="20260302101500+0100"/>
  <assignedAuthor>{doctor}{person}<representedOrganization>{organisation}</representedOrganization></assignedAuthor>
 </author>
 <custodian><assignedCustodian><representedCustodianOrganization>{organisation}</representedCustodianOrganization></assignedCustodian></custodian>
 <legalAuthenticator>
  <time value="20260302101500+0100"/>
  <signatureCode code="S"/>
  <assignedEntity>{doctor}{person}<representedOrganization>{organisation}</representedOrganization></assignedEntity>
 </legalAuthenticator>
 <documentationOf><serviceEvent>
  <effectiveTime><low value="20260228080000+0100"/><high value="20260302100000+0100"/></effectiveTime>
  <performer typeCode="PRF"><assignedEntity>{doctor}<representedOrganization>
   <standardIndustryClassCode code="ETABLISSEMENT" codeSystem="1.2.250.1.213.1.1.4.9" displayName="Etablissement de santé"/>
  </representedOrganization></assignedEntity></performer>
 </serviceEvent></documentationOf>
 <componentOf><encompassingEncounter>
  <effectiveTime><low value="20260228080000+0100"/></effectiveTime>
  <location><healthCareFacility><code code="SA01" codeSystem="1.2.250.1.71.4.2.4" displayName="Etablissement public de santé"/></healthCareFacility></location>
 </encompassingEncounter></componentOf>
 <component><nonXMLBody><text mediaType="application/pdf" representation="B64">"#,
        authority = patient.authority().oid(),
        matricule = patient.matricule(),
    )
}

/// The first bytes of a PDF, then noise (xorshift): nothing on the way can make it smaller.
fn filler(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    bytes.extend_from_slice(PDF_MARK);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

const PDF_MARK: &[u8] = b"%PDF-1.7\n";
const PAD: &str = "\n</ClinicalDocument>\n";
const END: &str = "</text></nonXMLBody></component>\n</ClinicalDocument>\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(size: &str) -> anyhow::Result<String> {
        let patient = "1.2.250.1.213.1.4.10|279035121518989".parse().unwrap();
        let submitter = Submitter { struct_id: "1750803447".parse().unwrap(), name: "CHU D'ESSAI & FILS".to_owned() };
        write("2.999.1.1", &patient, &submitter, size.parse().unwrap())
    }

    #[test]
    fn a_letter_has_the_size_that_was_asked() {
        for size in ["20000", "20001", "20002", "20003", "250k"] {
            assert_eq!(letter(size).unwrap().len(), size.parse::<Size>().unwrap().bytes);
        }
    }

    #[test]
    fn a_size_below_the_header_is_refused_with_the_least_there_is() {
        assert!(letter("1k").unwrap_err().to_string().contains("needs 4k"));
    }

    #[test]
    fn a_letter_is_well_formed_and_its_body_decodes() {
        let text = letter("20k").unwrap();
        let mut reader = quick_xml::Reader::from_str(&text);
        let mut body = String::new();
        loop {
            match reader.read_event().unwrap() {
                quick_xml::events::Event::Text(text) if text.len() > 1_000 => body = text.to_string(),
                quick_xml::events::Event::Eof => break,
                _ => {}
            }
        }
        assert!(base64_simd::STANDARD.decode_to_vec(body).unwrap().starts_with(PDF_MARK));
    }
}
