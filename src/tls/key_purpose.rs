//! What a key may do. A key that opens connections and a key that signs assertions are never interchangeable.
//!
//! AUTH: digitalSignature and clientAuth. SIGN: nonRepudiation and emailProtection. Source: B.1, C.5.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{KeyUsage, ParsedExtension};

use crate::refusal::{Refusal, Rule};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyPurpose {
    Authentication,
    Signature,
}

impl KeyPurpose {
    /// What a certificate seems to be for, right or wrong: where signs of a signature key are, it is one.
    pub fn of(certificate: &X509Certificate<'_>) -> Self {
        let usages = Usages::of(certificate);
        let signs = usages.non_repudiation() || (usages.email_protection && !usages.client_auth);
        if signs { Self::Signature } else { Self::Authentication }
    }

    /// The end-entity certificate in the words of a refusal.
    pub fn holder(self) -> &'static str {
        match self {
            Self::Authentication => "client certificate",
            Self::Signature => "signature certificate",
        }
    }

    /// The extended key usage, as the bytes of its OID.
    pub(super) fn extended_key_usage(self) -> &'static [u8] {
        match self {
            Self::Authentication => &[0x2b, 6, 1, 5, 5, 7, 3, 2],
            Self::Signature => &[0x2b, 6, 1, 5, 5, 7, 3, 4],
        }
    }

    /// Errors: `CertificateClass` for a client's certificate, `SignatureCertificate` for a signer's.
    pub(super) fn check(self, certificate: &X509Certificate<'_>) -> Result<(), Refusal> {
        self.check_readable(certificate)?;
        if certificate.is_ca() {
            const EXPECTED: &str = "an end-entity certificate: an authority is nobody's client and signs no assertion";
            return Err(self.refused("basicConstraints", "a CA", EXPECTED));
        }
        match self {
            Self::Authentication => self.check_authentication(certificate),
            Self::Signature => self.check_signature(certificate),
        }
    }

    pub(super) fn unreadable(self) -> Refusal {
        self.refused("DER", "bytes that are not one certificate", "X.509 version 3")
    }

    /// A refusal at a place of the end-entity certificate.
    pub(super) fn refused(self, place: &str, found: &str, expected: &str) -> Refusal {
        let rule = match self {
            Self::Authentication => Rule::CertificateClass,
            Self::Signature => Rule::SignatureCertificate,
        };
        Refusal::new(rule, format!("{}, {place}", self.holder()), found, expected)
    }

    fn check_readable(self, certificate: &X509Certificate<'_>) -> Result<(), Refusal> {
        if certificate.extensions_map().is_err() {
            return Err(self.refused("extensions", "an extension twice", "each extension once (RFC 5280)"));
        }
        let broken = |extension: &ParsedExtension<'_>| matches!(extension, ParsedExtension::ParseError { .. });
        match certificate.extensions().iter().find(|one| broken(one.parsed_extension())) {
            None => Ok(()),
            Some(extension) => {
                let place = format!("extension {}", extension.oid);
                Err(self.refused(&place, "bytes that cannot be read", "RFC 5280 syntax"))
            }
        }
    }

    fn check_authentication(self, certificate: &X509Certificate<'_>) -> Result<(), Refusal> {
        let usages = Usages::of(certificate);
        if !usages.client_auth {
            const EXPECTED: &str = "clientAuth: an authentication certificate, not one for signature or servers";
            return Err(self.refused("extendedKeyUsage", usages.extended_name(), EXPECTED));
        }
        if usages.non_repudiation() {
            const EXPECTED: &str = "an authentication certificate: signature keys only sign";
            return Err(self.refused("keyUsage", "nonRepudiation", EXPECTED));
        }
        // Without the extension a key has no restriction (RFC 5280 4.2.1.3); clientAuth says what it is for.
        if usages.key.is_some_and(|usage| !usage.digital_signature()) {
            return Err(self.refused("keyUsage", "no digitalSignature", "digitalSignature"));
        }
        Ok(())
    }

    fn check_signature(self, certificate: &X509Certificate<'_>) -> Result<(), Refusal> {
        const EXPECTED: &str = "emailProtection: a signature certificate, not one for authentication or servers";
        let usages = Usages::of(certificate);
        if !usages.email_protection || usages.client_auth {
            return Err(self.refused("extendedKeyUsage", usages.extended_name(), EXPECTED));
        }
        if !usages.non_repudiation() {
            return Err(self.refused("keyUsage", "no nonRepudiation", "nonRepudiation: a signature certificate"));
        }
        Ok(())
    }
}

/// Key usage and extended key usage of a certificate whose extensions are readable.
struct Usages {
    key: Option<KeyUsage>,
    client_auth: bool,
    email_protection: bool,
    server_auth: bool,
}

impl Usages {
    fn of(certificate: &X509Certificate<'_>) -> Self {
        let extended = certificate.extended_key_usage().ok().flatten();
        Self {
            key: certificate.key_usage().ok().flatten().map(|usage| *usage.value),
            client_auth: extended.as_ref().is_some_and(|usage| usage.value.client_auth),
            email_protection: extended.as_ref().is_some_and(|usage| usage.value.email_protection),
            server_auth: extended.as_ref().is_some_and(|usage| usage.value.server_auth),
        }
    }

    fn non_repudiation(&self) -> bool {
        self.key.is_some_and(|usage| usage.non_repudiation())
    }

    fn extended_name(&self) -> &'static str {
        match (self.client_auth, self.email_protection, self.server_auth) {
            (true, true, _) => "clientAuth and emailProtection",
            (true, false, _) => "clientAuth",
            (false, true, _) => "emailProtection",
            (false, false, true) => "serverAuth",
            (false, false, false) => "neither clientAuth nor emailProtection",
        }
    }
}
