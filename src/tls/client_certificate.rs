//! What a verified client certificate says of its holder. Source: B.1.

use crate::domain::code::Code;
use crate::domain::national_id::{PsIdNat, StructIdNat};
use crate::domain::sha::Sha256Hash;

/// A certificate whose chain, dates and revocation the handshake has verified.
#[derive(Debug)]
pub struct ClientCertificate {
    pub subject: Subject,
    /// Lower-case hexadecimal, as the journal and `pki revoke` show it.
    pub serial: String,
    pub fingerprint: Sha256Hash,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Person(Person),
    Organisation(Organisation),
}

/// CPS of a professional: CN = PS_IdNat, SN, GN, profession and savoir-faire in extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub ps_id: PsIdNat,
    pub family: String,
    pub given: String,
    /// TRE_G15 code, e.g. 10 médecin, 21 pharmacien.
    pub profession: Code,
    /// TRE_R38 and others: SM26...
    pub savoir_faire: Vec<Code>,
}

/// ORG AUTH_CLI: OU = Struct_IdNat, O = raison sociale, CN = application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organisation {
    pub struct_id: StructIdNat,
    pub name: String,
    pub application: String,
}
