//! Certificates with one defect each, under the authorities of a test listener.

use carnet::tls::development_pki::Issued;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::test_listener::TestListener;

/// An authority whose key the test holds.
pub(crate) struct Forge {
    issuer: Issuer<'static, KeyPair>,
    /// What a client sends along: this authority and those above it, but for the root.
    chain_pem: String,
}

impl Forge {
    /// `racine`, `personnes` or `organisations`.
    pub(crate) fn of(listener: &TestListener, authority: &str) -> Self {
        let read = |extension: &str| {
            std::fs::read_to_string(listener.pki.directory().join(format!("ca/{authority}.{extension}"))).unwrap()
        };
        let issuer = Issuer::from_ca_cert_pem(&read("pem"), KeyPair::from_pem(&read("key")).unwrap()).unwrap();
        let chain_pem = if authority == "racine" { String::new() } else { read("pem") };
        Self { issuer, chain_pem }
    }

    /// A root of its own, without the mark of development, and its certificate.
    pub(crate) fn root(change: impl FnOnce(&mut CertificateParams)) -> (Self, String) {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "RACINE");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        (Self { issuer: Issuer::new(params, key), chain_pem: String::new() }, pem)
    }

    /// Someone else's root under the same name.
    pub(crate) fn twin(listener: &TestListener) -> Self {
        let pem = std::fs::read_to_string(listener.pki.directory().join("ca/racine.pem")).unwrap();
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_ca_cert_pem(&pem, key).unwrap();
        Self { issuer, chain_pem: pem }
    }

    /// A certificate as `change` leaves it, with a fresh key.
    pub(crate) fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        self.issue_for(&KeyPair::generate().unwrap(), change)
    }

    pub(crate) fn issue_for(&self, key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let mut params = laboratory();
        change(&mut params);
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        self.hand_over(&certificate, key)
    }

    /// An authority below this one.
    pub(crate) fn authority(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let chain_pem = format!("{}{}", certificate.pem(), self.chain_pem);
        Self { issuer: Issuer::new(params, key), chain_pem }
    }

    fn hand_over(&self, certificate: &Certificate, key: &KeyPair) -> Issued {
        let certificate_pem = format!("{}{}", certificate.pem(), self.chain_pem);
        Issued { serial: String::new(), certificate_pem, key_pem: key.serialize_pem() }
    }
}

/// An organisation in order.
pub(crate) fn laboratory() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "LABO TEST");
    params.distinguished_name.push(DnType::OrganizationalUnitName, LABORATORY);
    params.distinguished_name.push(DnType::CommonName, "SIL");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

pub(crate) fn critical(oid: &[u64]) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, vec![5, 0]);
    extension.set_criticality(true);
    extension
}

pub(crate) const LABORATORY: &str = "1310000017";
