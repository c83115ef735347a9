//! For which certificates a list is all there is to know: its issuing distribution point.
//!
//! A list that covers some certificates must not vouch for others. Indirect lists, whose entries belong to other
//! authorities than the one that signs, are refused. Source: RFC 5280 5.2.5 and 6.3.3 (b).

use x509_parser::asn1_rs::{Any, Class, FromDer as _};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::OID_X509_EXT_CRL_DISTRIBUTION_POINTS;

use super::signed::{content, values};

/// Which certificates a list speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    kind: Kind,
    /// Names of the distribution point (each as DER): only certificates that name one of them are covered.
    points: Option<Vec<Box<[u8]>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    All,
    Users,
    Authorities,
    /// Of some reasons only, or of attribute certificates: all there is to know of nobody.
    Nobody,
}

impl Scope {
    pub(super) const ALL: Self = Self { kind: Kind::All, points: None };

    /// Reads an issuing distribution point, by tags, since DER leaves out what is FALSE.
    /// `None`: indirect, or not to be understood.
    pub(super) fn read(extension: &[u8]) -> Option<Self> {
        let mut rest = content(extension)?;
        let mut scope = Self::ALL;
        while !rest.is_empty() {
            let (after, field) =
                Any::from_der(rest).ok().filter(|(_, field)| field.class() == Class::ContextSpecific)?;
            match (field.tag().0, scope.kind) {
                (0, _) => scope.points = Some(names(field.data)?),
                (1, Kind::All) => scope.kind = Kind::Users,
                (2, Kind::All) => scope.kind = Kind::Authorities,
                (1 | 2 | 3 | 5, _) => scope.kind = Kind::Nobody,
                _ => return None,
            }
            rest = after;
        }
        Some(scope)
    }

    pub(super) fn can_vouch(&self) -> bool {
        self.kind != Kind::Nobody
    }

    pub(super) fn includes(&self, certificate: &X509Certificate<'_>) -> bool {
        let of_kind = match self.kind {
            Kind::All => true,
            Kind::Users => !certificate.is_ca(),
            Kind::Authorities => certificate.is_ca(),
            Kind::Nobody => false,
        };
        of_kind && self.points.as_ref().is_none_or(|points| names_one_of(certificate, points))
    }
}

/// Whether a distribution point of the certificate bears one of the names. One for some reasons only, or of
/// another signer (`cRLIssuer`), does not count.
fn names_one_of(certificate: &X509Certificate<'_>, points: &[Box<[u8]>]) -> bool {
    let mut extensions = certificate.iter_extensions();
    let Some(extension) = extensions.find(|one| one.oid == OID_X509_EXT_CRL_DISTRIBUTION_POINTS) else {
        return false;
    };
    let whole_points = values(content(extension.value).unwrap_or_default()).filter_map(|point| {
        let mut fields = values(content(point)?);
        let name = fields.next().filter(|field| field.first() == Some(&POINT_NAME_TAG))?;
        fields.next().is_none().then_some(content(name)?)
    });
    let mut named = whole_points.filter_map(names).flatten();
    named.any(|name| points.contains(&name))
}

/// `DistributionPointName`: each of the full names, or the relative one.
fn names(choice: &[u8]) -> Option<Vec<Box<[u8]>>> {
    let (rest, name) = Any::from_der(choice).ok().filter(|(_, name)| name.class() == Class::ContextSpecific)?;
    match name.tag().0 {
        0 if rest.is_empty() => Some(values(name.data).map(Into::into).collect()),
        1 if rest.is_empty() => Some(vec![choice.into()]),
        _ => None,
    }
}

const POINT_NAME_TAG: u8 = 0xa0;
