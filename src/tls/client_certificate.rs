//! What a verified client certificate says of its holder.
//!
//! Knows nothing of chains, dates and revocation: `tls::path` and `tls::revocation` check them. Source: B.1.

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::key_purpose::KeyPurpose;
use super::subject::{Card, Subject};
use crate::domain::sha::{Fingerprint, Sha256Hash, hex};
use crate::refusal::Refusal;

/// A certificate whose chain, dates and revocation the handshake has verified.
#[derive(Debug)]
pub struct ClientCertificate {
    pub subject: Subject,
    pub card: Card,
    /// Lower-case hexadecimal, as the journal and `pki revoke` show it.
    pub serial: String,
    pub fingerprint: Sha256Hash,
}

impl ClientCertificate {
    /// Reads the end-entity certificate of a verified chain.
    ///
    /// Errors: `CertificateClass` with the place in the certificate, for what is neither a professional, an employee
    /// nor an organisation, is two of them, or was issued for something else than client authentication.
    pub fn from_der(der: &[u8]) -> Result<Self, Refusal> {
        const PURPOSE: KeyPurpose = KeyPurpose::Authentication;
        let Ok(([], certificate)) = X509Certificate::from_der(der) else {
            return Err(PURPOSE.unreadable());
        };
        PURPOSE.check(&certificate)?;
        let within = |refusal: Refusal| refusal.within(PURPOSE.holder());
        Ok(Self {
            subject: Subject::read(&certificate).map_err(within)?,
            card: Card::read(&certificate).map_err(within)?,
            serial: serial_hex(certificate.raw_serial()),
            fingerprint: Fingerprint::of(der).sha256,
        })
    }
}

/// Lower-case hexadecimal without the sign byte that DER puts before a high bit.
pub fn serial_hex(raw_serial: &[u8]) -> String {
    match raw_serial {
        [0, rest @ ..] if !rest.is_empty() => hex(rest),
        _ => hex(raw_serial),
    }
}

/// The serial of a certificate that need not be of any class.
pub fn serial_of(der: &[u8]) -> String {
    X509Certificate::from_der(der)
        .map_or_else(|_| "unreadable".to_owned(), |(_, certificate)| serial_hex(certificate.raw_serial()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{
        BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
        KeyPair, KeyUsagePurpose,
    };

    use super::*;
    use crate::domain::code::Code;
    use crate::refusal::Rule;
    use crate::tls::development_pki::subject;
    use crate::tls::subject::{CardType, Names, Organisation, PROFESSION_SYSTEM, SAVOIR_FAIRE_SYSTEM};

    const SN: &[u64] = &[2, 5, 4, 4];
    const CN: &[u64] = &[2, 5, 4, 3];
    const O: &[u64] = &[2, 5, 4, 10];
    const OU: &[u64] = &[2, 5, 4, 11];
    const GN: &[u64] = &[2, 5, 4, 42];
    const DOCTOR: &[(&[u64], &str)] = &[(GN, "Romuald"), (SN, "DURANT"), (CN, "801234567897"), (OU, "Médecin")];
    const LABORATORY: &[(&[u64], &str)] = &[(O, "LABO TEST"), (OU, "1750803447"), (CN, "SIL")];
    const CLERK: &[(&[u64], &str)] = &[(O, "CLINIQUE A&B"), (CN, "3310000017/42")];
    const PROFESSION_10: (&[u64], &[u8]) = (&[1, 2, 250, 1, 71, 1, 2, 7], &[2, 1, 10]);

    fn params(subject: &[(&[u64], &str)], extensions: &[(&[u64], &[u8])]) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (oid, text) in subject {
            params.distinguished_name.push(DnType::CustomDnType(oid.to_vec()), *text);
        }
        let custom = |(oid, content): &(&[u64], &[u8])| CustomExtension::from_oid_content(oid, content.to_vec());
        params.custom_extensions = extensions.iter().map(custom).collect();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params
    }

    fn read(params: &CertificateParams) -> Result<ClientCertificate, Refusal> {
        let key = KeyPair::generate().unwrap();
        ClientCertificate::from_der(params.self_signed(&key).unwrap().der())
    }

    fn refusal(params: &CertificateParams) -> String {
        let refusal = read(params).unwrap_err();
        assert_eq!(refusal.rule, Rule::CertificateClass);
        refusal.to_string()
    }

    #[test]
    fn an_old_card_has_its_profession_in_ou() {
        let Subject::Person(person) = read(&params(DOCTOR, &[PROFESSION_10])).unwrap().subject else {
            panic!("not a person");
        };
        assert_eq!(person.ps_id.as_str(), "801234567897");
        assert_eq!((person.family.as_str(), person.given.as_str()), ("DURANT", "Romuald"));
        assert!(person.profession.is(&Code::new(PROFESSION_SYSTEM, "10")));
        assert_eq!(person.profession.display.as_deref(), Some("Médecin"));
    }

    #[test]
    fn savoir_faire_and_card_type_are_read_from_their_extensions() {
        let savoir_faire: (&[u64], &[u8]) = (&[1, 2, 250, 1, 71, 4, 2, 5], b"\x30\x06\x0c\x04SM26");
        let card: (&[u64], &[u8]) = (&[1, 2, 250, 1, 71, 1, 2, 5], &[4, 1, 0x82]);
        let id: (&[u64], &[u8]) = (&[1, 2, 250, 1, 71, 1, 2, 3], b"\x13\x0a8025/25005");
        let category: (&[u64], &[u8]) = (&[1, 2, 250, 1, 71, 1, 2, 2], &[2, 1, 0]);
        let extensions = [PROFESSION_10, savoir_faire, card, id, category];
        let certificate = read(&params(DOCTOR, &extensions)).unwrap();
        let Subject::Person(person) = certificate.subject else { panic!("not a person") };
        assert_eq!(person.savoir_faire, [Code::new(SAVOIR_FAIRE_SYSTEM, "SM26")]);
        let expected =
            Card { card_type: Some(CardType::new(0x82)), id: Some("8025/25005".to_owned()), category: Some(0) };
        assert_eq!(certificate.card, expected);
        assert!(certificate.card.is_test());
    }

    #[test]
    fn a_card_of_an_employee_without_names_stands_for_its_structure() {
        let Subject::Employee(employee) = read(&params(CLERK, &[])).unwrap().subject else { panic!("no employee") };
        let stand_in = Names { family: "CLINIQUE A-B".to_owned(), given: "3310000017-42".to_owned() };
        assert_eq!(employee.name(), stand_in);
        assert_eq!(employee.structure(), Some("1310000017".parse().unwrap()));

        let named = [CLERK, &[(SN, "PETIT"), (GN, "Anne")]].concat();
        let Subject::Employee(employee) = read(&params(&named, &[])).unwrap().subject else { panic!("no employee") };
        assert_eq!(employee.name(), Names { family: "PETIT".to_owned(), given: "Anne".to_owned() });
        let half = [CLERK, &[(SN, "PETIT")]].concat();
        assert!(refusal(&params(&half, &[])).contains("one without the other"));
    }

    #[test]
    fn a_professional_within_a_structure_is_no_employee() {
        let within: &[(&[u64], &str)] = &[(GN, "Romuald"), (SN, "DURANT"), (CN, "3310000017/42")];
        assert!(matches!(read(&params(within, &[PROFESSION_10])).unwrap().subject, Subject::Person(_)));
    }

    #[test]
    fn an_organisation_is_its_struct_id_nat() {
        let expected = Organisation {
            struct_id: "1750803447".parse().unwrap(),
            name: "LABO TEST".to_owned(),
            application: "SIL".to_owned(),
        };
        assert_eq!(read(&params(LABORATORY, &[])).unwrap().subject, Subject::Organisation(expected));
    }

    #[test]
    fn both_classes_at_once_is_neither() {
        let both = [LABORATORY, &[(SN, "DURANT")]].concat();
        assert!(refusal(&params(&both, &[])).contains("a person (SN, GN or profession) and a Struct_IdNat"));
        refusal(&params(LABORATORY, &[PROFESSION_10]));
    }

    #[test]
    fn an_identifier_given_twice_is_refused() {
        use subject::{COMMON_NAME, ORGANISATION, ORGANISATIONAL_UNIT};
        let key = KeyPair::generate().unwrap();
        let stand_in = params(LABORATORY, &[]).self_signed(&key).unwrap();
        let read = |name: &[subject::Rdn<'_>]| {
            let der = subject::exchange(stand_in.der(), &subject::encode(name), &key).unwrap().unwrap();
            ClientCertificate::from_der(&der).unwrap_err().to_string()
        };
        let (name, unit) = ((ORGANISATION, "LABO TEST"), (ORGANISATIONAL_UNIT, "1750803447"));
        let two_units = [vec![name], vec![unit], vec![(ORGANISATIONAL_UNIT, "1310000017")], vec![(COMMON_NAME, "SIL")]];
        assert!(read(&two_units).contains("several Struct_IdNat"));
        let two_names = [vec![name], vec![unit], vec![(COMMON_NAME, "SIL"), (COMMON_NAME, "LIS")]];
        assert!(read(&two_names).contains("subject, CN: found several"));
    }

    #[test]
    fn an_incomplete_subject_says_what_is_missing() {
        assert!(refusal(&params(&[(CN, "client")], &[])).contains("CN + SN + GN"));
        assert!(refusal(&params(DOCTOR, &[])).contains("no profession"));
        assert!(refusal(&params(&DOCTOR[1..], &[PROFESSION_10])).contains("subject, GN"));
        assert!(refusal(&params(&[(SN, "DURANT"), (GN, "R"), (CN, "Romuald")], &[PROFESSION_10])).contains("PS_IdNat"));
        assert!(refusal(&params(&[(CN, "310000017/42")], &[])).contains("subject, O"));
        assert!(refusal(&params(&[(CN, "clinique/42"), (O, "CLINIQUE")], &[])).contains("PS_IdNat"));
    }

    #[test]
    fn a_key_for_signatures_or_servers_opens_no_connection() {
        let mut server = params(DOCTOR, &[PROFESSION_10]);
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        assert!(refusal(&server).contains("clientAuth"));
        let mut silent = params(DOCTOR, &[PROFESSION_10]);
        silent.extended_key_usages.clear();
        assert!(refusal(&silent).contains("clientAuth"));
        let mut signature = params(DOCTOR, &[PROFESSION_10]);
        signature.key_usages.push(KeyUsagePurpose::ContentCommitment);
        assert!(refusal(&signature).contains("nonRepudiation"));
        let mut authority = params(LABORATORY, &[]);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        assert!(refusal(&authority).contains("a CA"));
    }

    #[test]
    fn a_malformed_extension_is_refused_and_named() {
        for content in [&[][..], &[2, 1], &[2, 0], &[4, 1, 10], &[2, 1, 10, 0], &[2, 1, 0xff]] {
            let text = refusal(&params(DOCTOR, &[(PROFESSION_10.0, content)]));
            assert!(text.contains(PROFESSION_SYSTEM), "{text}");
        }
        for content in [&b"\x30\x04\x0c\x04SM"[..], b"\x0c\x04SM26", b"\x30\x06\x0c\x04SM 6", b"\x30\x02\x0c\x00"] {
            let text = refusal(&params(DOCTOR, &[PROFESSION_10, (&[1, 2, 250, 1, 71, 4, 2, 5], content)]));
            assert!(text.contains(SAVOIR_FAIRE_SYSTEM), "{text}");
        }
        refusal(&params(DOCTOR, &[PROFESSION_10, (&[1, 2, 250, 1, 71, 1, 2, 5], &[4, 2, 0, 0])]));
        refusal(&params(DOCTOR, &[PROFESSION_10, (&[1, 2, 250, 1, 71, 1, 2, 3], b"\x13\x02 ;")]));
        refusal(&params(DOCTOR, &[PROFESSION_10, (&[1, 2, 250, 1, 71, 1, 2, 2], &[2, 0])]));
    }

    #[test]
    fn a_serial_shows_no_sign_byte() {
        assert_eq!(serial_hex(&[0, 0x9a, 1]), "9a01");
        assert_eq!(serial_hex(&[0]), "00");
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = ClientCertificate::from_der(&bytes);
        }

        #[test]
        fn a_damaged_certificate_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            static GOOD: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
                let key = KeyPair::generate().unwrap();
                params(DOCTOR, &[PROFESSION_10]).self_signed(&key).unwrap().der().to_vec()
            });
            let mut bytes = GOOD.clone();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = ClientCertificate::from_der(&bytes);
            let _ = ClientCertificate::from_der(&bytes[..at]);
        }
    }
}
