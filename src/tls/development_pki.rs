//! A development PKI shaped like IGC-Santé: a root, the authorities PERSONNES and ORGANISATIONS under it,
//! authentication and signature certificates, CRLs, and a server certificate from an authority apart.
//!
//! It is marked: the root's OU is [`DEVELOPMENT_MARK`], which the gateway refuses unless told otherwise.
//! Keys are P-256, not the RSA 2048 of the field: a demo starts in milliseconds. CRLs last as long as their
//! authority, so that a folder left alone keeps working. Source: B.1.

mod authority;
mod files;
mod holder;
pub(super) mod subject;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams,
    SerialNumber, date_time_ymd,
};
use x509_parser::certificate::X509Certificate;

use self::authority::Authority;
use self::files::{Entry, PRIVATE_MODE, PUBLIC_MODE, Register, pem, write_whole};
pub use self::holder::{CardKind, Holder, KeyUse};
use super::client_certificate::serial_hex;
use crate::clock::{Clock, new_uuid};
use crate::config::CertificateClass;

/// OU of every authority made here.
pub const DEVELOPMENT_MARK: &str = "IGC-SANTE CARNET DEVELOPMENT";

/// Whether a root was made here, or stands in for one that was.
pub(super) fn is_development(root: &X509Certificate<'_>) -> bool {
    root.subject().iter_organizational_unit().any(|unit| unit.as_slice() == DEVELOPMENT_MARK.as_bytes())
}

/// A folder that holds a development PKI. All state is in its files.
pub struct DevelopmentPki {
    directory: PathBuf,
    clock: Clock,
}

/// When a certificate is valid.
#[derive(Debug, Clone, Copy)]
pub struct Lifetime {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// A fresh certificate and its key.
#[derive(Debug, Clone)]
pub struct Issued {
    /// As [`DevelopmentPki::revoke`] takes it.
    pub serial: String,
    /// The certificate, then the intermediate authority.
    pub certificate_pem: String,
    pub key_pem: String,
}

#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("{}: {cause}", path.display())]
    File { path: PathBuf, cause: std::io::Error },
    #[error("{}: a PKI is here already; choose another folder", .0.display())]
    Exists(PathBuf),
    #[error("{}: no PKI here; make one with `carnet pki init --dir {}`", .0.display(), .0.display())]
    Absent(PathBuf),
    #[error("{}: not written by this program: {cause}", path.display())]
    Register { path: PathBuf, cause: serde_json::Error },
    #[error("no certificate with serial {0} was issued here")]
    UnknownSerial(String),
    #[error("certificate generation: {0}")]
    Generation(#[from] rcgen::Error),
    #[error("certificate generation: rcgen wrote something that is no certificate")]
    Unreadable,
}

impl DevelopmentPki {
    /// Makes the authorities, the server certificate and empty CRLs in a folder that holds none yet.
    pub fn create(directory: &Path, clock: Clock) -> Result<Self, PkiError> {
        let pki = Self { directory: directory.to_owned(), clock };
        if pki.register_path().exists() {
            return Err(PkiError::Exists(pki.directory));
        }
        for folder in [pki.directory.clone(), pki.directory.join("ca"), pki.directory.join("crl")] {
            std::fs::create_dir_all(&folder).map_err(|cause| PkiError::File { path: folder, cause })?;
        }
        let mut register = Register::default();
        for authority in Authority::ALL {
            pki.create_authority(authority, &mut register)?;
        }
        pki.write_register(&register)?;
        pki.write_public("client-roots.pem", &pki.read(&Authority::Racine.certificate_file())?)?;
        pki.write_public("server-ca.pem", &pki.read(&Authority::Serveurs.certificate_file())?)?;
        let server = pki.issue_server()?;
        server.write(&pki.directory.join("server"))?;
        for authority in Authority::ALL {
            pki.write_crl(authority)?;
        }
        Ok(pki)
    }

    pub fn open(directory: &Path, clock: Clock) -> Result<Self, PkiError> {
        let pki = Self { directory: directory.to_owned(), clock };
        if pki.register_path().exists() { Ok(pki) } else { Err(PkiError::Absent(pki.directory)) }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// `tls.issuers` for what is made here.
    pub fn issuers(&self) -> BTreeMap<CertificateClass, Vec<PathBuf>> {
        let file = |authority: Authority| vec![self.directory.join(authority.certificate_file())];
        BTreeMap::from([
            (CertificateClass::Person, file(Authority::Personnes)),
            (CertificateClass::Employee, file(Authority::Personnes)),
            (CertificateClass::Organisation, file(Authority::Organisations)),
        ])
    }

    /// The same in TOML.
    pub fn issuers_toml(&self) -> String {
        let class = |(class, paths): (&CertificateClass, &Vec<PathBuf>)| format!("{class} = {paths:?}");
        format!("{{ {} }}", self.issuers().iter().map(class).collect::<Vec<_>>().join(", "))
    }

    /// Three years from yesterday: clocks of clients differ.
    pub fn usual_lifetime(&self) -> Lifetime {
        let now = self.clock.now();
        Lifetime { from: moved(now, -DAY_S), until: moved(now, 3 * YEAR_S) }
    }

    /// A professional's card is a test card of IGC-Santé.
    pub fn issue(&self, holder: &Holder, key_use: KeyUse, lifetime: Lifetime) -> Result<Issued, PkiError> {
        self.issue_on(CardKind::Test, holder, key_use, lifetime)
    }

    pub fn issue_on(
        &self,
        card: CardKind,
        holder: &Holder,
        key_use: KeyUse,
        lifetime: Lifetime,
    ) -> Result<Issued, PkiError> {
        let authority = match holder {
            Holder::Professional { .. } | Holder::Employee { .. } => Authority::Personnes,
            Holder::Organisation { .. } => Authority::Organisations,
        };
        let mut params = CertificateParams::default();
        (params.key_usages, params.extended_key_usages) = key_use.usages();
        params.custom_extensions = holder.extensions(card);
        params.custom_extensions.extend(holder.key_period(key_use, lifetime));
        set_lifetime(&mut params, lifetime);
        self.sign(authority, params, Some(&holder.subject(card)), &holder.id(), key_use)
    }

    /// Writes the CRL of the authority that issued the certificate anew.
    pub fn revoke(&self, serial: &str) -> Result<(), PkiError> {
        let serial = serial.to_lowercase().replace(':', "");
        let mut register = self.read_register()?;
        let Some(entry) = register.issued.iter_mut().find(|entry| entry.serial == serial) else {
            return Err(PkiError::UnknownSerial(serial));
        };
        let authority = entry.authority;
        entry.revoked_s.get_or_insert(self.clock.now().as_second());
        self.write_register(&register)?;
        self.write_crl(authority)
    }

    fn create_authority(&self, authority: Authority, register: &mut Register) -> Result<(), PkiError> {
        let now = self.clock.now();
        let mut params = CertificateParams::default();
        params.distinguished_name = authority.name();
        params.is_ca = IsCa::Ca(match authority {
            Authority::Racine => BasicConstraints::Constrained(1),
            Authority::Personnes | Authority::Organisations | Authority::Serveurs => BasicConstraints::Constrained(0),
        });
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_lifetime(&mut params, Lifetime { from: moved(now, -DAY_S), until: moved(now, AUTHORITY_YEARS * YEAR_S) });
        let (serial_number, serial) = new_serial();
        params.serial_number = Some(serial_number);
        let key = KeyPair::generate()?;
        let signed_by = match authority {
            Authority::Racine | Authority::Serveurs => authority,
            Authority::Personnes | Authority::Organisations => Authority::Racine,
        };
        let certificate = if signed_by == authority {
            params.self_signed(&key)?
        } else {
            params.use_authority_key_identifier_extension = true;
            params.signed_by(&key, &self.issuer(signed_by)?)?
        };
        self.write_public(&authority.certificate_file(), &certificate.pem())?;
        self.write_private(&authority.key_file(), &key.serialize_pem())?;
        let holder = authority.common_name().to_owned();
        register.issued.push(Entry { serial, authority: signed_by, holder, key_use: None, revoked_s: None });
        Ok(())
    }

    fn issue_server(&self) -> Result<Issued, PkiError> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        set_lifetime(&mut params, self.usual_lifetime());
        self.sign(Authority::Serveurs, params, None, "localhost", KeyUse::Auth)
    }

    fn sign(
        &self,
        authority: Authority,
        mut params: CertificateParams,
        subject: Option<&[u8]>,
        holder: &str,
        key_use: KeyUse,
    ) -> Result<Issued, PkiError> {
        let (serial_number, serial) = new_serial();
        params.serial_number = Some(serial_number);
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let issuer = self.issuer(authority)?;
        let mut der = params.signed_by(&key, &issuer)?.der().to_vec();
        if let Some(subject) = subject {
            der = subject::exchange(&der, subject, issuer.key()).ok_or(PkiError::Unreadable)??;
        }
        let mut register = self.read_register()?;
        let entry = Entry {
            serial: serial.clone(),
            authority,
            holder: holder.to_owned(),
            key_use: Some(key_use),
            revoked_s: None,
        };
        register.issued.push(entry);
        self.write_register(&register)?;
        let mut certificate_pem = pem(&der);
        if authority != Authority::Serveurs {
            certificate_pem.push_str(&self.read(&authority.certificate_file())?);
        }
        Ok(Issued { serial, certificate_pem, key_pem: key.serialize_pem() })
    }

    fn write_crl(&self, authority: Authority) -> Result<(), PkiError> {
        let Some(file) = authority.crl_file() else {
            return Ok(());
        };
        let mut register = self.read_register()?;
        register.crl_number += 1;
        let (now, epoch) = (self.clock.now(), date_time_ymd(1970, 1, 1));
        let of_authority = register.issued.iter().filter(|entry| entry.authority == authority);
        let revoked_certs = of_authority
            .filter_map(|entry| {
                Some(RevokedCertParams {
                    serial_number: SerialNumber::from_slice(&bytes_of_hex(&entry.serial)?),
                    revocation_time: epoch + since_epoch(Timestamp::from_second(entry.revoked_s?).ok()?),
                    reason_code: Some(RevocationReason::Unspecified),
                    invalidity_date: None,
                })
            })
            .collect();
        let params = CertificateRevocationListParams {
            this_update: epoch + since_epoch(moved(now, -DAY_S)),
            next_update: epoch + since_epoch(moved(now, AUTHORITY_YEARS * YEAR_S)),
            crl_number: SerialNumber::from(register.crl_number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let crl = params.signed_by(&self.issuer(authority)?)?.pem()?;
        self.write_register(&register)?;
        self.write_public(&file, &crl)
    }

    fn issuer(&self, authority: Authority) -> Result<Issuer<'static, KeyPair>, PkiError> {
        let key = KeyPair::from_pem(&self.read(&authority.key_file())?)?;
        Ok(Issuer::from_ca_cert_pem(&self.read(&authority.certificate_file())?, key)?)
    }

    fn register_path(&self) -> PathBuf {
        self.directory.join(REGISTER_FILE)
    }

    fn read_register(&self) -> Result<Register, PkiError> {
        serde_json::from_str(&self.read(REGISTER_FILE)?)
            .map_err(|cause| PkiError::Register { path: self.register_path(), cause })
    }

    fn write_register(&self, register: &Register) -> Result<(), PkiError> {
        let text = serde_json::to_string_pretty(register)
            .map_err(|cause| PkiError::Register { path: self.register_path(), cause })?;
        self.write_private(REGISTER_FILE, &text)
    }

    fn read(&self, name: &str) -> Result<String, PkiError> {
        let path = self.directory.join(name);
        std::fs::read_to_string(&path).map_err(|cause| PkiError::File { path, cause })
    }

    fn write_public(&self, name: &str, text: &str) -> Result<(), PkiError> {
        write_whole(&self.directory.join(name), text, PUBLIC_MODE)
    }

    fn write_private(&self, name: &str, text: &str) -> Result<(), PkiError> {
        write_whole(&self.directory.join(name), text, PRIVATE_MODE)
    }
}

impl Issued {
    /// Writes `STEM.pem` and `STEM.key`, the key for its owner's eyes only.
    pub fn write(&self, stem: &Path) -> Result<(), PkiError> {
        let with = |extension: &str| {
            let mut path = stem.as_os_str().to_owned();
            path.push(extension);
            PathBuf::from(path)
        };
        write_whole(&with(".key"), &self.key_pem, PRIVATE_MODE)?;
        write_whole(&with(".pem"), &self.certificate_pem, PUBLIC_MODE)
    }
}

/// 16 bytes whose first is small, so that DER needs no sign byte and hexadecimal shows them all.
fn new_serial() -> (SerialNumber, String) {
    let uuid = new_uuid();
    (SerialNumber::from_slice(uuid.as_bytes()), serial_hex(uuid.as_bytes()))
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
    pairs.collect()
}

fn set_lifetime(params: &mut CertificateParams, lifetime: Lifetime) {
    params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(lifetime.from);
    params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(lifetime.until);
}

fn since_epoch(at: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0))
}

fn moved(at: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(at.as_second() + seconds).unwrap_or(at)
}

const REGISTER_FILE: &str = "register.json";
const DAY_S: i64 = 86_400;
const YEAR_S: i64 = 365 * DAY_S;
const AUTHORITY_YEARS: i64 = 10;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    use x509_parser::prelude::FromDer as _;
    use x509_parser::revocation_list::CertificateRevocationList;

    use super::*;
    use crate::tls::client_certificate::ClientCertificate;
    use crate::tls::subject::Subject;

    fn doctor() -> Holder {
        Holder::Professional {
            ps_id: "801234567897".parse().unwrap(),
            family: "DURANT".to_owned(),
            given: "Romuald".to_owned(),
            profession: 10,
            savoir_faire: vec!["SM26".to_owned()],
        }
    }

    fn leaf_of(issued: &Issued) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap()
    }

    #[test]
    fn the_folder_holds_what_the_contract_names() {
        let folder = tempfile::tempdir().unwrap();
        let pki = DevelopmentPki::create(folder.path(), Clock::System).unwrap();
        for name in ["server.pem", "server.key", "server-ca.pem", "client-roots.pem", "crl/personnes.pem"] {
            assert!(pki.directory().join(name).is_file(), "{name}");
        }
        let mode = std::fs::metadata(folder.path().join("server.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(matches!(DevelopmentPki::create(folder.path(), Clock::System), Err(PkiError::Exists(_))));
        assert!(matches!(DevelopmentPki::open(&folder.path().join("x"), Clock::System), Err(PkiError::Absent(_))));
    }

    #[test]
    fn a_professional_is_one_set_of_cn_sn_and_gn() {
        let folder = tempfile::tempdir().unwrap();
        let pki = DevelopmentPki::create(folder.path(), Clock::System).unwrap();
        let issued = pki.issue(&doctor(), KeyUse::Auth, pki.usual_lifetime()).unwrap();
        let der = leaf_of(&issued);
        let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(&der).unwrap();
        let sizes: Vec<usize> = parsed.subject().iter_rdn().map(|rdn| rdn.iter().count()).collect();
        assert_eq!(sizes, [1, 1, 3]);
        let certificate = ClientCertificate::from_der(&der).unwrap();
        assert_eq!(certificate.serial, issued.serial);
        let Subject::Person(person) = certificate.subject else { panic!("not a person") };
        assert_eq!(person.ps_id.as_str(), "801234567897");
        assert_eq!(person.profession.display.as_deref(), Some("Médecin"));
        assert_eq!(person.savoir_faire[0].code, "SM26");
    }

    #[test]
    fn a_signature_certificate_is_no_client() {
        let folder = tempfile::tempdir().unwrap();
        let pki = DevelopmentPki::create(folder.path(), Clock::System).unwrap();
        let issued = pki.issue(&doctor(), KeyUse::Sign, pki.usual_lifetime()).unwrap();
        assert!(ClientCertificate::from_der(&leaf_of(&issued)).is_err());
    }

    #[test]
    fn revoking_puts_the_serial_on_the_list_of_its_authority() {
        let folder = tempfile::tempdir().unwrap();
        let pki = DevelopmentPki::create(folder.path(), Clock::System).unwrap();
        let issued = pki.issue(&doctor(), KeyUse::Auth, pki.usual_lifetime()).unwrap();
        let listed = || {
            let pem = std::fs::read(folder.path().join("crl/personnes.pem")).unwrap();
            let der = rustls::pki_types::CertificateRevocationListDer::from_pem_slice(&pem).unwrap();
            let (_, crl) = CertificateRevocationList::from_der(&der).unwrap();
            crl.iter_revoked_certificates().map(|one| serial_hex(one.raw_serial())).collect::<Vec<_>>()
        };
        assert!(listed().is_empty());
        pki.revoke(&issued.serial.to_uppercase()).unwrap();
        assert_eq!(listed(), [issued.serial]);
        assert!(matches!(pki.revoke("00ff"), Err(PkiError::UnknownSerial(_))));
    }
}
