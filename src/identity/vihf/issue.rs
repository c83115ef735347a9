//! Makes VIHF, as the software of a hospital does: for tests, demos, the bench and integrators who need one to try.
//!
//! Written from a [`Statement`], so that what is issued reads back as what was stated.

use bergshamra_dsig::DsigContext;
use bergshamra_dsig::sign::sign_owned;
use bergshamra_keys::loader::load_pem_auto;
use bergshamra_keys::{Key, KeysManager};
use jiff::Timestamp;
use quick_xml::escape::escape;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::assertion::{HL7_V3, SAML};
use super::rules::{CONFIDENTIALITY, PURPOSE, PURPOSE_SYSTEMS, RESOURCE_ID, ROLE, SUBJECT_ID};
use super::signature::{ENVELOPED, EXCLUSIVE, XMLDSIG};
use crate::clock::new_uuid;
use crate::domain::code::Code;
use crate::identity::statement::{AccessVisibility, StatedMode, Statement};
use crate::tls::distinguished_name::DistinguishedName;

/// A certificate of class SIGN, its chain, and its key.
pub struct SigningKey {
    key: Key,
    certificates: Vec<CertificateDer<'static>>,
    issuer: String,
}

#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("the certificate is no PEM of an X.509 certificate")]
    Certificate,
    #[error("the key is no PEM of an RSA or EC private key")]
    Key,
    #[error("signing: {0}")]
    Signing(String),
}

impl SigningKey {
    /// Reads the certificate (then its chain) and the key, PEM.
    pub fn read(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self, IssueError> {
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate_pem)
            .collect::<Result<_, _>>()
            .map_err(|_| IssueError::Certificate)?;
        let leaf = certificates.first().ok_or(IssueError::Certificate)?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| IssueError::Certificate)?;
        let issuer = DistinguishedName::of(parsed.subject()).to_string();
        let key = load_pem_auto(key_pem, None).ok().filter(Key::has_private_key).ok_or(IssueError::Key)?;
        Ok(Self { key, certificates, issuer })
    }

    /// A signed VIHF with an id of its own, issued at `at`.
    pub fn issue(&self, statement: &Statement, at: Timestamp) -> Result<String, IssueError> {
        self.sign(self.write(statement, at))
    }

    /// The same before it is signed.
    pub fn write(&self, statement: &Statement, at: Timestamp) -> String {
        let id = format!("_{}", new_uuid().simple());
        let at = at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
        let signature = self.signature_template(&id);
        let (class, declared) = match statement.mode {
            StatedMode::Directe => ("SmartcardPKI", ""),
            StatedMode::Indirecte => ("PasswordProtectedTransport", ""),
            StatedMode::IndirecteRenforcee => {
                ("TLSClient", "<saml:AuthnContextDecl>APP_BROWSER_AUTH</saml:AuthnContextDecl>")
            }
        };
        format!(
            "<saml:Assertion xmlns:saml=\"{SAML}\" Version=\"2.0\" ID=\"{id}\" IssueInstant=\"{at}\">\
             <saml:Issuer Format=\"urn:oasis:names:tc:SAML:1.1:nameid-format:X509SubjectName\">{}</saml:Issuer>\
             {signature}<saml:Subject><saml:NameID>{}</saml:NameID></saml:Subject>\
             <saml:AuthnStatement AuthnInstant=\"{at}\"><saml:AuthnContext><saml:AuthnContextClassRef>\
             urn:oasis:names:tc:SAML:2.0:ac:classes:{class}</saml:AuthnContextClassRef>{declared}</saml:AuthnContext>\
             </saml:AuthnStatement><saml:AttributeStatement>{}</saml:AttributeStatement></saml:Assertion>",
            escape(self.issuer.as_str()),
            escape(statement.subject.id.as_str()),
            attributes(statement).concat(),
        )
    }

    /// Fills the signature of what [`write`](Self::write) made.
    pub fn sign(&self, unsigned: String) -> Result<String, IssueError> {
        let mut keys = KeysManager::new();
        keys.add_key(self.key.clone());
        sign_owned(&DsigContext::new(keys), unsigned).map_err(|error| IssueError::Signing(error.to_string()))
    }

    fn signature_template(&self, id: &str) -> String {
        let algorithm = match self.key.algorithm_name() {
            "RSA" => "rsa-sha256",
            "EC-P384" => "ecdsa-sha384",
            "EC-P521" => "ecdsa-sha512",
            _ => "ecdsa-sha256",
        };
        let certificates = self.certificates.iter().map(|der| {
            let base64 = base64_simd::STANDARD.encode_to_string(der);
            format!("<ds:X509Certificate>{base64}</ds:X509Certificate>")
        });
        format!(
            "<ds:Signature xmlns:ds=\"{XMLDSIG}\"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm=\"{EXCLUSIVE}\"/>\
             <ds:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#{algorithm}\"/>\
             <ds:Reference URI=\"#{id}\"><ds:Transforms><ds:Transform Algorithm=\"{ENVELOPED}\"/>\
             <ds:Transform Algorithm=\"{EXCLUSIVE}\"/></ds:Transforms>\
             <ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"/><ds:DigestValue></ds:DigestValue>\
             </ds:Reference></ds:SignedInfo><ds:SignatureValue></ds:SignatureValue><ds:KeyInfo><ds:X509Data>{}\
             </ds:X509Data></ds:KeyInfo></ds:Signature>",
            certificates.collect::<String>(),
        )
    }
}

/// The rows of C.2, in its order.
fn attributes(statement: &Statement) -> Vec<String> {
    let Statement { mode, subject, structure, sector, roles, purpose, patient, visibility, software } = statement;
    let roles: String = roles.iter().map(|role| value(&coded("Role", role))).collect();
    let sector = sector.as_ref().map(|code| text(&format!("{}^{}", code.code, code.system)));
    let patient = patient.as_ref().map(|ins| text(&format!("{}^^^&{}&ISO^NH", ins.matricule(), ins.authority().oid())));
    let hidden = *visibility == AccessVisibility::HiddenFromLegalRepresentatives;
    let purpose = value(&coded("PurposeOfUse", &Code::new(PURPOSE_SYSTEMS[0], purpose.code())));
    let software = software.as_ref();
    let rows: [(&str, Option<String>); 14] = [
        ("Identifiant_Structure", Some(text(structure.as_str()))),
        ("Secteur_Activite", sector),
        (SUBJECT_ID, subject.name.as_deref().map(text)),
        (ROLE, Some(roles)),
        ("VIHF_Version", Some(text("3.0"))),
        ("Authentification_Mode", Some(text(mode.word()))),
        (RESOURCE_ID, patient),
        ("Ressource_URN", Some(text("urn:dmp"))),
        (PURPOSE, Some(purpose)),
        (CONFIDENTIALITY, hidden.then(|| text("INVISIBLE_REPRESENTANTS_LEGAUX"))),
        ("LPS_Nom", software.map(|software| text(&software.name))),
        ("LPS_Version", software.map(|software| text(&software.version))),
        ("LPS_ID", software.and_then(|software| software.installation.as_deref()).map(text)),
        ("LPS_ID_HOMOLOGATION_DMP", software.map(|software| text(&software.homologation))),
    ];
    let attribute = |(name, values): (&str, Option<String>)| {
        values.map(|values| format!("<saml:Attribute Name=\"{name}\">{values}</saml:Attribute>"))
    };
    rows.into_iter().filter_map(attribute).collect()
}

fn text(text: &str) -> String {
    value(&escape(text))
}

fn value(content: &str) -> String {
    format!("<saml:AttributeValue>{content}</saml:AttributeValue>")
}

fn coded(element: &str, code: &Code) -> String {
    const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
    let display = code.display.as_deref().unwrap_or(&code.code);
    format!(
        "<{element} xmlns=\"{HL7_V3}\" xmlns:xsi=\"{XSI}\" xsi:type=\"CE\" code=\"{}\" codeSystem=\"{}\" displayName=\"{}\"/>",
        escape(code.code.as_str()),
        escape(code.system.as_str()),
        escape(display),
    )
}
